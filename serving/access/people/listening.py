"""The sessions by which streams are open, and whether they still count: the database is asked about all at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serving.access.callers import Caller
from serving.access.people.sessions import PersonSessions, SignedIn

_Held = tuple[str, Caller]
"""The id of a session, and who it was when its stream was opened."""


class ListeningSessions:
    """What this process holds open for people. `refresh` may be called from any thread, all else on the event loop."""

    def __init__(self, sessions: PersonSessions) -> None:
        self._sessions = sessions
        self._held: Counter[_Held] = Counter()
        self._ended: frozenset[_Held] = frozenset()

    @contextmanager
    def holding(self, signed_in: SignedIn) -> Iterator[None]:
        """Have a session asked about, while a stream is open by it."""
        held = signed_in.session.id, signed_in.caller
        self._held[held] += 1
        try:
            yield
        finally:
            self._held[held] -= 1
            if not self._held[held]:
                del self._held[held]

    def may_listen(self, signed_in: SignedIn) -> bool:
        """Tell whether a session had not ended when that was asked last, and its person had the same rights.

        A rotation of the secret that signs cookies ends it, too.
        """
        held = signed_in.session.id, signed_in.caller
        return held not in self._ended and self._sessions.is_signed(signed_in.cookie)

    def refresh(self) -> None:
        """Ask the database about all sessions that hold streams open."""
        held = list(self._held)
        callers = self._sessions.callers([session_id for session_id, _ in held])
        self._ended = frozenset(one for one in held if callers.get(one[0]) != one[1])
