"""What decisions read of a subject's past: the rules by which a standing of bounded size is selected.

A cap never looks past the newest `limit` contacts that count under one key, a suppression looks for one outcome, and a
`history()` that is compared with a number n is decided by the newest n + 1 outcomes. So these are all that a decision
needs, however long the past is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from decisioning.facts.standing import Contact

CapCount = Literal["action", "group", "issue", "channel", "customer"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CapRule:
    """One cap: under every key that it counts by, decisions read the newest `limit` contacts that count.

    `channels`: where contacts are counted, everywhere if empty. `issues`, `groups`, `actions`: of what, of everything
    if all three are empty. `exempt`: actions whose contacts are not counted.
    """

    count: CapCount
    limit: int
    window_us: int
    channels: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()

    def key(self, contact: Contact) -> str | None:
        """Return what the contact is counted under, or None if this cap does not count it."""
        return self.key_of(contact.action, contact.group, contact.issue, contact.channel)

    def key_of(self, action: str, group: str, issue: str, channel: str) -> str | None:
        """Return what a contact of this kind is counted under, or None if this cap does not count it."""
        if action in self.exempt or (self.channels and channel not in self.channels):
            return None
        attached = issue in self.issues or group in self.groups or action in self.actions
        if (self.issues or self.groups or self.actions) and not attached:
            return None
        return {"action": action, "group": group, "issue": issue, "channel": channel, "customer": "*"}[self.count]

    def covers(self, other: "CapRule") -> bool:
        """Tell whether what is selected for this rule is enough for the other."""
        same = all(getattr(self, n) == getattr(other, n) for n in _SCOPE)
        return same and self.limit >= other.limit and self.window_us >= other.window_us


_SCOPE = tuple(f.name for f in fields(CapRule) if f.name not in ("limit", "window_us"))


@dataclass(frozen=True, slots=True)
class HistoryRule:
    """One question about outcomes: decisions read the newest `most` within the window.

    `action` None: of any action. `window_us` None: however long ago. `most` None: all of them.
    """

    action: str | None
    outcome: str
    window_us: int | None
    most: int | None

    def covers(self, other: "HistoryRule") -> bool:
        """Tell whether what is selected for this rule is enough for the other."""
        return (
            self.outcome == other.outcome
            and self.action in (None, other.action)
            and _at_least(self.window_us, other.window_us)
            and _at_least(self.most, other.most)
        )


def _at_least(own: int | None, other: int | None) -> bool:
    return own is None or (other is not None and own >= other)


@dataclass(frozen=True, slots=True)
class StandingRules:
    """All that decisions by one or several releases read of the past; by default nothing."""

    caps: tuple[CapRule, ...] = ()
    histories: tuple[HistoryRule, ...] = ()

    def covers(self, other: "StandingRules") -> bool:
        """Tell whether a standing that was selected for these rules is enough for the others."""
        return all(any(own.covers(cap) for own in self.caps) for cap in other.caps) and all(
            any(own.covers(asked) for own in self.histories) for asked in other.histories
        )

    def as_json(self) -> dict[str, Any]:
        """Return the rules as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "StandingRules":
        """Return the rules that `as_json` returned."""
        caps: list[dict[str, Any]] = [
            {name: tuple(v) if isinstance(v, list) else v for name, v in cap.items()} for cap in content["caps"]
        ]
        return cls(tuple(CapRule(**cap) for cap in caps), tuple(HistoryRule(**rule) for rule in content["histories"]))


NO_PAST = StandingRules()
"""The rules of whoever reads consents, links and flags alone."""


def united(rules: Sequence[StandingRules]) -> StandingRules:
    """Return rules that cover all of these, each once."""
    return StandingRules(_once(cap for r in rules for cap in r.caps), _once(h for r in rules for h in r.histories))


def _once(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
