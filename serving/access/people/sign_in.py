"""How a person signs in: with a password, or with a provider. What waits or costs time is to be called in a pool."""

import re
from contextlib import suppress
from dataclasses import replace
from typing import Final

from decisioning.errors import Refused, Unavailable
from features.access_keys import FIRST_GENERATION, read_rotations
from features.ledger import Ledger, now_us
from features.people import (
    LOCAL,
    User,
    claim_check,
    end_session,
    find_person,
    keep_signed_in,
    note_check,
)
from serving.access.people.attempts import AGAIN, Attempts, provider_of
from serving.access.people.guesses import Guesses
from serving.access.people.listening import ListeningSessions
from serving.access.people.passwords import is_right
from serving.access.people.roles import check_roles, person_of, wanted_claims
from serving.access.people.sealing import opened, sealed
from serving.access.people.sessions import PersonSessions, SignedIn
from serving.access.people.signing import SESSIONS, new_token, signer_of
from serving.access.table import ADMIN
from serving.settings import Workspace

CALLBACK: Final = "/sign-in/callback"
HOME: Final = "/sign-in"
SIGNED_OUT: Final = "/sign-out"
"""Where a provider sends a browser that it signed out."""
_ASK_AGAIN_US: Final = 30_000_000
"""So long a provider that did not answer is left alone."""
_UNCONFIRMED_US: Final = 3600_000_000
"""So long a session goes on while its provider does not answer."""
_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")
_WRONG: Final = "The name or the password is wrong."
_SCOPE: Final = "openid profile email"
_NO_ROLE: Final = "You may not sign in here: your account has none of the roles of this workspace. Ask who runs it."
_REMOVED: Final = "You may not sign in here any more. Ask who runs this workspace."


