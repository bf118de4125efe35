"""How often a password may be tried: per name over all replicas, and in all in one process."""

import time
from collections import deque
from threading import Lock
from typing import Final

from decisioning.errors import TooOften
from features.ledger import Ledger, now_us
from features.people import count_try, forget_tries

FREE: Final = 5
"""So many tries have no pause behind them."""
_FIRST_PAUSE_US: Final = 30_000_000
_LONGEST_PAUSE_US: Final = 15 * 60_000_000
_KEPT_US: Final = 24 * 3600_000_000
PER_S: Final = 10
"""So many passwords a second are checked in one process, each of which costs 30 ms."""


class Guesses:
    """Counts tries. A name that nobody has is counted alike, so that nothing tells them apart."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._checked_s: deque[float] = deque(maxlen=PER_S)
        self._counting = Lock()

    def count(self, name: str) -> None:
        """Count a try, before the password is checked; raises TooOften while none is allowed."""
        with self._counting:
            at_s = time.monotonic()
            if len(self._checked_s) == PER_S and at_s - self._checked_s[0] < 1:
                raise TooOften("Too many people sign in at this moment. Try again in a few seconds.")
            self._checked_s.append(at_s)
        if wait_us := count_try(self._ledger, name, now_us(), _resumes_us):
            minutes = -(-wait_us // 60_000_000)
            raise TooOften(f"Too many wrong passwords. Try again in {minutes} min.")

    def forget(self, name: str) -> None:
        """Forget the tries of a name, as its password was right."""
        forget_tries(self._ledger, name, now_us() - _KEPT_US)


def _resumes_us(tries: int, last_us: int) -> int:
    """Return when the next try is allowed after so many, the last of them at `last_us`."""
    return 0 if tries < FREE else last_us + min(_LONGEST_PAUSE_US, _FIRST_PAUSE_US << min(tries - FREE, 10))
