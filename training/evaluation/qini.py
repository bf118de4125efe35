"""What withholding an action tells: its effect, and by Qini's coefficient how well a score finds whom it moves.

The definition is fixed. Rows i = 1..n were shown the action or not, with inverse probabilities w_i, which are scaled so
that those of either arm sum to n. With v_i = w_i y_i where it was shown and -w_i y_i where it was not:

    effect = mean of v_i                                    outcomes per head that showing it to everybody brings
    gain(q) = sum of v_i over the q n highest scores / n    the curve; a straight line where scores say nothing
    Qini = integral of gain(q) dq from 0 to 1 - effect / 2 = mean of v_i (1/2 - (r_i - 1/2) / n)

r_i is the rank from the highest score, equal scores share the mean of theirs. It is the area between curve and straight
line of Radcliffe (Using control groups to target on predicted lift, 2007), in outcomes per head and not divided by that
of a perfect score; there the control is scaled within each part of the curve, here once, by recorded probabilities. It
is 0 for a score that says nothing. Intervals are normal, by the influence of every row (Hajek projection: weights
and ranks are of the sample, too), and by the bootstrap below 2,000 rows.
"""

from dataclasses import dataclass

import numpy as np

from training.evaluation.metrics import middle_ranks
from training.fitting.control import ControlRows
from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.model.frame import Floats, Ints


@dataclass(frozen=True, slots=True)
class QiniComparison:
    """Qini of one score beside another's, and what the one has more."""

    qini: ConfidenceInterval
    other: ConfidenceInterval
    difference: ConfidenceInterval


def effect(data: ControlRows) -> ConfidenceInterval:
    """What showing it to everybody brings per head, against showing it to nobody."""
    value, influence = _weighed(data, np.ones(len(data.shown)))
    return unit_interval(value + influence, data.unit)


def qini(data: ControlRows, score: Floats) -> ConfidenceInterval:
    """The coefficient of a score (n,), the higher the sooner; see above."""
    value, influence = _qini(data, score)
    return unit_interval(value + influence, data.unit)


def compare_scores(data: ControlRows, score: Floats, other: Floats) -> QiniComparison:
    """Two scores (n,) on the same rows; a gain only where the interval of the difference excludes 0."""
    (a, of_a), (b, of_b) = _qini(data, score), _qini(data, other)
    terms = (a + of_a, b + of_b, a - b + of_a - of_b)
    return QiniComparison(*(unit_interval(each, data.unit) for each in terms))


def unit_interval(per_row: Floats, unit: Ints) -> ConfidenceInterval:
    """The mean of terms (n,) of which only those of different customers, `unit` (n,), are independent."""
    _, at = np.unique(unit, return_inverse=True)
    sums = np.bincount(at, per_row)
    return mean_interval(np.asarray(sums * (len(sums) / len(per_row)), dtype=np.float64))


def _qini(data: ControlRows, score: Floats) -> tuple[float, Floats]:
    """The coefficient and the influence of each row on it, (n,), mean zero."""
    n = len(score)
    place = 0.5 - (middle_ranks(-score) - 0.5) / n
    value, own = _weighed(data, place)
    ranked = _above(score, np.where(data.shown, 1.0, -1.0) * data.weight * data.outcome)
    return value, own + ranked - ranked.mean()


def _above(score: Floats, signed: Floats) -> Floats:
    """(n,): the mean over all rows of `signed` (n,) where the score is higher, half of it where it is equal."""
    _, at = np.unique(-score, return_inverse=True)
    sums = np.bincount(at, signed)
    return np.asarray(((np.cumsum(sums) - 0.5 * sums) / len(score))[at], dtype=np.float64)


def _weighed(data: ControlRows, factor: Floats) -> tuple[float, Floats]:
    """The weighted mean of came x factor where it was shown, less that where it was not; and every row's influence."""
    weight, terms = data.weight, data.outcome * factor
    of_shown = float(np.mean(np.where(data.shown, weight * terms, 0.0)))
    of_withheld = float(np.mean(np.where(data.shown, 0.0, weight * terms)))
    influence = weight * np.where(data.shown, terms - of_shown, of_withheld - terms)
    return of_shown - of_withheld, np.asarray(influence, dtype=np.float64)
