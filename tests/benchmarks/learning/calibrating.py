"""The effect of guarded calibration on unseen rows, over twenty data sets of many shapes."""

from collections.abc import Mapping

import lightgbm
import numpy as np

from tests.benchmarks.learning.keel import LINEAR_ONE_AGAINST_ALL, classes
from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from training.fitting.folds import stratified_folds
from training.model.calibration import MIN_CUSTOMERS, choose
from training.model.frame import Bools, Floats, Ints
from training.model.logistic import log_losses

CLASSES = 3
_MAKER = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "num_threads": 1, "verbosity": -1}
SETS = tuple(
    (name, c) for name in LINEAR_ONE_AGAINST_ALL for c in range(2 if name in ("magic", "spambase") else CLASSES)
)[:20]
"""KEEL sets, each with one class against the others."""


def calibrate(name: str, positive: int) -> Figures:
    """Return the log-loss on a third of the rows, and its gain by calibration.

    A LightGBM is fitted to another third, and the map is chosen on the last.
    """
    x, labels = classes(name)
    is_positive = labels == positive
    part = stratified_folds(is_positive, 3, seed=1)
    booster = lightgbm.train(_MAKER, lightgbm.Dataset(x[part == 0], is_positive[part == 0].astype(np.float64)), 100)
    logit = np.clip(np.asarray(booster.predict(x, raw_score=True, num_threads=1)), -30.0, 30.0)
    calibration = choose(logit[part == 1], is_positive[part == 1], seed=0)
    loss = _loss(is_positive, logit, part)
    return {
        "rows": int((part == 1).sum()),
        "kind": calibration.kind,
        "plain": loss,
        "gain": 1.0 - _loss(is_positive, calibration.column(logit), part) / loss,
    }


def _loss(label: Bools, logit: Floats, part: Ints) -> float:
    return float(log_losses(label[part == 2], logit[part == 2]).mean())


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    if not results:
        return []
    worst = min(results, key=lambda name: results[name]["gain"])
    large = [f for f in results.values() if f["rows"] >= MIN_CUSTOMERS]
    won = sum(f["gain"] > 0.0 for f in large)
    lowest = results[worst]["gain"]
    return [
        Line(
            f"worst change of log-loss over {len(results)} sets ({worst})",
            f"{100 * lowest:+.2f}%",
            "≥ -2%",
            lowest >= -0.02,
        ),
        Line(
            f"wins, of sets with {MIN_CUSTOMERS:,} rows or more",
            f"{won} of {len(large)}",
            "≥ 60%",
            won >= 0.6 * len(large),
        ),
    ]


CALIBRATION = Part([Run(f"{name}/{c}", calibrate, (name, c)) for name, c in SETS], _lines)
