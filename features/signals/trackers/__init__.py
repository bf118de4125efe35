"""Trackers: what one definition keeps of past events, for each way of computing; small lists fed in any order.

The data of a tracker is JSON: lists, numbers and texts. Only `add` changes its argument, which `copy` made; all other
methods leave their arguments unchanged. `add` and `merge` are commutative. `prune` drops what no reading at that time
or later needs.
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
NEVER_US = -(2**63)
"""Before every event."""
_LONG = 40
_WEIGHT_BITS = 40

Data = Any
"""The data of a tracker; its JSON form is the tracker's own affair."""


class Tracker(ABC):
    """The computation of one definition."""

    @abstractmethod
    def empty(self) -> Data:
        """Return the data of a subject without events."""

    @abstractmethod
    def copy(self, data: Data) -> Data:
        """Return a copy that `add` may change."""

    @abstractmethod
    def add(self, data: Data, time_us: int, value: Value, key: str) -> Data:
        """Return `data` with one event: the value of the definition's field, if it has one, and the event's key."""

    def reach_us(self) -> int | None:
        """Return for how long an event counts at most; None: the latest one counts, however long ago it was."""
        return None

    def begins_us(self, at_us: int) -> int:
        """Return a time: `prune` at `at_us` leaves nothing of the events before it."""
        return NEVER_US

    def prune(self, data: Data, at_us: int) -> Data:
        """Return the data without what no reading at `at_us` or later needs."""
        return data

    @abstractmethod
    def merge(self, a: Data, b: Data) -> Data:
        """Return the data that the events of both give together."""

    @abstractmethod
    def read(self, data: Data, at_us: int) -> Value | None:
        """Return the feature at a time that is not before any event; None is UNKNOWN."""


def millionths(value: float) -> int:
    """Return a number in whole millionths, rounded half to even; integers are exact."""
    return value * MILLIONTHS if isinstance(value, int) else round(value * MILLIONTHS)


