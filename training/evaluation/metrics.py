"""How well a model's probabilities rank and how well they are calibrated."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from decisioning.errors import Refused
from training.fitting.folds import stratified_folds
from training.model.frame import Bools, Floats
from training.model.logistic import probability_log_losses


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """One bin of equally many rows: mean predicted and observed rate, number of rows, standard error of observed."""

    predicted: float
    observed: float
    rows: int
    error: float


def auc(label: Bools, score: Floats) -> float:
    """Probability that a positive row outscores a negative one, ties counting half; Refused with one label only."""
    positives, negatives = int(label.sum()), int((~label).sum())
    if positives == 0 or negatives == 0:
        raise Refused("AUC: the rows need both outcomes")
    ranks = middle_ranks(score)
    return float((ranks[label].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def middle_ranks(score: Floats) -> Floats:
    """Of each row, (n,), from 1; ties share the mean of theirs."""
    _, position, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
    return ranks


def log_loss(label: Bools, probability: Floats) -> float:
    """Mean negative log-likelihood, nats; probabilities strictly between 0 and 1."""
    return float(probability_log_losses(label, probability).mean())


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); `n` at least 1."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def calibration_table(label: Bools, probability: Floats, bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Predicted against observed rates in up to `bins` bins of equally many rows, by rising prediction."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(label)))
    return tuple(_bin(label[rows], probability[rows]) for rows in parts)


def cross_validated_auc(
    x: Floats, label: Bools, fit_score: Callable[[Floats, Bools, Floats], Floats], folds: int, seeds: Sequence[int]
) -> Floats:
    """AUC on each held-out fold, shape (len(seeds), folds); stratified and shuffled.

    `fit_score(x_train, label_train, x_held_out)` gives the scores of the held-out rows.
    """
    found = np.empty((len(seeds), folds))
    for i, seed in enumerate(seeds):
        fold = stratified_folds(label, folds, seed)
        for k in range(folds):
            train = fold != k
            found[i, k] = auc(label[~train], fit_score(x[train], label[train], x[~train]))
    return found


def _bin(label: Bools, probability: Floats) -> CalibrationBin:
    rate = float(label.mean())
    error = (rate * (1.0 - rate) / len(label)) ** 0.5
    return CalibrationBin(float(probability.mean()), rate, len(label), error)
