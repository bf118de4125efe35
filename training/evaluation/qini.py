"""The effect of an action, and Qini's coefficient: how well a score finds the customers whom the action moves.

The definition is fixed. Rows i = 1..n were shown the action or not; w_i is the inverse of the probability of that,
1 / p where it was shown and 1 / (1 - p) where not, scaled so that those of either arm sum to n. With v_i = w_i y_i
where it was shown and -w_i y_i where it was not:

    effect = mean of v_i                                    outcomes per head gained by showing it to everybody
    gain(q) = sum of v_i over the q n highest scores / n    the curve; a straight line for an uninformative score
    Qini = integral of gain(q) dq from 0 to 1 - effect / 2 = mean of v_i (1/2 - (r_i - 1/2) / n)

r_i is the rank from the highest score; equal scores share the mean of their ranks. Qini is the area between curve and
straight line of Radcliffe (Using control groups to target on predicted lift, 2007), in outcomes per head and not
divided by the area of a perfect score. Radcliffe scales the control within each part of the curve; here it is scaled
once, by recorded probabilities. Qini is 0 for an uninformative score. Intervals rest on the influence of
every customer's rows (Hajek projection, since weights, ranks and numbers of rows are of the sample, too).
"""

from dataclasses import dataclass

import numpy as np

from training.evaluation.metrics import middle_ranks
from training.fitting.control import ControlRows
from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.model.frame import Floats


@dataclass(frozen=True, slots=True)
class QiniComparison:
    """Qini of one score and of another, and the difference."""

    qini: ConfidenceInterval
    other: ConfidenceInterval
    difference: ConfidenceInterval


def effect(data: ControlRows) -> ConfidenceInterval:
    """Return the outcomes per head gained by showing the action to everybody, over showing it to nobody."""
    value, influence = _weighted_difference(data, np.ones(len(data.shown)))
    return mean_interval(value + influence, unit=data.unit)


def qini(data: ControlRows, score: Floats) -> ConfidenceInterval:
    """Return Qini's coefficient of a score (n,); customers with the highest scores come first."""
    value, influence = _qini(data, score)
    return mean_interval(value + influence, unit=data.unit)


def compare_scores(data: ControlRows, score: Floats, other: Floats) -> QiniComparison:
    """Return the coefficients of two scores (n,) on the same rows, and their difference.

    There is a gain only if the interval of the difference excludes 0.
    """
    (a, of_a), (b, of_b) = _qini(data, score), _qini(data, other)
    terms = (a + of_a, b + of_b, a - b + of_a - of_b)
    return QiniComparison(*(mean_interval(each, unit=data.unit) for each in terms))


def _qini(data: ControlRows, score: Floats) -> tuple[float, Floats]:
    """Return the coefficient and the influence of each row on it, (n,), with mean zero."""
    n = len(score)
    place = 0.5 - (middle_ranks(-score) - 0.5) / n
    value, by_outcome = _weighted_difference(data, place)
    by_rank = _mean_above(score, np.where(data.shown, 1.0, -1.0) * data.weight * data.outcome)
    return value, by_outcome + by_rank - by_rank.mean()


def _mean_above(score: Floats, terms: Floats) -> Floats:
    """Return per row, (n,), the sum of the `terms` (n,) of higher scores and half of those of equal ones, over n."""
    _, at = np.unique(-score, return_inverse=True)
    sums = np.bincount(at, terms)
    return np.asarray(((np.cumsum(sums) - 0.5 * sums) / len(score))[at], dtype=np.float64)


def _weighted_difference(data: ControlRows, factor: Floats) -> tuple[float, Floats]:
    """Return the weighted mean of outcome x factor where shown less that where withheld, and each row's influence."""
    weight, terms = data.weight, data.outcome * factor
    of_shown = float(np.mean(np.where(data.shown, weight * terms, 0.0)))
    of_withheld = float(np.mean(np.where(data.shown, 0.0, weight * terms)))
    influence = weight * np.where(data.shown, terms - of_shown, of_withheld - terms)
    return of_shown - of_withheld, np.asarray(influence, dtype=np.float64)