@dataclass(frozen=True, slots=True)
class Buckets(Tracker):
    """Integer totals per time bucket: `[[bucket, …], [total, …]]`, ascending; bucket = floor(time * parts / span)."""

    span_us: int
    parts: int
    n_buckets: int

    def empty(self) -> Data:
        return [[], []]

    def copy(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy()]

    def amount(self, time_us: int, value: Value) -> int:
        """Return what one event adds to the total of its bucket."""
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

    def reach_us(self) -> int:
        return self.span_us * self.n_buckets // self.parts

    def begins_us(self, at_us: int) -> int:
        bucket = at_us * self.parts // self.span_us - self.n_buckets + 1
        return -(-bucket * self.span_us // self.parts)

    def prune(self, data: Data, at_us: int) -> Data:
        oldest = at_us * self.parts // self.span_us - self.n_buckets
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
        """Return the sum over the buckets that still count at `at_us`."""
        oldest = at_us * self.parts // self.span_us - self.n_buckets
        buckets, totals = data
        all_count = not buckets or buckets[0] > oldest
        return int(sum(totals if all_count else totals[bisect_right(buckets, oldest) :]))


@dataclass(frozen=True, slots=True)
class Count(Buckets):
    """The number of events within a window."""

    def read(self, data: Data, at_us: int) -> int:
        return self.total(data, at_us)


@dataclass(frozen=True, slots=True)
class Sum(Buckets):
    """The sum of a field within a window, kept in whole millionths so that the order does not matter."""

    def amount(self, time_us: int, value: Any) -> int:
        return millionths(value)

    def read(self, data: Data, at_us: int) -> float:
        return self.total(data, at_us) / MILLIONTHS


@dataclass(frozen=True, slots=True)
class Intensity(Buckets):
    """The number of events, each of which counts half as much after every `span_us`; one bucket per half-life.

    Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): an event weighs 2^(t/h), which
    never changes, and a reading divides by 2^(T/h). The integer part of t/h is the bucket; the fraction is summed in
    whole 2^-40ths, so that the order changes no bit. After 64 half-lives an event no longer counts.
    """

    def amount(self, time_us: int, value: Any) -> int:
        return round(math.exp2(time_us % self.span_us / self.span_us + _WEIGHT_BITS))

    def read(self, data: Data, at_us: int) -> float:
        now, rest_us = divmod(at_us, self.span_us)
        weighted = sum(map(math.ldexp, data[1], map(sub, data[0], repeat(now))))
        return weighted * math.exp2(-rest_us / self.span_us - _WEIGHT_BITS)


@dataclass(frozen=True, slots=True)
class Distinct(Tracker):
    """The number of values of a field within a window: `[[last time, …], [value, …]]` of the `keys` latest, ascending.

    A value counts by its last event alone, and a dropped value that occurs again is new: the latest `keys` values are
    the same in any order of events.
    """

    span_us: int
    keys: int

    def empty(self) -> Data:
        return [[], []]

    def copy(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy()]

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        times, values = data
        value = short(value)
        if value in values:
            at = values.index(value)
            if time_us <= times[at]:
                return data
            del times[at], values[at]
        at = position(data, time_us, value)
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
        newest = sorted((time_us, value) for value, time_us in latest.items())[-self.keys :]
        return [[time_us for time_us, _ in newest], [value for _, value in newest]]

    def read(self, data: Data, at_us: int) -> int:
        return len(data[0]) - self._first(data[0], at_us)

    def _first(self, times: list[int], at_us: int) -> int:
        """Return the position of the first time whose bucket counts."""
        begins_us = self.begins_us(at_us)
        return bisect_left(times, begins_us) if times and times[0] < begins_us else 0

    def reach_us(self) -> int:
        return self.span_us

    def begins_us(self, at_us: int) -> int:
        bucket = at_us * PARTS // self.span_us - PARTS + 1
        return -(-bucket * self.span_us // PARTS)


def short(value: Any) -> Any:
    """Return the value, or the digest of a long text, so that states stay small."""
    if isinstance(value, str) and len(value) > _LONG:
        return hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    return value


def position(data: Data, time_us: int, value: Any) -> int:
    """Return where to insert (time, value)."""
    times, values = data
    if not times or time_us > times[-1]:
        return len(times)
    low, high = bisect_left(times, time_us), bisect_right(times, time_us)
    return bisect_left(values, value, low, high)


@dataclass(frozen=True, slots=True)
class Last(Tracker):
    """The value of the latest event: None, or `[time, key, value]`. Of simultaneous events the greatest key counts.

    UNKNOWN once the event is older than `max_age_us`.
    """

    max_age_us: int | None = None

    def empty(self) -> Data:
        return None

    def copy(self, data: Data) -> Data:
        return data

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        if data is None or time_us > data[0] or (time_us == data[0] and key > data[1]):
            return [time_us, key, value]
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
    """The seconds since the latest event; the data is its time, or None."""

    def empty(self) -> Data:
        return None

    def copy(self, data: Data) -> Data:
        return data

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        return time_us if data is None or time_us > data else data

    def merge(self, a: Data, b: Data) -> Data:
        return max((time_us for time_us in (a, b) if time_us is not None), default=None)

    def read(self, data: Data, at_us: int) -> float | None:
        return None if data is None else max(0, at_us - data) / 1_000_000


@dataclass(frozen=True, slots=True)
class Sessions(Tracker):
    """Sessions, that is events at most `gap_us` apart: `[[start, …], [end, …], [events, …]]`, ascending.

    A session is kept as long as an event that is up to `lateness_us` late can still extend it.
    """

    gap_us: int
    lateness_us: int

    def empty(self) -> Data:
        return [[], [], []]

    def copy(self, data: Data) -> Data:
        return [data[0].copy(), data[1].copy(), data[2].copy()]

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        starts, ends, counts = data
        if not ends or time_us > ends[-1] + self.gap_us:  # as almost always: the first event of a new session
            starts.append(time_us)
            ends.append(time_us)
            counts.append(1)
        else:
            self._join(data, time_us, time_us, 1)
        return data

    def _join(self, data: Data, start_us: int, end_us: int, events: int) -> None:
        """Add a session, and merge those that it touches into it."""
        starts, ends, counts = data
        first = bisect_left(ends, start_us - self.gap_us)
        last = bisect_right(starts, end_us + self.gap_us)
        if first < last:
            start_us, end_us = min(start_us, starts[first]), max(end_us, ends[last - 1])
            events += sum(counts[first:last])
        starts[first:last], ends[first:last], counts[first:last] = [start_us], [end_us], [events]

    def reach_us(self) -> int:
        return self.lateness_us + self.gap_us

    def prune(self, data: Data, at_us: int) -> Data:
        ends, oldest_us = data[1], at_us - self.lateness_us - self.gap_us
        if not ends or ends[0] >= oldest_us:
            return data
        at = bisect_left(ends, oldest_us)
        return [column[at:] for column in data]

    def merge(self, a: Data, b: Data) -> Data:
        merged = self.copy(a)
        for start_us, end_us, events in zip(*b, strict=True):
            self._join(merged, start_us, end_us, events)
        return merged

    def current(self, data: Data, at_us: int) -> bool:
        """Tell whether the last session still goes on."""
        return bool(data[1]) and data[1][-1] >= at_us - self.gap_us


@dataclass(frozen=True, slots=True)
class SessionEvents(Sessions):
    """The number of events of the current session."""

    def read(self, data: Data, at_us: int) -> int:
        return data[2][-1] if self.current(data, at_us) else 0


@dataclass(frozen=True, slots=True)
class SessionSeconds(Sessions):
    """The seconds from the first to the last event of the current session."""

    def read(self, data: Data, at_us: int) -> float:
        return (data[1][-1] - data[0][-1]) / 1_000_000 if self.current(data, at_us) else 0.0
