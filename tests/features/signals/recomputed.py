"""Signal features at any past time, computed from the log event by event.

This defines every compute, for a reader: `features.signals.state` must give the same results and shares no code with
it. Tests compare the two at the versions that decisions recorded. Events that retention has purged are not in the log;
the recomputation then knows less than the decision did.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.facts.schema import Feature, Value
from decisioning.facts.signals import MAX_REPEATED, PARTS, Compute, SignalFeature
from features.ledger import Ledger
from features.signals.event import Event
from features.signals.log import events_of

Matching = Sequence[Event]
"""Events that match a definition and have the field that it reads, if any."""


def point_in_time(ledger: Ledger, versions: Mapping[str, int], release: Release, at_us: int) -> dict[str, Value]:
    """Return a subject's signal features as of `at_us`, with its states at these versions.

    `versions`: of each stream of the subject, as a decision recorded them. Raises Unavailable.
    """
    events = [e for stream, upto in sorted(versions.items()) for e in events_of(ledger.select_hot, stream, upto)]
    return recompute(events, release.schema.of_source("signal"), at_us)


def recompute(events: Iterable[Event], features: Iterable[Feature], at_us: int) -> dict[str, Value]:
    """Return the features of these events as of a time, or as of the last recording if that is later.

    An event counts as having happened at its stated time, but not later than its recording. UNKNOWN is left out.
    """
    ordered = sorted(events, key=lambda e: (e.time_us, e.key))
    read_us = max([at_us, *(e.recorded_us for e in ordered)])
    values = {f.name: _value(f, f.signal, ordered, read_us) for f in features if f.signal}
    return {name: value for name, value in sorted(values.items()) if value is not None}


def _value(feature: Feature, spec: SignalFeature, events: Sequence[Event], at_us: int) -> Value | None:
    begun_us = max((e.time_us for e in events if e.type in spec.since), default=None)
    matching = [e for e in events if _matches(e, spec) and (begun_us is None or e.time_us > begun_us)]
    value = _COMPUTES[spec.compute](matching, spec, at_us)
    if feature.max_age_s is not None and matching and at_us - matching[-1].time_us > feature.max_age_s * 1_000_000:
        return None
    return value


def _matches(event: Event, spec: SignalFeature) -> bool:
    return (
        event.type in spec.of
        and (spec.field is None or spec.field in event.fields)
        and all(name in event.fields and event.fields[name] in values for name, values in spec.where.items())
    )


def _bucket(time_us: int, spec: SignalFeature) -> int:
    """Return the number of the part of a window, counted from 1970, in which a time lies."""
    return time_us * PARTS // spec.window_us


def _within(events: Matching, spec: SignalFeature, at_us: int) -> Matching:
    """Return the events in the part of the window in which `at_us` lies, and in the 29 parts before."""
    return [e for e in events if _bucket(at_us, spec) - _bucket(e.time_us, spec) < PARTS]


def _count(events: Matching, spec: SignalFeature, at_us: int) -> int:
    return len(_within(events, spec, at_us))


def _sum(events: Matching, spec: SignalFeature, at_us: int) -> float:
    values = [e.fields[spec.field or ""] for e in _within(events, spec, at_us)]
    millionths = [v * 1_000_000 if isinstance(v, int) else round(float(v) * 1e6) for v in values]
    return sum(millionths) / 1_000_000


def _distinct(events: Matching, spec: SignalFeature, at_us: int) -> int:
    """Return how many of the `max_keys` latest values occurred within the window."""
    last = {event.fields[spec.field or ""]: event for event in events}
    latest = sorted(last.values(), key=lambda e: e.time_us)[-spec.keys :]
    return len(_within(latest, spec, at_us))


def _repeated(events: Matching, spec: SignalFeature, at_us: int) -> int:
    """Return how often the most frequent value occurs among the latest events within the window, to the microsecond.

    Of events at the same time the greater value counts as the later one, and a long text is as great as its digest.
    """
    within = sorted(
        (e.time_us, _kept(e.fields[spec.field or ""])) for e in events if at_us - e.time_us < spec.window_us
    )
    values = [value for _, value in within[-MAX_REPEATED:]]
    return max(map(values.count, values), default=0)


def _kept(value: Value) -> Any:
    is_long = isinstance(value, str) and len(value) > 40
    return blake2b(str(value).encode(), digest_size=16).hexdigest() if is_long else value


def _last(events: Matching, spec: SignalFeature, at_us: int) -> Value | None:
    return events[-1].fields[spec.field or ""] if events else None


def _intensity(events: Matching, spec: SignalFeature, at_us: int) -> float:
    return math.fsum(2.0 ** (-(at_us - e.time_us) / spec.half_life_us) for e in events)


def _seconds_since(events: Matching, spec: SignalFeature, at_us: int) -> float | None:
    return (at_us - events[-1].time_us) / 1e6 if events else None


def _session(events: Matching, spec: SignalFeature, at_us: int) -> Matching:
    """Return the session that goes on at `at_us`, latest event first: no gap between its events is too long."""
    run: list[Event] = []
    next_us = at_us
    for event in reversed(events):
        if next_us - event.time_us > spec.gap_us:
            break
        run.append(event)
        next_us = event.time_us
    return run


def _session_events(events: Matching, spec: SignalFeature, at_us: int) -> int:
    return len(_session(events, spec, at_us))


def _session_seconds(events: Matching, spec: SignalFeature, at_us: int) -> float:
    run = _session(events, spec, at_us)
    return (run[0].time_us - run[-1].time_us) / 1e6 if run else 0.0


_COMPUTES: Mapping[Compute, Callable[[Matching, SignalFeature, int], Value | None]] = {
    "count": _count,
    "sum": _sum,
    "distinct": _distinct,
    "last": _last,
    "intensity": _intensity,
    "seconds_since": _seconds_since,
    "session_events": _session_events,
    "session_seconds": _session_seconds,
    "repeated": _repeated,
}
