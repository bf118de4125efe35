"""A tracker of values that come again: the bot's same answer twice, the same wish unsolved."""

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Any

from decisioning.facts.signals import MAX_REPEATED
from features.signals.trackers import NEVER_US, Data, Tracker, position, short


@dataclass(frozen=True, slots=True)
class Repeated(Tracker):
    """How often the most frequent value of a field occurs, in a window and after the latest event that begins it anew.

    `[begun, [time, …], [value, …]]` of the `MAX_REPEATED` latest events after `begun`, ascending: which these are does
    not depend on the order in which events come, as a later one always goes before an earlier one.
    """

    span_us: int

    def empty(self) -> Data:
        return [NEVER_US, [], []]

    def copy(self, data: Data) -> Data:
        return [data[0], data[1].copy(), data[2].copy()]

    def add(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        begun_us, times, values = data
        if time_us > begun_us:
            value = short(value)
            at = position([times, values], time_us, value)
            times.insert(at, time_us)
            values.insert(at, value)
            if len(times) > MAX_REPEATED:
                del times[0], values[0]
        return data

    def begin_anew(self, data: Data, time_us: int, value: Any, key: str) -> Data:
        """Return `data` with an event from which on values are counted anew; those at the same time are before it."""
        if time_us <= data[0]:
            return data
        at = bisect_right(data[1], time_us)
        return [time_us, data[1][at:], data[2][at:]]

    def reach_us(self) -> int:
        return self.span_us

    def begins_us(self, at_us: int) -> int:
        return at_us - self.span_us + 1

    def prune(self, data: Data, at_us: int) -> Data:
        at = bisect_left(data[1], self.begins_us(at_us))
        begun_us = data[0] if data[0] >= self.begins_us(at_us) else NEVER_US
        return [begun_us, data[1][at:], data[2][at:]] if at or begun_us != data[0] else data

    def merge(self, a: Data, b: Data) -> Data:
        begun_us = max(a[0], b[0])
        both = sorted((*zip(*a[1:], strict=True), *zip(*b[1:], strict=True)))
        kept = [event for event in both if event[0] > begun_us][-MAX_REPEATED:]
        return [begun_us, [time_us for time_us, _ in kept], [value for _, value in kept]]

    def read(self, data: Data, at_us: int) -> int:
        counted = data[2][bisect_left(data[1], self.begins_us(at_us)) :]
        return max(Counter(counted).values(), default=0)
