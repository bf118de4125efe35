"""Pictures of how well a model ranks and how well it is calibrated, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.metrics import CalibrationBin

_BLUE, _GREY = "#1f5fa8", "#8a8a8a"


def calibration_plot(path: Path, bins: Sequence[CalibrationBin], title: str) -> Path:
    """Observed against predicted rates, with bars of two standard errors; the diagonal is perfect."""
    figure, axes = _figure(title)
    predicted, observed = [b.predicted for b in bins], [b.observed for b in bins]
    top = max((*predicted, *observed), default=1.0) * 1.1 or 1.0
    axes.plot([0.0, top], [0.0, top], color=_GREY, linewidth=1)
    axes.errorbar(predicted, observed, yerr=[2.0 * b.error for b in bins], fmt="o", color=_BLUE, capsize=3)
    axes.set(xlabel="predicted rate", ylabel="observed rate, ± 2 standard errors", xlim=(0, top), ylim=(0, top))
    return _saved(figure, path)


def auc_plot(path: Path, auc: Mapping[str, float], title: str) -> Path:
    """A bar per action, best on top; 0.5 is chance."""
    figure, axes = _figure(title)
    order = sorted(auc, key=lambda action: auc[action])
    axes.barh(order, [auc[a] for a in order], color=_BLUE)
    axes.axvline(0.5, color=_GREY, linewidth=1)
    axes.set(xlabel="AUC on held-out rows", xlim=(0.4, 1.0))
    return _saved(figure, path)


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path
