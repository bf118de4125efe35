"""What guarded calibration costs or brings on rows it has not seen, over twenty data sets of many shapes."""

from collections.abc import Mapping

import lightgbm
import numpy as np

from tests.benchmarks.learning.keel import LINEAR_ONE_AGAINST_ALL, classes
from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from training.fitting.folds import stratified_folds
from training.model.calibration import MIN_ROWS, choose
from training.model.frame import Bools, Floats, Ints
from training.model.logistic import log_losses

CLASSES = 3
_MAKER = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "num_threads": 1, "verbosity": -1}
SETS = tuple(
    (name, c) for name in LINEAR_ONE_AGAINST_ALL for c in range(2 if name in ("magic", "spambase") else CLASSES)
)[:20]
"""Each KEEL set as one class against the others."""


def calibrate(name: str, positive: int) -> Figures:
    """Log-loss on a third of the rows: of a LightGBM fitted on another, and with the map chosen on the last."""
    x, labels = classes(name)
    label = labels == positive
    part = stratified_folds(label, 3, seed=1)
    booster = lightgbm.train(_MAKER, lightgbm.Dataset(x[part == 0], label[part == 0].astype(np.float64)), 100)
    logit = np.clip(np.asarray(booster.predict(x, raw_score=True, num_threads=1)), -30.0, 30.0)
    chosen = choose(logit[part == 1], label[part == 1], seed=0)
    plain = _loss(label, logit, part)
    return {
        "rows": int((part == 1).sum()),
        "kind": chosen.kind,
        "plain": plain,
        "gain": 1.0 - _loss(label, chosen.column(logit), part) / plain,
    }


def _loss(label: Bools, logit: Floats, part: Ints) -> float:
    return float(log_losses(label[part == 2], logit[part == 2]).mean())


def _lines(found: Mapping[str, Figures]) -> list[Line]:
    if not found:
        return []
    worst = min(found, key=lambda name: found[name]["gain"])
    large = [f for f in found.values() if f["rows"] >= MIN_ROWS]
    won = sum(f["gain"] > 0.0 for f in large)
    lowest = found[worst]["gain"]
    return [
        Line(
            f"worst change of log-loss over {len(found)} sets ({worst})",
            f"{100 * lowest:+.2f}%",
            "≥ -2%",
            lowest >= -0.02,
        ),
        Line(
            f"wins, of sets with {MIN_ROWS:,} rows or more", f"{won} of {len(large)}", "≥ 60%", won >= 0.6 * len(large)
        ),
    ]


CALIBRATION = Part([Run(f"{name}/{c}", calibrate, (name, c)) for name, c in SETS], _lines)