class SignIn:
    """The ways to sign in to a workspace; raises Refused for settings that cannot be followed."""

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        settings = workspace.settings.sign_in
        check_roles(settings)
        self.signer = signer_of(workspace)
        self.sessions = PersonSessions(ledger, self.signer, settings)
        self.listening = ListeningSessions(self.sessions)
        callback = f"{workspace.settings.address}{CALLBACK}"
        self.provider = provider_of(settings, workspace.root, callback, wanted_claims(settings), _SCOPE)
        self._attempts = None if self.provider is None else Attempts(self.provider, ledger, self.signer, "attempt")
        self._signed_out = f"{workspace.settings.address}{SIGNED_OUT}"
        self._settings, self._ledger, self._guesses = settings, ledger, Guesses(ledger)
        self.refresh()

    def refresh(self) -> None:
        """Take up a rotation of the secret that signs cookies, which signs everybody out, and sessions that ended."""
        rotations = read_rotations(self._ledger, SESSIONS)
        self.signer.use(rotations[-1].generation if rotations else FIRST_GENERATION)
        self.listening.refresh()

    def with_password(self, name: str, password: str, device: str) -> tuple[SignedIn, str]:
        """Sign in with a password; return also what this browser is known by from now on.

        With a provider, only admins have a password, for the day on which the provider is away. Tries in a browser that
        is known are counted apart, so that no stranger keeps a person out by trying their name.

        :param device: what a browser is known by since an earlier sign-in, or empty
        :raises Refused: name or password is wrong
        :raises TooOften: too many were tried
        """
        known = name.strip().lower()[:100]
        person = find_person(self._ledger, LOCAL, known)
        if person is not None and not self._may_sign_in(person):
            person = None
        own = person is not None and (self.signer.verified("device", device) or "").startswith(f"{person.id}.")
        tries = self.signer.mac("tries", device if own else f"name:{known}")
        self._guesses.count(tries)
        if not is_right(None if person is None else person.password, password) or person is None:
            raise Refused(_WRONG)
        self._guesses.forget(tries)
        seen = device if own else self.signer.signed("device", f"{person.id}.{new_token()}")
        return self.sessions.start(person), seen

    def begin(self, then: str | None) -> tuple[str, str]:
        """Return where a browser goes to sign in with the provider, and what it must bring back.

        :param then: the path to which it goes afterwards
        """
        if self._attempts is None:
            raise Refused("People sign in with a password here.")
        return self._attempts.begin(own_path(then))

    def finish(self, attempt: str, state: str, code: str) -> tuple[SignedIn, str]:
        """Sign in who came back from the provider; return also the path to which they go.

        Raises Refused for what did not begin in this browser, is too old, or came back before; and if the provider does
        not confirm it, or the person may not sign in. Raises Unavailable if the provider does not answer.
        """
        if self._attempts is None:
            raise Refused(AGAIN)
        answer, then = self._attempts.finish(attempt, state, code)
        person = self._admitted(person_of(self._settings, answer.claims, now_us()))
        return self.sessions.start(person, sealed(self.signer, answer.grant)), own_path(then)

    def leave(self, signed_in: SignedIn) -> tuple[str, str] | None:
        """End a session; return where the browser signs out of the provider, and what it must bring back.

        Returns None if there is no such place, or the provider does not answer.
        """
        self.sessions.end(signed_in.session.id)
        if self.provider is None or not is_of_provider(signed_in):
            return None
        state = new_token()
        with suppress(Unavailable):
            address = self.provider.leaving(self._signed_out, state)
            return None if address is None else (address, self.signer.signed("leaving", state))
        return None

    def has_left(self, leaving: str, state: str) -> bool:
        """Tell whether a browser comes back from the provider that `leave` sent it to."""
        return bool(state) and self.signer.verified("leaving", leaving) == state

    def is_due(self, signed_in: SignedIn) -> bool:
        """Tell whether the provider is to be asked again whether a person still has their roles."""
        session, every_us = signed_in.session, round(self._settings.check_min * 60e6)
        due_us = max(session.checked_us + every_us, session.asked_us + min(every_us, _ASK_AGAIN_US))
        return session.sealed is not None and due_us <= now_us()

    def check(self, signed_in: SignedIn) -> None:
        """Ask the provider about a person who is signed in: their roles become what it says, or the session ends."""
        session, asked_us = signed_in.session, now_us()
        if not claim_check(self._ledger, session, asked_us):
            return
        try:
            grant = self._asked_again(signed_in)
        except Refused:
            end_session(self._ledger, session.id)
        except Unavailable:
            if asked_us - session.checked_us > _UNCONFIRMED_US:
                end_session(self._ledger, session.id)
        else:
            note_check(self._ledger, session.id, asked_us, sealed(self.signer, grant) or session.sealed)

    def _asked_again(self, signed_in: SignedIn) -> str | None:
        """Keep what the provider says of a person now; return with what it can be asked again."""
        person, grant = signed_in.person, opened(self.signer, signed_in.session.sealed)
        if self.provider is None or grant is None:
            raise Refused(AGAIN)
        answer = self.provider.again(grant)
        claimed = person_of(self._settings, {"sub": person.subject, **answer.claims}, now_us())
        if claimed.subject != person.subject:
            raise Refused(AGAIN)
        self._admitted(replace(claimed, name=person.name))
        return answer.grant

    def _admitted(self, claimed: User) -> User:
        """Keep what the provider says of a person; raises Refused if they may not sign in, as they have no roles."""
        person = keep_signed_in(self._ledger, claimed)
        if person.removed_us is not None:
            raise Refused(_REMOVED)
        if not person.scopes:
            raise Refused(_NO_ROLE)
        return person

    def _may_sign_in(self, person: User) -> bool:
        may = self.provider is None or ADMIN in person.scopes.split(",")
        return person.removed_us is None and may


def is_of_provider(signed_in: SignedIn) -> bool:
    """Tell whether a person signed in with a provider, and not with a password."""
    return signed_in.person.issuer != LOCAL


def own_path(path: str | None) -> str:
    """Return a path of this server to which a browser may be sent; for anything else, the page of signing in."""
    return path if path is not None and _PATH.fullmatch(path) else HOME
