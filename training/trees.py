"""LightGBM on what a logistic base leaves unexplained, with as many trees as help on held-out rows, or none."""

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from training.frame import Bools, Floats, Ints
from training.logistic import Problem, fit_ridge, log_losses

_ONE_THREAD_BELOW = 50_000
_ERRORS_TO_BEAT = 1.0
"""Standard errors by which trees must beat the base alone: their number was chosen on the same held-out rows."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown; `min_events` of both labels before any are tried.

    Leaves a tree: a quarter of the root of the rarer label's count, within limits. Thin evidence carries stumps only.
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


def stratified_folds(label: Bools, folds: int, seed: int) -> Ints:
    """A fold number per row, shape (n,), shuffled, both labels spread evenly."""
    fold = np.empty(len(label), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for value in (False, True):
        rows = np.flatnonzero(label == value)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % folds
    return fold


def grow(problem: Problem, weights: Floats, x: Floats, growth: Growth, seed: int) -> Grown | None:
    """Trees over features (n, f) on the residual of the base, `problem` solved by `weights`; None: too few rows to try.

    The base is fitted again without each fold, so that trees are judged on a base that has not seen the rows either.
    """
    label = problem.label
    if min(label.sum(), (~label).sum()) < growth.min_events:
        return None
    fold = stratified_folds(label, growth.folds, seed)
    held_out_logit = np.empty(len(label))
    boosters, curve = [], np.zeros(growth.max_trees)
    for k in range(growth.folds):
        held_out = fold == k
        base = problem.design @ fit_ridge(_rows(problem, ~held_out), weights).weights
        held_out_logit[held_out] = base[held_out]
        booster, losses = _boost(_Residual(x, label, base), held_out, growth, seed)
        boosters.append(booster)
        curve += losses * held_out.sum()
    n_trees = int(np.argmin(curve)) + 1
    corrected = held_out_logit.copy()
    for k, booster in enumerate(boosters):
        corrected[fold == k] += np.asarray(booster.predict(x[fold == k], raw_score=True, num_iteration=n_trees))
    gain = log_losses(label, held_out_logit) - log_losses(label, corrected)
    if gain.mean() <= _ERRORS_TO_BEAT * gain.std() / len(gain) ** 0.5:
        return Grown(None, held_out_logit)
    params = _params(growth, label, seed)
    data = _Residual(x, label, problem.design @ weights).dataset(params)
    return Grown(str(lightgbm.train(params, data, n_trees).model_to_string(num_iteration=-1)), corrected)


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


def _rows(problem: Problem, rows: Bools) -> Problem:
    design, label = problem.design[rows], problem.label[rows]
    return Problem(design, label, problem.prior, problem.precision, problem.pooled)


def _boost(residual: _Residual, held_out: Bools, growth: Growth, seed: int) -> tuple[lightgbm.Booster, Floats]:
    """A booster on the other rows, and its log-loss on the held-out ones after 1..max_trees trees (max_trees,)."""
    params = _params(growth, residual.label, seed)
    data = residual.take(~held_out).dataset(params)
    judge = residual.take(held_out).dataset(params, like=data)
    seen: dict[str, Any] = {}
    watch = [lightgbm.early_stopping(growth.patience, verbose=False), lightgbm.record_evaluation(seen)]
    booster = lightgbm.train(params, data, growth.max_trees, [judge], ["held_out"], callbacks=watch)
    losses = np.array(seen["held_out"]["binary_logloss"])
    return booster, np.concatenate([losses, np.full(growth.max_trees - len(losses), losses[-1])])


def _params(growth: Growth, label: Bools, seed: int) -> dict[str, Any]:
    events = min(int(label.sum()), int((~label).sum()))
    leaves = int(np.clip(events**0.5 / 4.0, growth.least_leaves, growth.most_leaves))
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": growth.learning_rate,
        "num_leaves": leaves,
        "min_data_in_leaf": growth.min_rows_in_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": growth.lambda_l2,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if len(label) < _ONE_THREAD_BELOW else growth.threads,
        "seed": seed,
        "verbosity": -1,
    }
