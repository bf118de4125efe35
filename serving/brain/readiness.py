"""Whether a decision could be committed and a fact written now, found out by writing.

A probe once a second costs three small commits, however often readiness is asked for.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from decisioning.errors import Unavailable
from features.ledger import Ledger
from features.profile.online import Profiles

FRESH_S: Final = 1.0
"""How long an answer holds."""
PATIENCE_S: Final = 2.0
"""How long the writer of the ledger may take to come to the probe."""


class Readiness:
    """Probes the stores of a replica; `profiles` returns the store of the release that serves."""

    def __init__(self, ledger: Ledger, profiles: Callable[[], Profiles]) -> None:
        self._probes = {"ledger": lambda: ledger.probe(PATIENCE_S), "profiles": lambda: profiles().probe()}
        self._lock, self._until_s = threading.Lock(), 0.0
        self._problems: Mapping[str, str] = {}

    def problems(self) -> Mapping[str, str]:
        """Return why each part cannot be written now; empty if all can."""
        with self._lock:
            if time.monotonic() >= self._until_s:
                every = ((part, _problem(probe)) for part, probe in self._probes.items())
                self._problems = {part: problem for part, problem in every if problem}
                self._until_s = time.monotonic() + FRESH_S
            return self._problems


def _problem(probe: Callable[[], object]) -> str:
    try:
        probe()
    except Unavailable as error:
        return str(error)
    return ""
