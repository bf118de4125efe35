"""Plots of a model's ranking and calibration, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Matplotlib takes a second to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

from training.evaluation.metrics import CalibrationBin

_BLUE, _GREY = "#1f5fa8", "#8a8a8a"


def calibration_plot(path: Path, bins: Sequence[CalibrationBin], title: str) -> Path:
    """Plot observed against predicted rates, with bars of two standard errors; a perfect model lies on the diagonal."""
    figure, axes = _figure(title)
    predicted, observed = [b.predicted for b in bins], [b.observed for b in bins]
    top = max((*predicted, *observed), default=1.0) * 1.1 or 1.0
    axes.plot([0.0, top], [0.0, top], color=_GREY, linewidth=1)
    axes.errorbar(predicted, observed, yerr=[2.0 * b.error for b in bins], fmt="o", color=_BLUE, capsize=3)
    axes.set(xlabel="predicted rate", ylabel="observed rate, ± 2 standard errors", xlim=(0, top), ylim=(0, top))
    return _saved(figure, path)


def auc_plot(path: Path, auc: Mapping[str, float], title: str) -> Path:
    """Plot a bar per action, the best on top; 0.5 is chance. The axis reaches below the worst."""
    figure, axes = _figure(title)
    order = sorted(auc, key=lambda action: auc[action])
    axes.barh(order, [auc[a] for a in order], color=_BLUE)
    axes.axvline(0.5, color=_GREY, linewidth=1)
    lowest = min((*auc.values(), 0.5))
    axes.set(xlabel="AUC on held-out rows", xlim=(min(0.4, lowest - 0.05), 1.0))
    return _saved(figure, path)


def _figure(title: str) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _saved(figure: "Figure", path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path
