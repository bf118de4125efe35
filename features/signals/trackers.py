"""What is kept of the past for one definition, per compute: small lists that absorb events in any order.

The data of a tracker is JSON: lists, numbers and texts. `add` changes what `own` copied; everything else leaves what it
is given as it was. Adding is commutative, so is `merge`. `prune` drops what no reading at that time or later needs.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import repeat
from operator import sub
from typing import Any

from decisioning.facts.schema import Value
from decisioning.facts.signals import PARTS

MILLIONTHS = 1_000_000
_LONG = 40
_WEIGHT_BITS = 40

Data = Any
"""A tracker's own, JSON."""


class Tracker(ABC):
    """One compute of one definition."""

    @abstractmethod
    def empty(self) -> Data:
        """Of a subject without events."""

    @abstractmethod
    def own(self, data: Data) -> Data:
        """A copy that `add` may change."""

    @abstractmethod
    def add(self, data: Data, time_us: int, value: Value, key: str) -> Data:
        """`data` with one event; `value`: of the field, if the compute has one; `key`: of the event."""

    @abstractmethod
    def prune(self, data: Data, at_us: int) -> Data:
        """Without what no reading at `at_us` or later needs; `data` itself stays as it was."""

    @abstractmethod
    def merge(self, a: Data, b: Data) -> Data:
        """Both, as if one had absorbed the events of the two."""

    @abstractmethod
    def read(self, data: Data, at_us: int) -> Value | None:
        """The feature at a time not before any event; None: UNKNOWN."""


def millionths(value: float) -> int:
    """A number as a whole number of millionths, half to even; whole numbers exactly."""
    return value * MILLIONTHS if isinstance(value, int) else round(value * MILLIONTHS)


@dataclass(frozen=True, slots=True)
class Buckets(Tracker):
    """Whole numbers per bucket of time, `[[bucket, …], [total, …]]`, ascending; bucket = floor(time * parts / span)."""

    span_us: int
    parts: int
    kept: int

    def empty(self) -> Data:
        return [[], []]

    def own(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy()]

    def amount(self, time_us: int, value: Value) -> int:
        """What one event adds to its bucket."""
        return 1

    def add(self, data: Data, time_us: int, value: Value, key: str) -> Data:
        buckets, totals = data
        bucket = time_us * self.parts // self.span_us
        amount = self.amount(time_us, value)
        if not buckets or bucket > buckets[-1]:
            buckets.append(bucket)
            totals.append(amount)
            return data
        at = bisect_left(buckets, bucket)
        if buckets[at] == bucket:
            totals[at] += amount
        else:
            buckets.insert(at, bucket)
            totals.insert(at, amount)
        return data

    def prune(self, data: Data, at_us: int) -> Data:
        oldest = at_us * self.parts // self.span_us - self.kept
        buckets, totals = data
        if not buckets or buckets[0] > oldest:
            return data
        at = bisect_right(buckets, oldest)
        return [buckets[at:], totals[at:]]

    def merge(self, a: Data, b: Data) -> Data:
        totals = dict(zip(*a, strict=True))
        for bucket, total in zip(*b, strict=True):
            totals[bucket] = totals.get(bucket, 0) + total
        ordered = sorted(totals)
        return [ordered, [totals[bucket] for bucket in ordered]]

    def total(self, data: Data, at_us: int) -> int:
        """Of the buckets that still count at `at_us`."""
        oldest = at_us * self.parts // self.span_us - self.kept
        buckets, totals = data
        whole = not buckets or buckets[0] > oldest
        return int(sum(totals if whole else totals[bisect_right(buckets, oldest) :]))


@dataclass(frozen=True, slots=True)
class Count(Buckets):
    """Events within a window."""

    def read(self, data: Data, at_us: int) -> int:
        return self.total(data, at_us)


@dataclass(frozen=True, slots=True)
class Sum(Buckets):
    """Sum of a field within a window, in whole millionths, so that it does not depend on any order."""

    def amount(self, time_us: int, value: Any) -> int:
        return millionths(value)

    def read(self, data: Data, at_us: int) -> float:
        return self.total(data, at_us) / MILLIONTHS


@dataclass(frozen=True, slots=True)
class Intensity(Buckets):
    """Events, each worth half as much after every `span_us`; a bucket per half-life.

    Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event weighs 2^(t/h), which
    never changes, and a reading divides by 2^(T/h). The whole part of t/h is the bucket; the rest is summed in whole
    2^-40ths, so that no order changes a bit. After 64 half-lives an event is forgotten.
    """

    def amount(self, time_us: int, value: Any) -> int:
        return round(math.exp2(time_us % self.span_us / self.span_us + _WEIGHT_BITS))

    def read(self, data: Data, at_us: int) -> float:
        now, rest_us = divmod(at_us, self.span_us)
        weighed = sum(map(math.ldexp, data[1], map(sub, data[0], repeat(now))))
        return weighed * math.exp2(-rest_us / self.span_us - _WEIGHT_BITS)


