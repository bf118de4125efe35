"""Compares how well two scores rank the same rows."""

import math

import numpy as np

from decisioning.errors import Refused
from training.evaluation.metrics import middle_ranks
from training.fitting.intervals import ConfidenceInterval
from training.model.frame import Bools, Floats, Ints, Units, per_unit

_Z = 1.959964


def auc_gain(label: Bools, score: Floats, baseline: Floats, unit: Units = None) -> ConfidenceInterval:
    """Return the AUC of `score` less that of `baseline`, both (n,), with its 95% interval.

    :param unit: (n,), codes of the customers, whose rows are not independent
    :raises Refused: a label has fewer than two rows

    DeLong, DeLong & Clarke-Pearson, Comparing the areas under two or more correlated ROC curves, Biometrics 44 (1988);
    Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997).
    """
    if min(label.sum(), (~label).sum()) < 2:
        raise Refused("AUC: the rows need two of each outcome to compare by")
    of_score, of_baseline = _placements(label, score), _placements(label, baseline)
    differences = [a - b for a, b in zip(of_score, of_baseline, strict=True)]
    gain = float(differences[0].mean())
    error = float(sum(d.var(ddof=1) / len(d) for d in differences)) ** 0.5
    if unit is not None:
        error = _error_over_units(label, differences, unit)
    return ConfidenceInterval(gain, gain - _Z * error, gain + _Z * error)


def _error_over_units(label: Bools, differences: list[Floats], unit: Ints) -> float:
    """Return the standard error of a mean difference of placements, of the positive rows and of the negative ones."""
    influence = np.empty(len(label))
    for rows, placements in zip((label, ~label), differences, strict=True):
        influence[rows] = (placements - placements.mean()) / len(placements)
    units = int(np.count_nonzero(np.bincount(unit)))
    return math.sqrt(units / max(units - 1, 1) * float(np.sum(per_unit(influence, unit) ** 2)))


def _placements(label: Bools, score: Floats) -> tuple[Floats, Floats]:
    """Return per positive row the share of negatives below it, and per negative row the share of positives above."""
    positives, negatives = score[label], score[~label]
    ranks = middle_ranks(score)
    above = (ranks[label] - middle_ranks(positives)) / len(negatives)
    below = (ranks[~label] - middle_ranks(negatives)) / len(positives)
    return above, 1.0 - below
