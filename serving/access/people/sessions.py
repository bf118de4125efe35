"""Sessions of people: kept in the ledger's database, so that each replica knows at once who signed in or out.

The cookie of a session is its id, a number that grows whenever the cookie is replaced, and a keyed hash of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from features.ledger import Ledger, now_us
from features.people import Session, User, add_session, change_session, end_session, read_session, read_sessions
from serving.access.callers import Caller, caller_of_person
from serving.access.people.signing import CookieSigner, new_token
from serving.sign_in_settings import SignInSettings

_RENEW_US: Final = 15 * 60_000_000
"""After so long a cookie is replaced."""
_REPLACED_US: Final = 60_000_000
"""So long a replaced cookie counts, for requests that were under way. Later it ends its session: it was copied."""
_SEEN_US: Final = 60_000_000
"""A request is noted if the last noted one is so long ago. No other request of a session writes."""
_AHEAD_US: Final = 60_000_000
"""A session from later than this after now was made by a clock that was ahead: it would last too long."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid session and its person. `csrf` is the token that its writes carry, `cookie` its cookie as of now."""

    session: Session
    person: User
    caller: Caller
    csrf: str
    cookie: str


class PersonSessions:
    """The sessions of a workspace. Every method asks the database, and is to be called in a pool."""

    def __init__(self, ledger: Ledger, signer: CookieSigner, settings: SignInSettings) -> None:
        self._ledger, self._signer = ledger, signer
        self._idle_us = round(settings.idle_min * 60e6)
        self._longest_us = round(settings.longest_h * 3600e6)

    def start(self, person: User, sealed: bytes | None = None) -> SignedIn:
        """Sign a person in."""
        at_us = now_us()
        session = Session(
            id=new_token(),
            person_id=person.id,
            generation=0,
            created_us=at_us,
            renewed_us=at_us,
            seen_us=at_us,
            checked_us=at_us,
            asked_us=at_us,
            sealed=sealed,
        )
        add_session(self._ledger, session, at_us - self._longest_us)
        return self._signed_in(session, person)

    def find(self, cookie: str) -> SignedIn | None:
        """Return who has this cookie of a session that has not ended; replace the cookie if it is old."""
        shown = self._signer.verified("session", cookie)
        if shown is None:
            return None
        session_id, _, generation = shown.rpartition(".")
        known = read_session(self._ledger, session_id)
        if known is None or not self._is_alive(known[0], now_us()):
            return None
        session, person = known
        if int(generation) != session.generation and not _was_just_replaced(session, int(generation)):
            end_session(self._ledger, session_id)
            return None
        return self._signed_in(self._seen(session), person)

    def is_signed(self, cookie: str) -> bool:
        """Tell whether a cookie is signed by a secret that counts; asks no database."""
        return self._signer.verified("session", cookie) is not None

    def callers(self, session_ids: Sequence[str]) -> dict[str, Caller]:
        """Return who is signed in by these sessions, without those that have ended, at one question to the database."""
        at_us = now_us()
        known = read_sessions(self._ledger, session_ids) if session_ids else []
        return {session.id: caller_of_person(person) for session, person in known if self._is_alive(session, at_us)}

    def end(self, session_id: str) -> None:
        """Sign out, on every replica at once."""
        end_session(self._ledger, session_id)

    def _is_alive(self, session: Session, at_us: int) -> bool:
        return (
            at_us - self._longest_us < session.created_us < at_us + _AHEAD_US
            and at_us - self._idle_us < session.seen_us < at_us + _AHEAD_US
        )

    def _seen(self, session: Session) -> Session:
        """Note that a session is used, and replace its cookie, where it is time; another process may do it first."""
        at_us = now_us()
        if at_us - session.renewed_us > _RENEW_US:
            values: dict[str, Any] = {"generation": session.generation + 1, "renewed_us": at_us, "seen_us": at_us}
        elif at_us - session.seen_us > min(_SEEN_US, self._idle_us // 4):
            values = {"seen_us": at_us}
        else:
            return session
        return replace(session, **values) if change_session(self._ledger, session, values) else session

    def _signed_in(self, session: Session, person: User) -> SignedIn:
        return SignedIn(
            session,
            person,
            caller_of_person(person),
            self._signer.mac("csrf", session.id),
            self._signer.signed("session", f"{session.id}.{session.generation}"),
        )


def _was_just_replaced(session: Session, generation: int) -> bool:
    return generation == session.generation - 1 and now_us() - session.renewed_us <= _REPLACED_US
