"""Closed intervals of float64. Rounding is monotone, so bounds computed in float64 enclose every float64 result."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from decisioning.rules.nodes import CompareOp

_INF = math.inf


@dataclass(frozen=True, slots=True)
class Interval:
    """All floats from `low` to `high`, both included; empty if `low > high`. An infinite bound is no bound."""

    low: float = -_INF
    high: float = _INF

    @property
    def empty(self) -> bool:
        return self.low > self.high

    def meet(self, other: "Interval") -> "Interval":
        """Return the intersection of both intervals."""
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def join(self, other: "Interval") -> "Interval":
        """Return the smallest interval that contains both."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def where_holds(self, op: CompareOp, other: "Interval") -> "Interval":
        """Return the part of this interval for which `x op y` holds for some y of `other`, which must not be empty."""
        match op:
            case "<":
                return self.meet(Interval(high=math.nextafter(other.high, -_INF)))
            case "<=":
                return self.meet(Interval(high=other.high))
            case ">":
                return self.meet(Interval(low=math.nextafter(other.low, _INF)))
            case ">=":
                return self.meet(Interval(low=other.low))
            case "==":
                return self.meet(other)
        return self._without(other.low) if other.low == other.high else self

    def _without(self, point: float) -> "Interval":
        low = math.nextafter(self.low, _INF) if self.low == point else self.low
        return Interval(low, math.nextafter(self.high, -_INF) if self.high == point else self.high)


ANY = Interval()
EMPTY = Interval(_INF, -_INF)


def combine(op: str, left: Interval, right: Interval) -> Interval:
    """Return an interval that contains `x op y` for all x and y of two intervals for which it is known."""
    if left.empty or right.empty:
        return EMPTY
    return _COMBINE[op](left, right)


def _times(left: Interval, right: Interval) -> Interval:
    return _hull([0.0 if 0.0 in (x, y) else x * y for x, y in _corners(left, right)])


def _divided_by(left: Interval, right: Interval) -> Interval:
    if right == Interval(0.0, 0.0):
        return EMPTY  # a division by zero is UNKNOWN
    if right.low <= 0.0 <= right.high:
        return ANY
    return _hull([x / y for x, y in _corners(left, right)])


def _corners(left: Interval, right: Interval) -> list[tuple[float, float]]:
    return list(product((left.low, left.high), (right.low, right.high)))


def _hull(bounds: list[float]) -> Interval:
    if any(math.isnan(b) for b in bounds):
        return ANY
    overflowed = min(bounds) == _INF or max(bounds) == -_INF
    return EMPTY if overflowed else Interval(min(bounds), max(bounds))


_COMBINE: dict[str, Callable[[Interval, Interval], Interval]] = {
    "+": lambda left, right: _hull([left.low + right.low, left.high + right.high]),
    "-": lambda left, right: _hull([left.low - right.high, left.high - right.low]),
    "*": _times,
    "/": _divided_by,
    # fmod lies between zero and its left side
    "%": lambda left, _right: Interval(min(left.low, 0.0), max(left.high, 0.0)),
    "min": lambda left, right: Interval(min(left.low, right.low), min(left.high, right.high)),
    "max": lambda left, right: Interval(max(left.low, right.low), max(left.high, right.high)),
}
