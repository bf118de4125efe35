"""Confidence intervals of means and ratios, and the effective size of weighted rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.model.frame import Floats

MIN_EFFECTIVE = 200.0
"""Below this effective sample size an answer would be noise with a decimal point."""
_SMALL = 2_000
_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A value and its confidence limits, in the reward's unit per decision."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """`value` of a resampling (row counts, (n,)), and the influence of every row on it, (n,), mean zero."""

    value: Callable[[Floats], float]
    influence: Floats


def resampled_mean(per_row: Floats) -> Resampled:
    return Resampled(lambda w: float(np.sum(w * per_row) / np.sum(w)), per_row - float(per_row.mean()))


def interval_of(terms: Resampled, level: float) -> ConfidenceInterval:
    """Normal, from every row's influence; below 2,000 rows the bootstrap's percentiles, drawn from a fixed seed."""
    n = len(terms.influence)
    value = terms.value(np.ones(n))
    if n < _SMALL:
        drawn = [terms.value(counts.astype(np.float64)) for counts in _resamplings(n)]
        low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return ConfidenceInterval(value, float(low), float(high))
    half = NormalDist().inv_cdf((1.0 + level) / 2.0) * float(np.std(terms.influence, ddof=1)) / n**0.5
    return ConfidenceInterval(value, value - half, value + half)


@lru_cache(maxsize=1)
def _resamplings(n: int) -> NDArray[np.uint16]:
    """How often each of n rows is drawn, (draws, n); the same for all that is asked of a log."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1.0 / n), size=_DRAWS).astype(np.uint16)


def mean_interval(per_row: Floats, level: float = 0.95) -> ConfidenceInterval:
    """The mean of independent terms (n,)."""
    return interval_of(resampled_mean(per_row), level)


def effective_size(weight: Floats) -> float:
    """Kish: how many equally weighted rows would be as informative."""
    squares = float(np.sum(weight**2))
    return float(np.sum(weight)) ** 2 / squares if squares > 0.0 else 0.0
