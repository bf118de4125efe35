"""The processes that a server consists of: which are gone, since when, and whether Ray can start them again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

PARTS: Final = {
    "raylet": "Ray's node",
    "gcs_server": "Ray's store of what runs",
    "ray::ServeController": "the process that manages replicas",
    "ray::HAProxyManager": "the process that manages HAProxy",
    "haproxy": "HAProxy",
    "ray::ServeReplica": "the decision process",
}
"""Beginning of a process's title -> what it is."""
_NOT_REPLACED: Final = ("raylet", "gcs_server")
"""Ray on one machine starts all others again, and these never."""


@dataclass
class Parts:
    """The parts that were there when the server was ready.

    :param patience_s: how long Ray may take to start a part again
    """

    expected: frozenset[str]
    patience_s: float
    missing: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, titles: Iterable[str], patience_s: float) -> "Parts":
        """Return the parts that processes with these titles are."""
        return cls(frozenset(_present(titles)), patience_s)

    def look(self, titles: Iterable[str], now_s: float) -> tuple[Sequence[str], str]:
        """Take note of what is gone; return what to say of it, and why Ray cannot mend it, if it cannot."""
        gone = sorted(self.expected - _present(titles))
        news = [f"{PARTS[part]} is gone; Ray is starting it again" for part in gone if part not in self.missing]
        news += [
            f"{PARTS[part]} is back after {now_s - since:.0f} s"
            for part, since in self.missing.items()
            if part not in gone
        ]
        self.missing = {part: self.missing.get(part, now_s) for part in gone}
        for part, since in self.missing.items():
            if part in _NOT_REPLACED:
                return (), f"{PARTS[part]} is gone"
            if now_s - since > self.patience_s:
                return news, f"{PARTS[part]} did not come back within {self.patience_s:.0f} s"
        return news, ""


def _present(titles: Iterable[str]) -> set[str]:
    titles = list(titles)
    return {part for part in PARTS if any(title.startswith(part) for title in titles)}
