"""Measures of how well a model's probabilities rank and how well they are calibrated."""

import math
from dataclasses import dataclass

import numpy as np

from decisioning.errors import Refused
from training.model.frame import Bools, Floats, Units, design_effect, mean_error, units_with
from training.model.logistic import probability_log_losses


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Mean predicted and observed rate of one bin, its rows and customers, and the observed rate's standard error."""

    predicted: float
    observed: float
    rows: int
    customers: int
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


def wilson(hits: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of the share hits / n (Wilson 1927), by default of 95%; `n` must be above 0."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def rate_interval(label: Bools, unit: Units) -> tuple[float, float]:
    """Return the 95% interval of the share of positive labels (n,), of customers whose labels are alike.

    It is Wilson's of as many rows as would be worth as much if they were independent. Rows that all have one label do
    not show how alike those of a customer are: then each customer counts as one.
    """
    share = float(label.mean())
    every = np.ones(len(label), dtype=np.bool_)
    worth = (
        len(label) / design_effect(label.astype(np.float64) - share, unit)
        if 0.0 < share < 1.0
        else float(units_with(every, unit))
    )
    return wilson(share * worth, worth)


def calibration_table(
    label: Bools, probability: Floats, bins: int = 10, unit: Units = None
) -> tuple[CalibrationBin, ...]:
    """Return predicted and observed rates in up to `bins` bins of equally many rows, by ascending prediction.

    :param unit: (n,), codes of the customers, over whom errors are
    """
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(label)))
    return tuple(_bin(label[rows], probability[rows], None if unit is None else unit[rows]) for rows in parts)


def _bin(label: Bools, probability: Floats, unit: Units) -> CalibrationBin:
    rate, customers = float(label.mean()), units_with(np.ones(len(label), dtype=np.bool_), unit)
    error = mean_error(label.astype(np.float64), unit)
    return CalibrationBin(float(probability.mean()), rate, len(label), customers, error)
