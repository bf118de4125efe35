"""Compares how well two scores rank the same rows."""

from decisioning.errors import Refused
from training.evaluation.metrics import middle_ranks
from training.fitting.intervals import ConfidenceInterval
from training.model.frame import Bools, Floats

_Z = 1.959964


def auc_gain(label: Bools, score: Floats, baseline: Floats) -> ConfidenceInterval:
    """Return the AUC of `score` less that of `baseline`, both (n,), with its 95% interval.

    :raises Refused: a label has fewer than two rows

    DeLong, DeLong & Clarke-Pearson, Comparing the areas under two or more correlated ROC curves, Biometrics 44 (1988).
    """
    if min(label.sum(), (~label).sum()) < 2:
        raise Refused("AUC: the rows need two of each outcome to compare by")
    of_score, of_baseline = _placements(label, score), _placements(label, baseline)
    differences = [a - b for a, b in zip(of_score, of_baseline, strict=True)]
    gain = float(differences[0].mean())
    error = float(sum(d.var(ddof=1) / len(d) for d in differences)) ** 0.5
    return ConfidenceInterval(gain, gain - _Z * error, gain + _Z * error)


def _placements(label: Bools, score: Floats) -> tuple[Floats, Floats]:
    """Return per positive row the share of negatives below it, and per negative row the share of positives above."""
    positives, negatives = score[label], score[~label]
    ranks = middle_ranks(score)
    above = (ranks[label] - middle_ranks(positives)) / len(negatives)
    below = (ranks[~label] - middle_ranks(negatives)) / len(positives)
    return above, 1.0 - below
