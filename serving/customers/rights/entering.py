"""How customers come to their own page: by a link that works once, and for what is grave by a one-time code, too.

The company's own sign-in stands for both.
"""

import secrets
from dataclasses import dataclass
from typing import Final, Literal

from decisioning.errors import Erased, Refused
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Entry, Ledger, now_us
from features.people import (
    CustomerCode,
    CustomerSession,
    add_code,
    add_customer_session,
    end_customer_session,
    find_customer_session,
    note_customer_session,
    revoke_codes,
    use_code,
)
from serving.access.looks import Doer
from serving.access.people.guesses import Guesses
from serving.access.people.sealing import opened, sealed
from serving.access.people.signing import CookieSigner, new_token
from serving.problems import ERASED

CUSTOMER: Final = "customer"
"""Who does what a customer does at their own page, in records."""
LINK_H: Final = 72
LONGEST_LINK_H: Final = 30 * 24
CODE_MIN: Final = 15
"""So long a one-time code is valid, and so long what it confirms."""
IDLE_MIN: Final = 30
_LONGEST_US: Final = 4 * 3600_000_000
_IDLE_US: Final = IDLE_MIN * 60_000_000
_CODE_US: Final = CODE_MIN * 60_000_000
_SEEN_US: Final = 60_000_000
_FORGET_US: Final = 30 * 86_400_000_000
"""So long after its end a link is still told apart from one that never was."""
_DIGITS: Final = 8
Worthless = Literal["unknown", "used", "revoked", "expired"]
"""Why a link lets nobody in."""


THE_CUSTOMER: Final = Doer(CUSTOMER, CUSTOMER)


@dataclass(frozen=True, slots=True)
class Visit:
    """A customer at their own page. `csrf` is the token of their forms.

    `confirmed`: they signed in, or typed a one-time code, in the last quarter of an hour.
    """

    session_id: str
    stream: str
    customer_id: str
    csrf: str
    confirmed: bool


class WorthlessLink(Refused):
    """A link that lets nobody in."""

    def __init__(self, why: Worthless) -> None:
        self.why: Worthless = why
        super().__init__(why)


class Entering:
    """Makes links and codes, and lets customers in. Every method asks the database, and is to be called in a pool."""

    def __init__(self, ledger: Ledger, signer: CookieSigner) -> None:
        self._ledger, self._signer, self._guesses = ledger, signer, Guesses(ledger)

    def new_link(self, customer_id: str, who: Doer, hours: int) -> tuple[str, int]:
        """Return the code of a new link, and when it expires; raises Erased."""
        code, at_us = secrets.token_urlsafe(24), now_us()
        expires_us = at_us + hours * 3600_000_000
        self._add("link", self._signer.mac("me-link", code), customer_id, expires_us, who)
        return code, expires_us

    def new_code(self, customer_id: str, who: Doer) -> tuple[str, int]:
        """Return a new one-time code of eight digits, and when it expires; it revokes earlier ones. Raises Erased."""
        digits = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}"
        expires_us = now_us() + _CODE_US
        stream = self._ledger.stream_of("person", customer_id)
        self._add("code", self._code_id(stream, digits), customer_id, expires_us, who)
        return digits, expires_us

    def revoke(self, customer_id: str, who: Doer) -> int:
        """Revoke a customer's links and codes, and end their sessions; return how many were still valid."""
        stream = self._ledger.stream_of("person", customer_id)
        revoked = revoke_codes(self._ledger, stream, now_us())
        self._note(stream, "revoked", who)
        return revoked

    def enter(self, code: str) -> str:
        """Exchange the code of a link for a session; return its cookie. Raises WorthlessLink, and Erased."""
        at_us = now_us()
        kept, works = use_code(self._ledger, self._signer.mac("me-link", code), "link", at_us)
        if kept is None or not works:
            raise WorthlessLink(_why(kept, at_us))
        if opened(self._signer, kept.customer) is None:
            raise WorthlessLink("revoked")
        self._note(kept.stream, "link used", THE_CUSTOMER)
        return self._started(CustomerSession(new_token(), kept.stream, kept.customer, at_us, at_us))

    def admit(self, customer_id: str) -> str:
        """Return the cookie of a session of a customer whom the company's own sign-in confirmed. Raises Erased."""
        stream, at_us = self._ledger.stream_of("person", customer_id), now_us()
        self._note(stream, "signed in", THE_CUSTOMER)
        customer = sealed(self._signer, customer_id) or b""
        return self._started(CustomerSession(new_token(), stream, customer, at_us, at_us, confirmed_us=at_us))

    def _started(self, session: CustomerSession) -> str:
        add_customer_session(self._ledger, session, session.created_us - _LONGEST_US)
        return self._signer.signed("me", session.id)

    def find(self, cookie: str) -> Visit | None:
        """Return who has this cookie of a session that has not ended."""
        session_id, at_us = self._signer.verified("me", cookie), now_us()
        session = None if session_id is None else find_customer_session(self._ledger, session_id)
        if session is None or not at_us - _LONGEST_US < session.created_us or not at_us - _IDLE_US < session.seen_us:
            return None
        customer_id = opened(self._signer, session.customer)
        if customer_id is None or self._ledger.read(session.stream, rules=NO_PAST)[0].erased:
            return None
        if at_us - session.seen_us > _SEEN_US:
            note_customer_session(self._ledger, session.id, seen_us=at_us)
        confirmed = session.confirmed_us is not None and at_us - _CODE_US < session.confirmed_us
        return Visit(session.id, session.stream, customer_id, self._signer.mac("me-csrf", session.id), confirmed)

    def confirm(self, visit: Visit, digits: str) -> bool:
        """Tell whether a customer typed their one-time code, and keep that for a while; raises TooOften."""
        tries = self._signer.mac("tries", f"me:{visit.stream}")
        self._guesses.count(tries)
        typed = "".join(digit for digit in digits if digit.isdigit())
        at_us = now_us()
        if not use_code(self._ledger, self._code_id(visit.stream, typed), "code", at_us)[1]:
            return False
        self._guesses.forget(tries)
        note_customer_session(self._ledger, visit.session_id, confirmed_us=at_us)
        self._note(visit.stream, "code used", THE_CUSTOMER)
        return True

    def is_token(self, visit: Visit, token: str) -> bool:
        """Tell whether a form carries the token of a session."""
        return self._signer.matches("me-csrf", visit.session_id, token)

    def leave(self, visit: Visit) -> None:
        """End a session."""
        end_customer_session(self._ledger, visit.session_id)

    def _add(self, kind: Literal["link", "code"], code_id: str, customer_id: str, expires_us: int, who: Doer) -> None:
        stream, at_us = self._ledger.stream_of("person", customer_id), now_us()
        self._note(stream, f"{kind} made", who)
        customer = sealed(self._signer, customer_id) or b""
        add_code(self._ledger, CustomerCode(code_id, stream, kind, customer, expires_us), at_us, at_us - _FORGET_US)

    def _note(self, stream: str, what: str, who: Doer) -> None:
        try:
            self._ledger.append([Entry(stream, "access", {"what": what, **who.fields}, None)])
        except Erased:
            raise Erased("customer_id", ERASED.about) from None

    def _code_id(self, stream: str, digits: str) -> str:
        return self._signer.mac("me-code", f"{stream}:{digits}")


def _why(kept: CustomerCode | None, at_us: int) -> Worthless:
    if kept is None:
        return "unknown"
    if kept.revoked_us is not None:
        return "revoked"
    return "used" if kept.used_us is not None else "expired" if kept.expires_us <= at_us else "used"