@dataclass(frozen=True, slots=True)
class Distinct(Tracker):
    """Values of a field within a window: `[[last time, …], [value, …]]` of the `keys` latest, ascending.

    A value counts by its last event alone, and one that came back after it was dropped is as new: the latest `keys`
    are the same in any order of events.
    """

    span_us: int
    keys: int

    def empty(self) -> Data:
        return [[], []]

    def own(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy()]

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        times, values = data
        value = _short(value)
        if value in values:
            at = values.index(value)
            if time_us <= times[at]:
                return data
            del times[at], values[at]
        at = _position(data, time_us, value)
        times.insert(at, time_us)
        values.insert(at, value)
        if len(times) > self.keys:
            del times[0], values[0]
        return data

    def prune(self, data: Data, at_us: int) -> Data:
        at = self._first(data[0], at_us)
        return [data[0][at:], data[1][at:]] if at else data

    def merge(self, a: Data, b: Data) -> Data:
        latest = dict(zip(a[1], a[0], strict=True))
        for time_us, value in zip(*b, strict=True):
            latest[value] = max(time_us, latest.get(value, time_us))
        kept = sorted((time_us, value) for value, time_us in latest.items())[-self.keys :]
        return [[time_us for time_us, _ in kept], [value for _, value in kept]]

    def read(self, data: Data, at_us: int) -> int:
        return len(data[0]) - self._first(data[0], at_us)

    def _first(self, times: list[int], at_us: int) -> int:
        """Position of the first time whose bucket counts."""
        bucket = at_us * PARTS // self.span_us - PARTS + 1
        begins_us = -(-bucket * self.span_us // PARTS)
        return bisect_left(times, begins_us) if times and times[0] < begins_us else 0


def _short(value: Any) -> Any:
    """A value, or the digest of a long text: what a subject leaves behind stays small."""
    if isinstance(value, str) and len(value) > _LONG:
        return hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    return value


def _position(data: Data, time_us: int, value: Any) -> int:
    """Where (time, value) belongs."""
    times, values = data
    if not times or time_us > times[-1]:
        return len(times)
    low, high = bisect_left(times, time_us), bisect_right(times, time_us)
    return bisect_left(values, value, low, high)


@dataclass(frozen=True, slots=True)
class Last(Tracker):
    """The value of the latest event, of the greatest key where two are as late: None, or `[time, key, value]`.

    UNKNOWN once it is older than `max_age_us`.
    """

    max_age_us: int | None = None

    def empty(self) -> Data:
        return None

    def own(self, data: Data) -> Data:
        return data

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        if data is not None and (time_us, key) <= (data[0], data[1]):
            return data
        return [time_us, key, value]

    def prune(self, data: Data, at_us: int) -> Data:
        return data

    def merge(self, a: Data, b: Data) -> Data:
        if a is None or b is None:
            return b if a is None else a
        return max(a, b, key=lambda data: data[:2])

    def read(self, data: Data, at_us: int) -> Value | None:
        if data is None or (self.max_age_us is not None and at_us - data[0] > self.max_age_us):
            return None
        return data[2]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Since(Tracker):
    """Seconds since the latest event: None, or its time."""

    def empty(self) -> Data:
        return None

    def own(self, data: Data) -> Data:
        return data

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        return time_us if data is None else max(data, time_us)

    def prune(self, data: Data, at_us: int) -> Data:
        return data

    def merge(self, a: Data, b: Data) -> Data:
        return max((time_us for time_us in (a, b) if time_us is not None), default=None)

    def read(self, data: Data, at_us: int) -> float | None:
        return None if data is None else max(0, at_us - data) / 1_000_000


@dataclass(frozen=True, slots=True)
class Sessions(Tracker):
    """Runs of events no more than `gap_us` apart: `[[start, …], [end, …], [events, …]]`, ascending.

    A run is kept for as long as an event that comes up to `lateness_us` late may still touch it.
    """

    gap_us: int
    lateness_us: int

    def empty(self) -> Data:
        return [[], [], []]

    def own(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy(), data[2].copy()]

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        self._join(data, time_us, time_us, 1)
        return data

    def _join(self, data: Data, start_us: int, end_us: int, events: int) -> None:
        """One more run; those that it touches become one with it."""
        starts, ends, counts = data
        first = bisect_left(ends, start_us - self.gap_us)
        last = bisect_right(starts, end_us + self.gap_us)
        if first < last:
            start_us, end_us = min(start_us, starts[first]), max(end_us, ends[last - 1])
            events += sum(counts[first:last])
        starts[first:last], ends[first:last], counts[first:last] = [start_us], [end_us], [events]

    def prune(self, data: Data, at_us: int) -> Data:
        ends, oldest_us = data[1], at_us - self.lateness_us - self.gap_us
        if not ends or ends[0] >= oldest_us:
            return data
        at = bisect_left(ends, oldest_us)
        return [column[at:] for column in data]

    def merge(self, a: Data, b: Data) -> Data:
        merged = self.own(a)
        for start_us, end_us, events in zip(*b, strict=True):
            self._join(merged, start_us, end_us, events)
        return merged

    def current(self, data: Data, at_us: int) -> bool:
        """Whether the last run still goes on."""
        return bool(data[1]) and data[1][-1] >= at_us - self.gap_us


@dataclass(frozen=True, slots=True)
class SessionEvents(Sessions):
    """Events of the run that goes on."""

    def read(self, data: Data, at_us: int) -> int:
        return data[2][-1] if self.current(data, at_us) else 0


@dataclass(frozen=True, slots=True)
class SessionSeconds(Sessions):
    """From the first to the last event of the run that goes on."""

    def read(self, data: Data, at_us: int) -> float:
        return (data[1][-1] - data[0][-1]) / 1_000_000 if self.current(data, at_us) else 0.0
