"""The difference of two means per customer, with an interval that holds where one arm is small and few buy.

The variance that a small arm shows is no guide: an arm in which nobody happened to buy shows none. So each mean gets
the limits at which a test would reject it (Wilson 1927): for a mean u, the variance of its arm is what it would be if
its units bought so much oftener or more seldom that they earned u, and earned as both arms together do whenever they
bought. The limits of the difference are those of the two means, squared and added (Newcombe 1998).
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from training.fitting.intervals import ConfidenceInterval
from training.model.frame import Floats

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """What each of n units earned in all, `total` (n,), and how many customers it has, `customers` (n,)."""

    total: Floats
    customers: Floats

    def __len__(self) -> int:
        return len(self.total)

    @property
    def mean(self) -> float:
        """The mean per customer."""
        return float(self.total.sum() / self.customers.sum())


@dataclass(frozen=True, slots=True)
class _Shape:
    """The mean squares and products of a unit's total and customers; the first two are per euro of the mean."""

    totals: float
    product: float
    customers: float

    @classmethod
    def of(cls, arms: tuple[Totals, Totals]) -> "_Shape | None":
        """Return the shape of both arms together; None if nobody earned anything."""
        total, customers = (np.concatenate([getattr(a, name) for a in arms]) for name in ("total", "customers"))
        mean = float(total.sum() / customers.sum())
        if mean <= 0.0:
            return None
        squares, products = float(np.mean(total**2)), float(np.mean(total * customers))
        return cls(squares / mean, products / mean, float(np.mean(customers**2)))


def difference(a: Totals, b: Totals) -> ConfidenceInterval:
    """Return how much more a customer of `a` earned than one of `b`, with its 95% interval."""
    value, shape = a.mean - b.mean, _Shape.of((a, b))
    if shape is None:
        return ConfidenceInterval(value, value, value)
    (a_low, a_high), (b_low, b_high) = _limits(a, shape), _limits(b, shape)
    low = value - sqrt((a.mean - a_low) ** 2 + (b_high - b.mean) ** 2)
    return ConfidenceInterval(value, low, value + sqrt((a_high - a.mean) ** 2 + (b.mean - b_low) ** 2))


def _limits(arm: Totals, shape: _Shape) -> tuple[float, float]:
    """Return the 95% limits of the mean per customer of an arm: infinite if it is too small for any.

    They solve (mean - u)^2 = z^2 V(u) / n, with V(u) = `totals` u - 2 `product` u^2 + `customers` u^2 in units of the
    squared mean number of customers.
    """
    mean, scale = arm.mean, _Z**2 / (len(arm) * float(arm.customers.mean()) ** 2)
    square = 1.0 - scale * (shape.customers - 2.0 * shape.product)
    linear = 2.0 * mean + scale * shape.totals
    if square <= 0.0:
        return -np.inf, np.inf
    root = sqrt(max(linear**2 - 4.0 * square * mean**2, 0.0))
    return (linear - root) / (2.0 * square), (linear + root) / (2.0 * square)
