"""Time and memory of training on one million decisions with 60 features."""

import resource
import time
from collections.abc import Mapping

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet

ROWS, FEATURES, ACTIONS = 1_000_000, 60, 50


def train() -> Figures:
    """Return the seconds of one fit with all options on, and the peak memory of the process, data included."""
    data = random_log()
    start_s = time.perf_counter()
    model = fit(data, Recipe())
    seconds = time.perf_counter() - start_s
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"fit_s": seconds, "peak_gb": peak_gb, "forests": sum(f is not None for f in model.forests)}


def random_log() -> TrainingSet:
    """Return uniform choices; ten features matter to each action, one by a threshold; 5% of values are missing."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(ROWS, FEATURES))
    action = rng.integers(0, ACTIONS, ROWS)
    weights = rng.normal(0.0, 0.4, (ACTIONS, FEATURES)) * (rng.random((ACTIONS, FEATURES)) < 1 / 6)
    logit = -3.5 + np.einsum("ij,ij->i", x, weights[action]) + 1.2 * (x[np.arange(ROWS), action % FEATURES] > 0.8)
    label = rng.random(ROWS) < 1.0 / (1.0 + np.exp(-logit))
    x[rng.random(x.shape) < 0.05] = np.nan
    return TrainingSet(
        x=x,
        feature_names=tuple(f"f{j}" for j in range(FEATURES)),
        actions=tuple(f"a{a}" for a in range(ACTIONS)),
        groups=tuple(f"g{a % 8}" for a in range(ACTIONS)),
        treatments=((),) * ACTIONS,
        action=action,
        treatment=np.full(ROWS, -1, dtype=np.int64),
        label=label,
        probability=np.full(ROWS, 1.0 / ACTIONS),
        value_eur=label.astype(np.float64),
        at_us=np.arange(ROWS, dtype=np.int64),
    )


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    if not results:
        return []
    run = next(iter(results.values()))
    what = f"training {ROWS:,} decisions x {FEATURES} features, {ACTIONS} actions"
    return [
        Line(what, f"{run['fit_s']:.0f} s", "< 600 s", run["fit_s"] < 600),
        Line(f"{what}: memory", f"{run['peak_gb']:.1f} GB", "< 6 GB", run["peak_gb"] < 6),
    ]


MILLION = Part([Run("fit", train)], _lines, alone=True)
