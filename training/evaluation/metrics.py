"""Measures of how well a model's probabilities rank and how well they are calibrated."""

import math
from dataclasses import dataclass

import numpy as np

from decisioning.errors import Refused
from training.model.frame import Bools, Floats
from training.model.logistic import probability_log_losses


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Mean predicted and observed rate of one bin, its number of rows, and the standard error of the observed rate."""

    predicted: float
    observed: float
    rows: int
    error: float


def auc(label: Bools, score: Floats) -> float:
    """Return the probability that a positive row outscores a negative one, counting ties as half.

    :raises Refused: only one of the labels occurs
    """
    positives, negatives = int(label.sum()), int((~label).sum())
    if positives == 0 or negatives == 0:
        raise Refused("AUC: the rows need both outcomes")
    ranks = middle_ranks(score)
    return float((ranks[label].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def middle_ranks(score: Floats) -> Floats:
    """Return the rank (n,) of each row, from 1; ties share the mean of their ranks."""
    _, position, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
    return ranks


def log_loss(label: Bools, probability: Floats) -> float:
    """Return the mean negative log-likelihood in nats; probabilities must lie strictly between 0 and 1."""
    return float(probability_log_losses(label, probability).mean())


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of the share hits / n (Wilson 1927), by default of 95%; `n` must be at least 1."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def calibration_table(label: Bools, probability: Floats, bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Return predicted and observed rates in up to `bins` bins of equally many rows, by ascending prediction."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(label)))
    return tuple(_bin(label[rows], probability[rows]) for rows in parts)


def _bin(label: Bools, probability: Floats) -> CalibrationBin:
    rate = float(label.mean())
    error = (rate * (1.0 - rate) / len(label)) ** 0.5
    return CalibrationBin(float(probability.mean()), rate, len(label), error)
