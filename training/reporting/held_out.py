"""Figures of rows that a model never saw, with errors over customers, whose rows are alike."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.comparison import auc_gain
from training.evaluation.metrics import calibration_table, rate_interval
from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.model.frame import Bools, Floats, TrainingSet, Units, rarer_label, units_with
from training.model.logistic import probability_log_losses

_UNKNOWN = {"value": None, "low": None, "high": None}
_ROWS_IN_BIN = 30
_MOST_BINS = 5
_FEWEST_TO_RANK = 10
"""The customers with either label that an AUC needs: with fewer, its interval is too narrow."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Rows that a second model of the same recipe never saw, and its propensity of each, (n,)."""

    rows: TrainingSet
    predicted: Floats


def held_out_figures(rows: TrainingSet, predicted: Floats, prior: float) -> dict[str, Any]:
    """Compare predictions (n,) of held-out rows of one action with their outcomes, and with the catalogue's prior."""
    label, unit = rows.label, rows.unit
    losses = probability_log_losses(label, predicted)
    prior_losses = probability_log_losses(label, np.full(len(label), prior))
    bins = min(_MOST_BINS, rows.customers // _ROWS_IN_BIN)
    return {
        "held_out": {
            "rows": len(label),
            "customers": rows.customers,
            "positives": int(label.sum()),
            "auc": auc_figure(label, predicted, unit),
            "log_loss": float(losses.mean()) if len(label) else None,
            "log_loss_of_the_prior": float(prior_losses.mean()) if len(label) else None,
            "gain_over_the_prior": _mean(prior_losses - losses, unit),
        },
        "reliability": [asdict(b) for b in calibration_table(label, predicted, bins, unit)] if bins else [],
    }


def auc_figure(label: Bools, predicted: Floats, unit: Units) -> dict[str, Any]:
    """Return the AUC with its interval, as the gain over a score that is the same for all; None of few customers."""
    if rarer_label(label, unit) < _FEWEST_TO_RANK:
        return dict(_UNKNOWN)
    gain = auc_gain(label, predicted, np.zeros(len(label)), unit)
    return asdict(ConfidenceInterval(*(0.5 + v for v in (gain.value, gain.low, gain.high))))


def rate_figure(label: Bools, unit: Units) -> dict[str, Any]:
    """Return the share of positive labels (n,) with its interval; None of no rows."""
    if not len(label):
        return dict(_UNKNOWN)
    low, high = rate_interval(label, unit)
    return {"value": float(label.mean()), "low": low, "high": high}


def _mean(per_row: Floats, unit: Units) -> dict[str, Any]:
    if units_with(np.ones(len(per_row), dtype=np.bool_), unit) < 2:
        return dict(_UNKNOWN)
    return asdict(mean_interval(per_row, unit=unit))
