"""The state of one subject's signals: absorbs events in any order, merges, is read at a time, and is stored as bytes.

For one set of definitions, states are a commutative monoid under `merge`: events absorbed in any order and in any
partition give the same state, and two merged states give the state of all their events. (For sessions this holds if
events are at most `max_lateness_h` late, measured at the latest time of the state.) The cost of an event does not grow
with the past.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import accumulate
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from decisioning.facts.schema import Value
from decisioning.times import DAY_US, TOLERANCE_US
from features.signals.definitions import Definitions
from features.signals.event import Event
from features.signals.trackers import NEVER_US

FORMAT = 1
_CARRIED = "carried"
"""Where the bytes keep carried trackers: among the trackers, where versions of the brain that know none drop them."""
_NONE = frozenset[str]()
_KEPT_US = 400 * DAY_US
"""How long a tracker is carried that no release defines."""


class Carried(NamedTuple):
    """A tracker that the present release does not define: it counts the events up to a version of the stream."""

    version: int
    at_us: int
    data: Any


@dataclass(frozen=True, slots=True)
class State:
    """An immutable state.

    `trackers`: content key -> data, for each tracker it was made with, also for those without events. `at_us`: the
    latest time it was given; it is never read at an earlier time. `carried`: what an earlier release defined, by
    content key, for the case that it is defined again.
    """

    at_us: int
    trackers: dict[str, Any]
    carried: Mapping[str, Carried] = dataclass_field(default_factory=dict)

    @classmethod
    def empty(cls, definitions: Definitions) -> "State":
        """Return the state of a subject without events."""
        return cls(0, {key: tracker.empty() for key, tracker in definitions.trackers.items()})


def absorb(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """Return the state with `events` added, none of which it has absorbed before.

    Trackers that are no longer defined are dropped (`carry` keeps them first); those that the state lacks stay missing.
    """
    kinds = definitions.trackers
    known = state.trackers.keys() <= kinds.keys()
    trackers = state.trackers.copy() if known else {k: data for k, data in state.trackers.items() if k in kinds}
    at_us, copied = max(state.at_us, now_us), set[str]()
    feeds = definitions.feeds(at_us)
    for event in events:
        event_key, _, type_, occurred_us, recorded_us, fields, _, _ = event
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
    return State(at_us, trackers, state.carried)


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


def without(state: State, keys: Container[str], since: int = 0) -> State:
    """Return the state without these trackers; `rebuild` makes them anew.

    :param since: also without what was carried at this version or later, as it may have counted what is now different
    """
    carried = {key: one for key, one in state.carried.items() if one.version < since}
    return State(state.at_us, {key: data for key, data in state.trackers.items() if key not in keys}, carried)


def carry(state: State, definitions: Definitions, version: int) -> State:
    """Return the state with what is not defined set aside, which counts the events up to this version of the stream."""
    kinds = definitions.trackers
    if state.trackers.keys() <= kinds.keys():
        return state
    kept = {key: one for key, one in state.carried.items() if one.at_us > state.at_us - _KEPT_US}
    set_aside = {k: Carried(version, state.at_us, data) for k, data in state.trackers.items() if k not in kinds}
    defined = {key: data for key, data in state.trackers.items() if key in kinds}
    return State(state.at_us, defined, {**kept, **set_aside})


def resume(state: State, key: str, events: Iterable[Event], definitions: Definitions) -> State:
    """Return the state with a carried tracker that is defined again, given the events since the version it counts."""
    carried = dict(state.carried)
    one = State(state.at_us, {key: carried.pop(key).data})
    resumed = absorb(one, events, definitions, state.at_us)
    return State(resumed.at_us, {**state.trackers, **resumed.trackers}, carried)


def rebuild(state: State, events: Iterable[Event], definitions: Definitions, now_us: int) -> State:
    """Return the state with its missing trackers made from `events`, the absorbed events that the log still has."""
    kinds = definitions.trackers
    missing_only = State(state.at_us, {key: kinds[key].empty() for key in missing(state, definitions)})
    rebuilt = absorb(missing_only, events, definitions, now_us)
    existing = absorb(state, (), definitions, rebuilt.at_us)
    return State(rebuilt.at_us, {**existing.trackers, **rebuilt.trackers}, state.carried)


def lies_ahead(state: State, now_us: int) -> bool:
    """Tell whether a clock that was ahead gave the state its time: it would be read at that time, past its windows."""
    return state.at_us > now_us + TOLERANCE_US


def anchored(state: State, log: Sequence[Event], definitions: Definitions, held: Container[str], now_us: int) -> State:
    """Return a state that lies ahead as of `now_us`, made of the events that the log has, in the order of recording.

    Events that were recorded ahead count as of just before the next one, or before now.

    :param held: keys of the trackers of which the log holds every event that still counts; of the others, the latest
        event is that of the log if it has one, and sums over a longer time stay as they are
    """
    made = absorb(State.empty(definitions), _in_time(log, now_us), definitions, now_us)
    trackers = {}
    for key, data in made.trackers.items():
        is_from_log = key in held or (definitions.trackers[key].reach_us() is None and data is not None)
        trackers[key] = data if is_from_log else state.trackers.get(key, data)
    return State(made.at_us, trackers, state.carried)


def _in_time(events: Sequence[Event], now_us: int) -> list[Event]:
    """Return events in the order of recording, where what was recorded ahead is so just before the one after it."""
    earlier = accumulate((e.recorded_us for e in events), lambda a, b: b if a < b <= now_us else a, initial=NEVER_US)
    in_time, next_us = list[Event](), now_us
    for event, before_us in zip(reversed(events), reversed([*earlier][:-1]), strict=True):
        if event.recorded_us > now_us + TOLERANCE_US:
            in_time.append(event._replace(recorded_us=next_us - 1))
        else:
            in_time.append(event)
            next_us = min(next_us, event.recorded_us) if event.recorded_us >= before_us else next_us
    return in_time[::-1]


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
    trackers = {**state.trackers, _CARRIED: state.carried} if state.carried else state.trackers
    return to_json([FORMAT, state.at_us, trackers])


def decode(body: bytes) -> State:
    """Return the state that `encode` encoded."""
    _, at_us, trackers = from_json(body, cache_strings="none")
    if _CARRIED not in trackers:
        return State(at_us, trackers)
    carried = trackers.pop(_CARRIED)
    return State(at_us, trackers, {key: Carried._make(one) for key, one in carried.items()})
