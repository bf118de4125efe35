"""LightGBM on what a logistic base leaves unexplained, with as many trees as help on held-out rows, or none."""

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from training.frame import Bools, Floats, Ints
from training.logistic import Problem, fit_ridge, log_losses

_ONE_THREAD_BELOW = 50_000


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown; `min_events` of both labels before any are tried."""

    min_events: int = 40
    folds: int = 4
    max_trees: int = 300
    patience: int = 30
    learning_rate: float = 0.05
    num_leaves: int = 15
    min_rows_in_leaf: int = 30
    lambda_l2: float = 5.0
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
    base = np.empty(len(label))
    boosters, curve = [], np.zeros(growth.max_trees)
    for k in range(growth.folds):
        train, held_out = fold != k, fold == k
        fitted = problem.design @ fit_ridge(_rows(problem, train), weights).weights
        base[held_out] = fitted[held_out]
        booster, losses = _boost(x, label, fitted, train, held_out, growth, seed)
        boosters.append(booster)
        curve += losses * held_out.sum()
    n_trees = int(np.argmin(curve)) + 1
    if curve[n_trees - 1] >= log_losses(label, base).sum():
        return Grown(None, base)
    for k, booster in enumerate(boosters):
        base[fold == k] += np.asarray(booster.predict(x[fold == k], raw_score=True, num_iteration=n_trees))
    return Grown(_final(label, problem.design @ weights, x, n_trees, growth, seed), base)


def _rows(problem: Problem, rows: Bools) -> Problem:
    design, label = problem.design[rows], problem.label[rows]
    return Problem(design, label, problem.prior, problem.precision, problem.pooled)


def _final(label: Bools, base: Floats, x: Floats, n_trees: int, growth: Growth, seed: int) -> str:
    params = _params(growth, len(x), seed)
    data = lightgbm.Dataset(x, label.astype(np.float64), init_score=base, params=params)
    return lightgbm.train(params, data, n_trees).model_to_string(num_iteration=-1)


def _boost(
    x: Floats, label: Bools, base: Floats, train: Bools, held_out: Bools, growth: Growth, seed: int
) -> tuple[lightgbm.Booster, Floats]:
    """A booster on the training rows and its held-out log-loss after 1..max_trees trees (max_trees,)."""
    params = _params(growth, int(train.sum()), seed)
    y = label.astype(np.float64)
    data = lightgbm.Dataset(x[train], y[train], init_score=base[train], params=params)
    judge = lightgbm.Dataset(x[held_out], y[held_out], init_score=base[held_out], reference=data)
    seen: dict[str, Any] = {}
    stop = lightgbm.early_stopping(growth.patience, verbose=False)
    booster = lightgbm.train(
        params, data, growth.max_trees, [judge], ["held_out"], callbacks=[stop, lightgbm.record_evaluation(seen)]
    )
    losses = np.array(seen["held_out"]["binary_logloss"])
    return booster, np.concatenate([losses, np.full(growth.max_trees - len(losses), losses[-1])])


def _params(growth: Growth, n_rows: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": growth.learning_rate,
        "num_leaves": growth.num_leaves,
        "min_data_in_leaf": growth.min_rows_in_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": growth.lambda_l2,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if n_rows < _ONE_THREAD_BELOW else growth.threads,
        "seed": seed,
        "verbosity": -1,
    }
