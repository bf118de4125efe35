"""Models of one event, and their AUC on held-out folds."""

from collections.abc import Callable, Sequence

import numpy as np

from training.evaluation.metrics import auc
from training.fitting.folds import stratified_folds
from training.fitting.propensity import Recipe, fit
from training.fitting.risk import RiskModel, one_action
from training.model.frame import Bools, Floats


def fit_risk(
    x: Floats, y: Bools, feature_names: Sequence[str] | None = None, recipe: Recipe | None = None
) -> RiskModel:
    """Return a model of P(y) from features (n, f), NaN where unknown, and events (n,).

    :raises Refused: y has one value only
    """
    return RiskModel(fit(one_action(x, y, feature_names), recipe))


def cross_validated_auc(
    x: Floats, label: Bools, fit_score: Callable[[Floats, Bools, Floats], Floats], folds: int, seeds: Sequence[int]
) -> Floats:
    """Return the AUC on each held-out fold, (len(seeds), folds); folds are stratified and shuffled.

    `fit_score(x_train, label_train, x_held_out)` returns the scores of the held-out rows.
    """
    result = np.empty((len(seeds), folds))
    for i, seed in enumerate(seeds):
        fold = stratified_folds(label, folds, seed)
        for k in range(folds):
            train = fold != k
            result[i, k] = auc(label[~train], fit_score(x[train], label[train], x[~train]))
    return result
