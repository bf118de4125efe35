"""LightGBM on what a logistic base leaves unexplained, with as many trees as help on held-out rows, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np

from training.fitting.folds import stratified_folds
from training.model.frame import Bools, Floats, Ints
from training.model.logistic import RidgeProblem, fit_ridge, log_losses

_ONE_THREAD_BELOW = 50_000
_ERRORS_TO_BEAT = 1.0
"""Standard errors by which one must beat the other: the number of trees was chosen on the same held-out rows."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown; `min_events` of both labels before any are tried.

    Leaves a tree: the least, or up to a quarter of the root of the rarer label's count, whichever predicts held-out
    rows better.
    """

    min_events: int = 20
    folds: int = 4
    max_trees: int = 200
    patience: int = 20
    learning_rate: float = 0.1
    least_leaves: int = 4
    most_leaves: int = 31
    min_rows_in_leaf: int = 30
    lambda_l2: float = 20.0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Grown:
    """Model text of the trees (None: the base is better alone) and the held-out logit of every row (n,)."""

    text: str | None
    held_out_logit: Floats


def grow(
    problem: RidgeProblem, weights: Floats, x: Floats, growth: Growth, seed: int, *, trees: bool = True
) -> Grown | None:
    """Trees over features (n, f) on the residual of the base, `problem` solved by `weights`; None: too few rows to try.

    The base is fitted again without each fold, so that trees are judged on a base that has not seen the rows either.
    They keep the signs that the problem asks of the features' weights.

    :param trees: False: none are tried, held-out logits are those of the base
    """
    label = problem.label
    if not enough(label, growth):
        return None
    fold = stratified_folds(label, growth.folds, seed)
    bases = cross_fitted(problem, weights, fold)
    held_out_logit = bases[fold, np.arange(len(label))]
    if not trees:
        return Grown(None, held_out_logit)
    residuals = [_Residual(x, label, base) for base in bases]
    tried = [_judged(residuals, fold, growth, params) for params in _params(growth, problem, x.shape[1], seed)]
    best = min(tried, key=lambda judged: judged.loss)
    corrected = held_out_logit + best.held_out(x, fold)
    if not predicts_better(label, held_out_logit, corrected):
        return Grown(None, held_out_logit)
    data = _Residual(x, label, problem.design @ weights).dataset(best.params)
    return Grown(str(lightgbm.train(best.params, data, best.n_trees).model_to_string(num_iteration=-1)), corrected)


def enough(label: Bools, growth: Growth) -> bool:
    """Whether rows with these labels (n,) can judge anything."""
    return bool(min(label.sum(), (~label).sum()) >= growth.min_events)


def cross_fitted(problem: RidgeProblem, weights: Floats, fold: Ints) -> Floats:
    """Logits (folds, n) of bases fitted without each fold's rows, begun at `weights`; without the problem's offset."""
    kept = (fold != k for k in range(int(fold.max()) + 1))
    return np.array([problem.design @ fit_ridge(_rows(problem, rows), weights).weights for rows in kept])


def predicts_better(label: Bools, before: Floats, after: Floats) -> bool:
    """Whether logits `after` (n,) lose less than those `before`, by more than chance."""
    gain = log_losses(label, before) - log_losses(label, after)
    return bool(gain.mean() > _ERRORS_TO_BEAT * gain.std() / len(gain) ** 0.5)


@dataclass(frozen=True, slots=True)
class _Residual:
    """Features (n, f), labels (n,) and the base's logit (n,) that trees start from."""

    x: Floats
    label: Bools
    base: Floats

    def take(self, rows: Bools) -> "_Residual":
        return _Residual(self.x[rows], self.label[rows], self.base[rows])

    def dataset(self, params: dict[str, Any], like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        y = self.label.astype(np.float64)
        return lightgbm.Dataset(self.x, y, init_score=self.base, params=params, reference=like)


def _rows(problem: RidgeProblem, rows: Bools) -> RidgeProblem:
    offset = None if problem.offset is None else problem.offset[rows]
    return replace(problem, design=problem.design[rows], label=problem.label[rows], offset=offset)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A booster per fold under some parameters, the number of trees that is best, and the held-out loss there, nats."""

    params: dict[str, Any]
    boosters: list[lightgbm.Booster]
    n_trees: int
    loss: float

    def held_out(self, x: Floats, fold: Ints) -> Floats:
        """What trees that have not seen a row add to its logit, (n,)."""
        added = np.empty(len(fold))
        for k, booster in enumerate(self.boosters):
            added[fold == k] = booster.predict(x[fold == k], raw_score=True, num_iteration=self.n_trees)
        return added


def _judged(residuals: Sequence[_Residual], fold: Ints, growth: Growth, params: dict[str, Any]) -> _Judged:
    boosters, curve = [], np.zeros(growth.max_trees)
    for k, residual in enumerate(residuals):
        booster, losses = _boost(residual, fold == k, growth, params)
        boosters.append(booster)
        curve += losses * (fold == k).sum()
    return _Judged(params, boosters, int(np.argmin(curve)) + 1, float(curve.min()))


def _boost(
    residual: _Residual, held_out: Bools, growth: Growth, params: dict[str, Any]
) -> tuple[lightgbm.Booster, Floats]:
    """A booster on the other rows, and its log-loss on the held-out ones after 1..max_trees trees (max_trees,)."""
    data = residual.take(~held_out).dataset(params)
    judge = residual.take(held_out).dataset(params, like=data)
    seen: dict[str, Any] = {}
    watch = [lightgbm.early_stopping(growth.patience, verbose=False), lightgbm.record_evaluation(seen)]
    booster = lightgbm.train(params, data, growth.max_trees, [judge], ["held_out"], callbacks=watch)
    losses = np.array(seen["held_out"]["binary_logloss"])
    return booster, np.concatenate([losses, np.full(growth.max_trees - len(losses), losses[-1])])


def _params(growth: Growth, problem: RidgeProblem, n_features: int, seed: int) -> list[dict[str, Any]]:
    """Of small trees, and of larger ones where there is evidence for more leaves."""
    label, signs = problem.label, problem.signs
    monotone = [] if signs is None else signs[1 : 1 + n_features].tolist()
    events = min(int(label.sum()), int((~label).sum()))
    most = int(np.clip(events**0.5 / 4.0, growth.least_leaves, growth.most_leaves))
    common = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": growth.learning_rate,
        "min_data_in_leaf": growth.min_rows_in_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": growth.lambda_l2,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if len(label) < _ONE_THREAD_BELOW else growth.threads,
        "seed": seed,
        "verbosity": -1,
        **({"monotone_constraints": monotone} if any(monotone) else {}),
    }
    return [{**common, "num_leaves": leaves} for leaves in sorted({growth.least_leaves, most})]
