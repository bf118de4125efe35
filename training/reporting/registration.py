"""What a fitted model reaches on rows it has not seen, and its registration with everything that documents it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from training.evaluation.metrics import CalibrationBin, auc, calibration_table, log_loss
from training.fitting.folds import stratified_folds
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit, fit_with_held_out
from training.model.frame import Bools, Floats, TrainingSet, Units
from training.model.model import PropensityModel
from training.registry import Registry
from training.tracking import Provenance

FOLDS = 5
_OWN_FOLDS_FROM = 20_000
"""Customers from which on a fit is judged by its own folds. With fewer, the choice of trees could flatter metrics."""
Result = dict[str, Any]
"""What a command returns: plain JSON types."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelMetrics:
    """Metrics over rows that did not train the model.

    `actions`: per action its rows, positives, rate, mean prediction and AUC, which is None if only one label occurs.
    `label`, `predicted` and `unit`, all (n,), are what plots are drawn from.
    """

    auc: float | None
    log_loss: float
    actions: Mapping[str, Result]
    label: Bools
    predicted: Floats
    unit: Units = None

    def calibration(self) -> tuple[CalibrationBin, ...]:
        """Return predicted and observed rates, with errors over customers."""
        return calibration_table(self.label, self.predicted, unit=self.unit)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A fitted model with its training data, parameters and metrics. `release` is the hash of the release that serves.

    `documents` are JSON files that are kept with the run: `card.json`, `tuning.json`.
    """

    name: str
    model: PropensityModel
    data: TrainingSet
    release: str
    params: Mapping[str, str | int | float | bool]
    metrics: ModelMetrics
    documents: Mapping[str, Result] = field(default_factory=dict)

    def result(self, version: int) -> Result:
        """Return what the command that trained the model shows, given the version under which it is registered."""
        return {
            "model": f"{self.name}@{version}",
            "name": self.name,
            "version": version,
            "release": self.release,
            "data_hash": self.data.digest(),
            "rows": len(self.data),
            "customers": self.data.customers,
            "features": list(self.data.feature_names),
            "auc": self.metrics.auc,
            "log_loss": self.metrics.log_loss,
            "calibration": [asdict(b) for b in self.metrics.calibration()],
            "actions": [{"action": action, **m} for action, m in self.metrics.actions.items()],
        }


def cross_fitted_propensities(data: TrainingSet, recipe: Recipe) -> Floats:
    """Return the propensity (n,) of every row by a model of the other folds.

    Folds are stratified and shuffled, and hold all rows of a customer or none.
    """
    fold, predicted = stratified_folds(data.label, FOLDS, recipe.seed, data.unit), np.empty(len(data))
    for k in range(FOLDS):
        predicted[fold == k] = propensities(fit(data.take(fold != k), recipe), data.take(fold == k))
    return predicted


def fit_event(data: TrainingSet, recipe: Recipe) -> tuple[PropensityModel, ModelMetrics]:
    """Return the model of one event (`one_action`) and its metrics. Each row is judged by parts that did not see it.

    :raises Refused: only one of the two labels occurs
    """
    if data.customers < _OWN_FOLDS_FROM:
        return fit(data, recipe), measure(data, cross_fitted_propensities(data, recipe))
    model, predicted = fit_with_held_out(data, recipe)
    if np.isnan(predicted).any():
        predicted = cross_fitted_propensities(data, recipe)
    return model, measure(data, predicted)


def measure(data: TrainingSet, predicted: Floats) -> ModelMetrics:
    """Compare `predicted` (n,) with the labels of rows that the model has not seen."""
    rows_of = {action: data.action == a for a, action in enumerate(data.actions)}
    actions = {
        action: _action_metrics(data.label[rows], predicted[rows]) for action, rows in rows_of.items() if rows.any()
    }
    ranked, loss = _auc(data.label, predicted), log_loss(data.label, predicted)
    return ModelMetrics(ranked, loss, actions, data.label, predicted, data.unit)


def _action_metrics(label: Bools, predicted: Floats) -> Result:
    return {
        "rows": len(label),
        "positives": int(label.sum()),
        "rate": float(label.mean()),
        "predicted": float(predicted.mean()),
        "auc": _auc(label, predicted),
    }


def register(workspace_data: Path, registry: Registry, trained: TrainedModel) -> int:
    """Register a new version of `trained.name` with its parameters, metrics, plots, data hash, features and release.

    Return the version.
    """
    from training.reporting.plots import auc_plot, calibration_plot  # noqa: PLC0415  Matplotlib takes a second to import

    metrics = trained.metrics
    with TemporaryDirectory(dir=workspace_data) as scratch:
        folder = Path(scratch)
        bins = metrics.calibration()
        plots = [calibration_plot(folder / "calibration.png", bins, f"{trained.name}: calibration on held-out rows")]
        ranked = {action: float(m["auc"]) for action, m in metrics.actions.items() if m["auc"] is not None}
        plots.append(auc_plot(folder / "auc.png", ranked, f"{trained.name}: AUC per action"))
        trained.model.save(folder / "model")
        provenance = Provenance(
            data_hash=trained.data.digest(),
            feature_list=trained.data.feature_names,
            release=trained.release,
            params={"rows": len(trained.data), **trained.params},
            metrics=_run_metrics(metrics),
            plots=plots,
            documents=trained.documents,
        )
        return registry.log_and_register(folder / "model", trained.name, provenance)


def _run_metrics(metrics: ModelMetrics) -> dict[str, float]:
    """Return the metrics of a run that are known."""
    per_action = {f"auc.{action}": m["auc"] for action, m in metrics.actions.items()}
    every = {"auc": metrics.auc, "log_loss": metrics.log_loss, **per_action}
    return {name: value for name, value in every.items() if value is not None}


def recipe_params(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """Return a recipe as the flat parameters of a run."""
    growth = {f"growth.{k}": v for k, v in asdict(recipe.growth).items()} if recipe.growth else {"growth": "none"}
    return {k: v for k, v in asdict(recipe).items() if k != "growth"} | growth


def _auc(label: Bools, predicted: Floats) -> float | None:
    return None if label.all() or not label.any() else auc(label, predicted)
