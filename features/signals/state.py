"""The state of one subject's signals: absorbs events in any order, merges, is read at a time, and is stored as bytes.

For one set of definitions, states are a commutative monoid under `merge`: events absorbed in any order and in any
partition give the same state, and two merged states give the state of all their events. (For sessions this holds if
events are at most `max_lateness_h` late, measured at the latest time of the state.) The cost of an event does not grow
with the past.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.facts.schema import Value
from features.signals.definitions import Definitions
from features.signals.event import Event

FORMAT = 1
_NONE = frozenset[str]()


@dataclass(frozen=True, slots=True)
class State:
    """An immutable state.

    `trackers`: content key -> data, for each tracker it was made with, also for those without events. `at_us`: the
    latest time it was given; it is never read at an earlier time.
    """

    at_us: int
    trackers: dict[str, Any]

    @classmethod
    def empty(cls, definitions: Definitions) -> "State":
        """Return the state of a subject without events."""
        return cls(0, {key: tracker.empty() for key, tracker in definitions.trackers.items()})


def absorb(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """Return the state with `events` added, none of which it has absorbed before.

    Trackers that are no longer defined are dropped; trackers that the state lacks stay missing (see `missing`).
    """
    kinds = definitions.trackers
    known = state.trackers.keys() <= kinds.keys()
    trackers = state.trackers.copy() if known else {k: data for k, data in state.trackers.items() if k in kinds}
    at_us, copied = max(state.at_us, now_us), set[str]()
    feeds = definitions.feeds(at_us)
    for event in events:
        event_key, _, type_, occurred_us, recorded_us, fields, _ = event
        at_us = recorded_us if recorded_us > at_us else at_us  # `max` takes three times as long
        time_us = occurred_us if occurred_us < recorded_us else recorded_us
        for key, where, field, copy, add, begins_us in feeds.get(type_, ()):
            if time_us < begins_us:
                break  # the others begin later
            value = True if field is None else fields.get(field)
            if value is None or key not in trackers or (where and not _matches(where, fields)):
                continue
            data = trackers[key]
            if key not in copied:
                copied.add(key)
                data = copy(data)
            trackers[key] = add(data, time_us, value, event_key)
    _prune(trackers, definitions, at_us)
    return State(at_us, trackers)


def _matches(where: tuple[tuple[str, frozenset[Value]], ...], fields: Mapping[str, Value]) -> bool:
    for name, values in where:  # noqa: SIM110  # all() of a generator takes three times as long
        if fields.get(name) not in values:
            return False
    return True


def _prune(trackers: dict[str, Any], definitions: Definitions, at_us: int) -> None:
    for key, prune in definitions.prunes:
        if key in trackers:
            trackers[key] = prune(trackers[key], at_us)


def merge(a: State, b: State, definitions: Definitions) -> State:
    """Return the state of the events of both, which share none. A tracker that one of them lacks is missing."""
    at_us = max(a.at_us, b.at_us)
    kinds = definitions.trackers
    merged = {
        key: kinds[key].merge(data, b.trackers[key])
        for key, data in a.trackers.items()
        if key in b.trackers and key in kinds
    }
    _prune(merged, definitions, at_us)
    return State(at_us, merged)


def missing(state: State, definitions: Definitions) -> frozenset[str]:
    """Return the keys of defined trackers that the state lacks; `rebuild` makes them from the log."""
    if definitions.trackers.keys() <= state.trackers.keys():
        return _NONE
    return frozenset(definitions.trackers.keys() - state.trackers.keys())


def without(state: State, keys: Container[str]) -> State:
    """Return the state without these trackers; `rebuild` makes them anew."""
    return State(state.at_us, {key: data for key, data in state.trackers.items() if key not in keys})


def rebuild(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """Return the state with its missing trackers made from `events`, the absorbed events that the log still has."""
    kinds = definitions.trackers
    missing_only = State(state.at_us, {key: kinds[key].empty() for key in missing(state, definitions)})
    rebuilt = absorb(missing_only, events, definitions, now_us)
    existing = absorb(state, (), definitions, rebuilt.at_us)
    return State(rebuilt.at_us, {**existing.trackers, **rebuilt.trackers})


def facts(state: State, definitions: Definitions, now_us: int) -> dict[str, Value]:
    """Return every signal feature at a time, without those that are UNKNOWN or whose tracker is missing."""
    at_us, trackers = max(now_us, state.at_us), state.trackers
    values: dict[str, Value] = {}
    for name, key, read in definitions.readings:
        if key in trackers and (value := read(trackers[key], at_us)) is not None:
            values[name] = value
    return values


def encode(state: State) -> bytes:
    """Return the state as bytes; equal states with the same definitions have equal bytes."""
    return to_json([FORMAT, state.at_us, state.trackers])


def decode(body: bytes) -> State:
    """Return the state that `encode` encoded."""
    _, at_us, trackers = from_json(body, cache_strings="none")
    return State(at_us, trackers)
