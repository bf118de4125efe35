"""How good a model's propensities are on rows it did not see: ranking, log-loss, calibration, and their plots."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decisioning.errors import Refused
from training.evaluation.metrics import CalibrationBin, auc, calibration_table, log_loss
from training.frame import Bools, Floats, TrainingSet
from training.model import PropensityModel


@dataclass(frozen=True, slots=True)
class ActionQuality:
    """One action on the held-out rows; `auc` is None where these hold one label only."""

    action: str
    rows: int
    rate: float
    auc: float | None
    log_loss: float


@dataclass(frozen=True, slots=True)
class Quality:
    """All actions together and each alone. `skill`: share of the log-loss of per-action rates that is gone."""

    rows: int
    auc: float
    log_loss: float
    skill: float
    calibration: tuple[CalibrationBin, ...]
    actions: tuple[ActionQuality, ...]

    def metrics(self) -> dict[str, float]:
        """Numbers for a registry, by name."""
        return {"rows": float(self.rows), "auc": self.auc, "log_loss": self.log_loss, "skill": self.skill}


def quality(model: PropensityModel, held_out: TrainingSet) -> Quality:
    """Judged on the logged action and treatment of every row; Refused where the rows hold one label only."""
    p = logged_propensities(model, held_out)
    counts = np.maximum(np.bincount(held_out.action, minlength=len(held_out.actions)), 1)
    rates = (np.bincount(held_out.action, held_out.label, minlength=len(counts)) + 1e-6) / (counts + 2e-6)
    loss = log_loss(held_out.label, p)
    return Quality(
        rows=len(held_out),
        auc=auc(held_out.label, p),
        log_loss=loss,
        skill=1.0 - loss / log_loss(held_out.label, rates[held_out.action]),
        calibration=calibration_table(held_out.label, p),
        actions=tuple(_of_action(held_out, p, a) for a in np.unique(held_out.action).tolist()),
    )


def logged_propensities(model: PropensityModel, data: TrainingSet) -> Floats:
    """The model's propensity of what was done in each row, shape (n,)."""
    p = np.empty(len(data))
    for a, (action, group) in enumerate(zip(data.actions, data.groups, strict=True)):
        index = model.resolve(action, group)
        for code, treatment in enumerate((*data.treatments[a], None)):
            rows = (data.action == a) & (data.treatment == (code if treatment is not None else -1))
            if rows.any():
                known = -1 if treatment is None else model.treatment_code(index, treatment)
                p[rows] = model.propensities(data.x[rows], index, known)
    return p


def draw(found: Quality, directory: Path) -> tuple[Path, ...]:
    """PNG files: observed against predicted rates, and AUC by action."""
    os.environ.setdefault("MPLCONFIGDIR", str(directory / "matplotlib"))
    directory.mkdir(parents=True, exist_ok=True)
    return (_draw_calibration(found, directory / "calibration.png"), _draw_actions(found, directory / "auc.png"))


def _of_action(data: TrainingSet, p: Floats, action: int) -> ActionQuality:
    rows = data.action == action
    label, own = data.label[rows], p[rows]
    return ActionQuality(
        data.actions[action], int(rows.sum()), float(label.mean()), _auc_or_none(label, own), log_loss(label, own)
    )


def _auc_or_none(label: Bools, p: Floats) -> float | None:
    try:
        return auc(label, p)
    except Refused:
        return None


def _draw_calibration(found: Quality, path: Path) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only a training run draws

    predicted, observed = [b.predicted for b in found.calibration], [b.observed for b in found.calibration]
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(predicted, observed, yerr=[2 * b.error for b in found.calibration], fmt="o", capsize=3)
    top = 1.05 * max(*predicted, *observed)
    axes.plot([0, top], [0, top], color="grey", linewidth=1)
    axes.set(xlabel="predicted rate", ylabel="observed rate (2 standard errors)", title="Calibration, held-out rows")
    figure.savefig(path)
    return path


def _draw_actions(found: Quality, path: Path) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    ranked = [(a.action, a.auc) for a in found.actions if a.auc is not None]
    figure = Figure(figsize=(6, 1.5 + 0.22 * len(ranked)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([name for name, _ in ranked], [value for _, value in ranked])
    axes.axvline(0.5, color="grey", linewidth=1)
    axes.set(xlim=(0.0, 1.0), xlabel="AUC, held-out rows")
    figure.savefig(path)
    return path
