"""What was refused at the doors, kept as records without personal data: no address, path or value of a request."""

from collections import Counter
from typing import Final

from features.access_keys import SecurityEvent, add_events
from features.ledger import Ledger, now_us
from serving.access.table import TABLE, Reach
from serving.problems import NO_KEY, NO_TOKEN, OUT_OF_SCOPE, SIGN_IN_REFUSED, TOO_MANY, WRONG_HOST, WRONG_ORIGIN

_KINDS: Final = (NO_KEY, OUT_OF_SCOPE, NO_TOKEN, SIGN_IN_REFUSED, WRONG_HOST, WRONG_ORIGIN, TOO_MANY)
_RECORDED: Final = frozenset(kind.name for kind in _KINDS)
_DISTINCT: Final = 100
"""How many events that differ are kept apart between two writes; the others are counted by their kind alone."""
_Seen = tuple[str, str | None, str]
"""Kind, id of the key or person if it was valid, and route."""


class SecurityEvents:
    """Counts what was refused since the last `write`. No request writes, and a flood makes few rows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._reach = ledger, Reach(TABLE)
        self._seen: Counter[_Seen] = Counter()

    def add(self, kind: str, key_id: str | None, method: str, path: str) -> None:
        """Count a request that was refused, by the line of the table that its path belongs to."""
        if kind not in _RECORDED:
            return
        event = kind, key_id, self._reach.route(method, path)
        known = event in self._seen or len(self._seen) < _DISTINCT
        self._seen[event if known else (kind, None, "")] += 1

    def write(self) -> None:
        """Record what was counted."""
        seen, self._seen = self._seen, Counter()
        if seen:
            at_us = now_us()
            add_events(self._ledger, [SecurityEvent(at_us, *event, n) for event, n in seen.items()])
