"""How long to wait for a server's answer, and not asking again what left a question unanswered; and until when a caller
waits."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock
from typing import Final

from decisioning.errors import TooLate, Unavailable
from features.threads import watched

_answer_s: ContextVar[float] = ContextVar("answer_s", default=60.0)
_until_s: ContextVar[float] = ContextVar("until_s", default=math.inf)
_PROBE_S: Final = 0.25
"""How often a server that did not answer is asked whether it does again."""
_PROBE_ANSWER_S: Final = 2.0


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """Within this context and thread or task, give up a question to a server after so many seconds.

    By default this is a minute, as for a command. The connection of a question that was given up is dropped.
    """
    token = _answer_s.set(seconds)
    try:
        yield
    finally:
        _answer_s.reset(token)


def answer_s() -> float:
    """Return how long to wait for an answer, in seconds."""
    return _answer_s.get()


@contextmanager
def waiting_until(moment_s: float) -> Iterator[None]:
    """Within this context and task, compute and commit nothing more after a moment of `time.monotonic()`."""
    token = _until_s.set(moment_s)
    try:
        yield
    finally:
        _until_s.reset(token)


def until_s() -> float:
    """Return until when the caller waits, by `time.monotonic()`; infinity if it did not say."""
    return _until_s.get()


def check_time(moment_s: float | None = None) -> None:
    """Raise TooLate after a moment of `time.monotonic()`, by default the one until when the caller waits."""
    moment_s = _until_s.get() if moment_s is None else moment_s
    if moment_s < math.inf and time.monotonic() > moment_s:
        raise TooLate


class Silence:
    """Whether nobody asks a server, because it did not answer: so only one question waits for it, and not every one.

    :param name: of the server in errors, such as "the ledger's database"
    :param ask: asks it something small; raises Unavailable if it does not answer
    """

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self._name, self._ask = name, ask
        self._lock, self._silent = Lock(), False

    def check(self) -> None:
        """Raise Unavailable while the server does not answer."""
        if self._silent:
            raise Unavailable(f"{self._name} does not answer; try again")

    def begin(self) -> None:
        """Ask nothing more until the server answers, which a thread of its own finds out."""
        with self._lock:
            if self._silent:
                return
            self._silent = True
        watched(f"silence of {self._name}", self._wait)

    def end(self) -> None:
        """Stop finding out; for a process that closes."""
        self._silent = False

    def _wait(self) -> None:
        while self._silent:
            time.sleep(_PROBE_S)
            with suppress(Unavailable), answering_within(_PROBE_ANSWER_S):
                self._ask()
                self._silent = False
