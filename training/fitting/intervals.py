"""Confidence intervals of means and ratios, and the effective size of weighted rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from training.model.frame import Floats, Ints

MIN_EFFECTIVE = 200.0
"""Effective sample size below which no estimate is given."""
MIN_CUSTOMERS = 200
"""Customers below which nothing is claimed: intervals over fewer of them hold the truth less often than they say."""
_BOOTSTRAP_BELOW = 2_000
_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A value and its confidence limits, in the unit of what was estimated."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A statistic: its `value` for given row counts (n,), and each row's `influence` on it (n,), with mean zero."""

    value: Callable[[Floats], float]
    influence: Floats


def resampled_mean(per_row: Floats) -> Resampled:
    """Return the mean of `per_row` (n,) as a statistic."""
    return Resampled(lambda w: float(np.sum(w * per_row) / np.sum(w)), per_row - float(per_row.mean()))


def interval_of(statistic: Resampled, level: float, unit: Ints | None = None) -> ConfidenceInterval:
    """Return the interval of a statistic: normal, from the rows' influence.

    Below 2,000 rows its limits are percentiles of a bootstrap with a fixed seed.

    :param unit: codes (n,) of the customers, whose rows may depend on each other; None: all rows are independent
    """
    n = len(statistic.influence)
    value = statistic.value(np.ones(n))
    if unit is not None and n > 1:
        half = _half_width(statistic.influence, unit, level)
        return ConfidenceInterval(value, value - half, value + half)
    if n < _BOOTSTRAP_BELOW:
        values = [statistic.value(counts.astype(np.float64)) for counts in _resamplings(n)]
        low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return ConfidenceInterval(value, float(low), float(high))
    half = NormalDist().inv_cdf((1.0 + level) / 2.0) * float(np.std(statistic.influence, ddof=1)) / n**0.5
    return ConfidenceInterval(value, value - half, value + half)


def _half_width(influence: Floats, unit: Ints, level: float) -> float:
    """Return half the width of an interval over customers, by leaving out one customer after the other.

    Few customers may have most of the rows. Leaving one out then changes much, and the t distribution has as many
    degrees of freedom as there are customers in effect, less one (Bell and McCaffrey 2002; Carter, Schnepel and
    Steigerwald 2017).
    """
    _, at = np.unique(unit, return_inverse=True)
    sums, rows = np.bincount(at, influence), np.bincount(at).astype(np.float64)
    if len(rows) == 1:
        return math.inf
    changes = sums / (len(unit) - rows)
    error = math.sqrt((len(rows) - 1) / len(rows) * float(np.sum(changes**2)))
    freedom = max(effective_size(rows) - 1.0, 1.0)
    return error * float(stdtrit(freedom, (1.0 + level) / 2.0))


@lru_cache(maxsize=1)
def _resamplings(n: int) -> NDArray[np.uint16]:
    """Return how often each of n rows is drawn, (draws, n); the same for every statistic of n rows."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1.0 / n), size=_DRAWS).astype(np.uint16)


def mean_interval(per_row: Floats, level: float = 0.95, unit: Ints | None = None) -> ConfidenceInterval:
    """Return the mean of terms (n,) with its interval; `unit` as for `interval_of`."""
    return interval_of(resampled_mean(per_row), level, unit)


def effective_units(weight: Floats, unit: Ints) -> float:
    """Return how many equally weighted units would be as informative as these weights (n,) of rows of `unit` (n,)."""
    _, at = np.unique(unit, return_inverse=True)
    return effective_size(np.bincount(at, weight).astype(np.float64))


def effective_size(weight: Floats) -> float:
    """Return Kish's effective sample size: how many equally weighted rows would be as informative."""
    squares = float(np.sum(weight**2))
    return float(np.sum(weight)) ** 2 / squares if squares > 0.0 else 0.0
