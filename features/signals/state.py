"""What the signals of one subject come to: absorbed in any order, merged, read at a time, kept as bytes.

For one set of definitions, states are a commutative monoid under `merge`: events absorbed in any order and in any
split give the same state, and two states merged give that of all their events. (Sessions: for events that are no
later than `max_lateness_h` at the latest time a state has seen.) The cost of an event does not grow with the past.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.facts.schema import Value
from features.signals.definitions import Definitions
from features.signals.event import Event

FORMAT = 1


@dataclass(frozen=True, slots=True)
class State:
    """`trackers`: content key -> data, one for each tracker it was made with, also where nothing happened yet.

    `at_us`: the latest time it was given; it is never read at an earlier one. Nothing changes it in place.
    """

    at_us: int
    trackers: dict[str, Any]

    @classmethod
    def empty(cls, definitions: Definitions) -> "State":
        """Of a subject without events."""
        return cls(0, {key: tracker.empty() for key, tracker in definitions.trackers.items()})


def absorb(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """With these events, none of which it has absorbed before; trackers that nothing defines any more are dropped.

    Trackers it was not made with stay missing: see `missing`.
    """
    trackers = {key: data for key, data in state.trackers.items() if key in definitions.trackers}
    feeds, own = definitions.feeds, set[str]()
    at_us = max(state.at_us, now_us)
    for event in events:
        at_us = max(at_us, event.recorded_us)
        time_us, fields, event_key = event.time_us, event.fields, event.key
        for key, where, field, copied, add in feeds.get(event.type, ()):
            value = True if field is None else fields.get(field)
            if value is None or key not in trackers or (where and not _matches(where, fields)):
                continue
            data = trackers[key]
            if key not in own:
                own.add(key)
                data = copied(data)
            trackers[key] = add(data, time_us, value, event_key)
    return State(at_us, _pruned(trackers, definitions, at_us))


def _matches(where: tuple[tuple[str, frozenset[Value]], ...], fields: Mapping[str, Value]) -> bool:
    for name, values in where:  # noqa: SIM110  # all() of a generator takes three times as long
        if fields.get(name) not in values:
            return False
    return True


def _pruned(trackers: dict[str, Any], definitions: Definitions, at_us: int) -> dict[str, Any]:
    kinds = definitions.trackers
    return {key: kinds[key].prune(data, at_us) for key, data in trackers.items()}


def merge(a: State, b: State, definitions: Definitions) -> State:
    """Of the events of both, which have none in common; a tracker that one of them misses is missing."""
    at_us = max(a.at_us, b.at_us)
    kinds = definitions.trackers
    both = {
        key: kinds[key].merge(data, b.trackers[key])
        for key, data in a.trackers.items()
        if key in b.trackers and key in kinds
    }
    return State(at_us, _pruned(both, definitions, at_us))


def missing(state: State, definitions: Definitions) -> frozenset[str]:
    """Trackers that it was not made with: `rebuild` makes them of the log."""
    return frozenset(definitions.trackers.keys() - state.trackers.keys())


def rebuild(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """With the trackers that were missing, made of `events`: all that the log holds of what the state has absorbed."""
    kinds = definitions.trackers
    fresh = State(state.at_us, {key: kinds[key].empty() for key in missing(state, definitions)})
    made = absorb(fresh, events, definitions, now_us)
    kept = absorb(state, (), definitions, made.at_us)
    return State(made.at_us, {**kept.trackers, **made.trackers})


def facts(state: State, definitions: Definitions, now_us: int) -> dict[str, Value]:
    """Every signal feature at a time; what is UNKNOWN, or whose tracker is missing, is left out."""
    at_us, trackers = max(now_us, state.at_us), state.trackers
    known: dict[str, Value] = {}
    for name, key, read in definitions.readings:
        if key in trackers and (value := read(trackers[key], at_us)) is not None:
            known[name] = value
    return known


def encode(state: State) -> bytes:
    """As bytes; of equal states made with the same definitions, the same."""
    return to_json([FORMAT, state.at_us, state.trackers])


def decode(body: bytes) -> State:
    """What `encode` was given."""
    _, at_us, trackers = from_json(body, cache_strings="none")
    return State(at_us, trackers)
