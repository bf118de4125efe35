"""What a fitted model reached on rows it has not seen, and its registration with everything that says so."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from training.evaluation.metrics import auc, calibration_table, log_loss
from training.evaluation.policies import Reward
from training.fitting.folds import stratified_folds
from training.fitting.propensity import Recipe, fit
from training.model.frame import Bools, Floats, TrainingSet
from training.model.model import PropensityModel
from training.model.predict import propensities
from training.registry import Provenance, Registry

FOLDS = 5
Result = dict[str, Any]
"""What a command answers: plain JSON types."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Metrics of rows that did not train the model. `actions`: per action rows, positives, rate, mean prediction, AUC
    (None where only one label occurs). `label` and `predicted`, both (n,), are what plots are drawn from."""

    auc: float | None
    log_loss: float
    actions: Mapping[str, Result]
    label: Bools
    predicted: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A model and where it came from."""

    name: str
    model: PropensityModel
    data: TrainingSet
    release: str
    params: Mapping[str, str | int | float | bool]
    measured: Measured
    documents: Mapping[str, Result] = field(default_factory=dict)
    """Kept with the run: `card.json`, `tuning.json`."""

    def result(self, version: int) -> Result:
        """For whoever ran the command."""
        return {
            "model": f"{self.name}@{version}",
            "name": self.name,
            "version": version,
            "release": self.release,
            "data_hash": self.data.digest(),
            "rows": len(self.data),
            "features": list(self.data.feature_names),
            "auc": self.measured.auc,
            "log_loss": self.measured.log_loss,
            "calibration": [asdict(b) for b in calibration_table(self.measured.label, self.measured.predicted)],
            "actions": [{"action": action, **m} for action, m in self.measured.actions.items()],
        }


def cross_fitted(data: TrainingSet, recipe: Recipe) -> Floats:
    """Propensity (n,) of every row by a model of the other folds; stratified, shuffled."""
    fold, found = stratified_folds(data.label, FOLDS, recipe.seed), np.empty(len(data))
    for k in range(FOLDS):
        found[fold == k] = propensities(fit(data.take(fold != k), recipe), data.take(fold == k))
    return found


def measure(data: TrainingSet, predicted: Floats) -> Measured:
    """How well `predicted` (n,) ranks and fits the labels."""
    actions = {}
    for a, action in enumerate(data.actions):
        rows = data.action == a
        if rows.any():
            label = data.label[rows]
            actions[action] = {
                "rows": int(rows.sum()),
                "positives": int(label.sum()),
                "rate": float(label.mean()),
                "predicted": float(predicted[rows].mean()),
                "auc": _auc(label, predicted[rows]),
            }
    return Measured(_auc(data.label, predicted), log_loss(data.label, predicted), actions, data.label, predicted)


def mean_worth(data: TrainingSet, reward: Reward) -> Floats:
    """Mean value of a positive outcome per action, (k,), of all where one has none; 1 for the reward `outcome`."""
    if reward == "outcome":
        return np.ones(len(data.actions))
    overall = float(data.value_eur[data.label].mean())
    rows = [data.label & (data.action == a) for a in range(len(data.actions))]
    return np.array([float(data.value_eur[r].mean()) if r.any() else overall for r in rows])


def register(workspace_data: Path, registry: Registry, made: Made) -> int:
    """A new version of `made.name` with parameters, metrics, plots, data hash, feature list and release."""
    from training.reporting.plots import auc_plot, calibration_plot  # noqa: PLC0415  Matplotlib takes a second to import

    measured = made.measured
    per_action = {f"auc.{action}": m["auc"] for action, m in measured.actions.items()}
    known = {
        k: v for k, v in {"auc": measured.auc, "log_loss": measured.log_loss, **per_action}.items() if v is not None
    }
    with TemporaryDirectory(dir=workspace_data) as scratch:
        folder = Path(scratch)
        bins = calibration_table(measured.label, measured.predicted)
        plots = [calibration_plot(folder / "calibration.png", bins, f"{made.name}: calibration on held-out rows")]
        ranked = {action: float(m["auc"]) for action, m in measured.actions.items() if m["auc"] is not None}
        plots.append(auc_plot(folder / "auc.png", ranked, f"{made.name}: AUC per action"))
        made.model.save(folder / "model")
        about = Provenance(
            data_hash=made.data.digest(),
            feature_list=made.data.feature_names,
            release=made.release,
            params={"rows": len(made.data), **made.params},
            metrics=known,
            plots=plots,
            documents=made.documents,
        )
        return registry.log_and_register(folder / "model", made.name, about)


def flat(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """A recipe as parameters of a run."""
    growth = {f"growth.{k}": v for k, v in asdict(recipe.growth).items()} if recipe.growth else {"growth": "none"}
    return {k: v for k, v in asdict(recipe).items() if k != "growth"} | growth


def _auc(label: Bools, predicted: Floats) -> float | None:
    return None if label.all() or not label.any() else auc(label, predicted)
