"""Values with the two times that order them: when they were true in the world, and when we recorded them.

Per feature the greatest (event, created, value) wins, whatever the order of arrival: merging is commutative,
associative and idempotent, so a backfill in any order ends in the same state. A stated None ("known to be unknown")
is a value like any other; a feature that was never stated has no version. Times are int microseconds UTC.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, cast

from decisioning.facts.schema import Facts, Value

_EXACT = 2**53
"""All whole numbers up to here are floats, too."""


class Stamp(NamedTuple):
    """When a value was true (`event_us`) and when it was recorded (`created_us`)."""

    event_us: int
    created_us: int


NEVER = Stamp(-1, -1)
"""The time of a value that was written without one, past this package; every other time comes after it."""


Cell = Value | bytes
"""A value as a store keeps it. Only the state of a subject's signals is bytes; the history holds none."""


class Version(NamedTuple):
    """One value of one feature."""

    value: Cell | None
    stamp: Stamp


State = dict[str, Version]
"""Feature -> its winning version."""


class Statement(NamedTuple):
    """The facts that were stated about one subject at one time."""

    stamp: Stamp
    facts: Facts

    @property
    def versions(self) -> State:
        """The same facts as one version per feature."""
        return {name: Version(value, self.stamp) for name, value in self.facts.items()}


class Row(NamedTuple):
    """A full row of history: everything true at `event_us` as far as it was recorded at `created_us`."""

    event_us: int
    created_us: int
    state: State


def wins(new: Version, old: Version | None) -> bool:
    """Tell whether `new` replaces `old`; a version does not replace an equal one."""
    if old is None or new.stamp != old.stamp:
        return old is None or new.stamp > old.stamp
    return _rank(new.value) > _rank(old.value)


def newer(state: Mapping[str, Version], versions: Mapping[str, Version]) -> State:
    """Return the versions that replace the one in `state`, or that `state` lacks."""
    return {name: version for name, version in versions.items() if wins(version, state.get(name))}


def _rank(value: Cell | None) -> tuple[str, str]:
    """Return a sort key that orders all values, for two statements with exactly the same times.

    A whole number is the same as a float: a release may make floats of what the history holds.
    """
    if type(value) is int and abs(value) <= _EXACT:
        value = float(value)
    return (type(value).__name__, repr(value)) if value is not None else ("", "")


def encode_stamps(stamps: Mapping[str, Stamp]) -> str:
    """Return JSON `[[event_us, created_us, [names]], …]`, sorted; features stated together share one entry."""
    groups: dict[Stamp, list[str]] = {}
    for name in sorted(stamps):
        groups.setdefault(stamps[name], []).append(name)
    return json.dumps([[*stamp, names] for stamp, names in sorted(groups.items())], separators=(",", ":"))


@lru_cache(maxsize=4096)
def decode_stamps(text: str) -> Mapping[str, Stamp]:
    """Return the stamps that `encode_stamps` encoded; cached, since customers of one import share one text."""
    stamps = {name: Stamp(event_us, created_us) for event_us, created_us, names in json.loads(text) for name in names}
    return MappingProxyType(stamps)


def history(statements: Iterable[Statement]) -> list[Row]:
    """Return the full rows of a subject, sorted by (event, created), from statements in any order.

    At any time T, the row with the greatest (event, created), both at most T, holds what was known at T. A late
    statement therefore repeats the later rows that it changes, with its own time of recording.
    """
    events: list[int] = []
    states: dict[int, State] = {}
    rows: list[Row] = []
    by_created: dict[int, list[Statement]] = {}
    for statement in statements:
        if statement.facts:  # a statement without facts adds no row
            by_created.setdefault(statement.stamp.created_us, []).append(statement)
    for created_us in sorted(by_created):
        changed = {us for s in by_created[created_us] for us in _merge_statement(states, events, s)}
        rows += [Row(us, created_us, dict(states[us])) for us in changed]
    return sorted(rows, key=lambda row: (row.event_us, row.created_us))


def _merge_statement(states: dict[int, State], events: list[int], statement: Statement) -> list[int]:
    """Merge a statement into the states of its own and every later event; return the events that changed.

    `states` holds the state per event time, `events` the sorted event times; both are changed in place.
    """
    event_us = statement.stamp.event_us
    at = bisect_left(events, event_us)
    if event_us not in states:
        states[event_us] = dict(states[events[at - 1]]) if at else {}
        events.insert(at, event_us)
    changed = []
    for us in events[at:]:
        changes = newer(states[us], statement.versions)
        if changes:
            states[us].update(changes)
            changed.append(us)
    return changed


def statements_in(rows: Iterable[State]) -> list[Statement]:
    """Return the statements that full rows were built from; `history` keeps every statement that had an effect."""
    best: dict[tuple[str, Stamp], Version] = {}
    for state in rows:
        for name, version in state.items():
            if wins(version, best.get((name, version.stamp))):
                best[name, version.stamp] = version
    facts: dict[Stamp, dict[str, Value | None]] = {}
    for (name, stamp), version in best.items():
        facts.setdefault(stamp, {})[name] = cast(Value | None, version.value)
    return [Statement(stamp, own) for stamp, own in facts.items()]
