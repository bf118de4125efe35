"""LightGBM trees on what a logistic base leaves unexplained; as many as improve held-out rows, or none."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np

from training.fitting.folds import stratified_folds
from training.model.frame import Bools, Floats, Ints, Units, mean_error, rarer_label
from training.model.logistic import RidgeProblem, fit_ridge, log_losses

_ERRORS_TO_BEAT = 1.0
"""Standard errors by which a gain must exceed zero: the number of trees was chosen on the same held-out rows."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown, if at least `min_events` customers have a row of each label.

    Leaves per tree: `least_leaves`, or a quarter of the square root of the number of customers who have the rarer label
    up to `most_leaves`, whichever predicts held-out rows better. `threads`: how many folds are grown beside each other,
    each by one thread, so that the number changes no bit; LightGBM's own threads spend more on waiting for each other
    than they save.
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
    """Model text of the trees, or None if the base alone is better, and the held-out logit (n,) of every row."""

    text: str | None
    held_out_logit: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What trees are grown from: features (n, f), and whose each row is."""

    x: Floats
    unit: Units = None


def grow(
    problem: RidgeProblem, weights: Floats, inputs: Inputs, growth: Growth, seed: int, *, trees: bool = True
) -> Grown | None:
    """Return trees over features on the residual of the base, or None if there are too few customers.

    The base is `problem` solved by `weights`. It is fitted again without each fold, so that trees are compared on rows
    that the base has not seen either. All rows of a customer are in one fold, so that trees which know customers by
    heart gain nothing. Trees keep the signs that the problem requires of the features' weights.

    :param trees: False to grow none and return the held-out logits of the base
    """
    label, x, unit = problem.label, inputs.x, inputs.unit
    if not has_enough_events(label, unit, growth):
        return None
    fold = stratified_folds(label, growth.folds, seed, unit)
    bases = cross_fitted(problem, weights, fold)
    held_out_logit = bases[fold, np.arange(len(label))]
    if not trees:
        return Grown(None, held_out_logit)
    params = _params(growth, problem, inputs, seed)
    results = _cross_validate([_Residual(x, label, base) for base in bases], fold, growth, params)
    best = min(results, key=lambda result: result.loss)
    corrected = held_out_logit + best.held_out(x, fold)
    if not predicts_better(label, held_out_logit, corrected, unit):
        return Grown(None, held_out_logit)
    data = _Residual(x, label, problem.design @ weights).dataset(best.params)
    return Grown(str(lightgbm.train(best.params, data, best.n_trees).model_to_string(num_iteration=-1)), corrected)


def has_enough_events(label: Bools, unit: Units, growth: Growth) -> bool:
    """Tell whether rows with these labels (n,) are of enough customers to try trees."""
    return rarer_label(label, unit) >= growth.min_events


def cross_fitted(problem: RidgeProblem, weights: Floats, fold: Ints) -> Floats:
    """Return the logits (folds, n) of bases fitted without each fold's rows, without the problem's offset.

    :param weights: starting point (d,) of each fit
    """
    masks = (fold != k for k in range(int(fold.max()) + 1))
    return np.array([problem.design @ fit_ridge(_rows(problem, rows), weights).weights for rows in masks])


def predicts_better(label: Bools, before: Floats, after: Floats, unit: Units) -> bool:
    """Tell whether the logits `after` (n,) have a lower log-loss than those `before`, by more than chance."""
    gain = log_losses(label, before) - log_losses(label, after)
    return bool(gain.mean() > _ERRORS_TO_BEAT * mean_error(gain, unit))


@dataclass(frozen=True, slots=True)
class _Residual:
    """Features (n, f), labels (n,) and the base's logit (n,) that trees start from."""

    x: Floats
    label: Bools
    base: Floats

    def take(self, rows: Bools) -> "_Residual":
        return _Residual(self.x[rows], self.label[rows], self.base[rows])

    def dataset(self, params: dict[str, Any], like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """Return the rows for LightGBM, with the feature bins of `like` if given."""
        y = self.label.astype(np.float64)
        return lightgbm.Dataset(self.x, y, init_score=self.base, params=params, reference=like)


def _rows(problem: RidgeProblem, rows: Bools) -> RidgeProblem:
    offset = None if problem.offset is None else problem.offset[rows]
    return replace(problem, design=problem.design[rows], label=problem.label[rows], offset=offset)


@dataclass(frozen=True, slots=True)
class _CrossValidated:
    """A booster per fold under `params`, the best number of trees, and the held-out loss (nats, summed) with that."""

    params: dict[str, Any]
    boosters: list[lightgbm.Booster]
    n_trees: int
    loss: float

    def held_out(self, x: Floats, fold: Ints) -> Floats:
        """Return what the trees of the other folds add to each row's logit, (n,)."""
        added = np.empty(len(fold))
        for k, booster in enumerate(self.boosters):
            added[fold == k] = booster.predict(x[fold == k], raw_score=True, num_iteration=self.n_trees, num_threads=1)
        return added


def _cross_validate(
    residuals: Sequence[_Residual], fold: Ints, growth: Growth, params: Sequence[dict[str, Any]]
) -> list[_CrossValidated]:
    """Return what each of `params` comes to over the folds; the residual of a fold starts from the fold's own base."""
    with ThreadPoolExecutor(growth.threads, "grow") as pool:
        folds = list(pool.map(lambda k: _boost(residuals[k], fold == k, growth, params), range(len(residuals))))
    sizes = np.bincount(fold)
    results = []
    for own, by_fold in zip(params, zip(*folds, strict=True), strict=True):
        curve = np.sum([losses * size for (_, losses), size in zip(by_fold, sizes, strict=True)], axis=0)
        boosters = [booster for booster, _ in by_fold]
        results.append(_CrossValidated(own, boosters, int(np.argmin(curve)) + 1, float(curve.min())))
    return results


def _boost(
    residual: _Residual, held_out: Bools, growth: Growth, params: Sequence[dict[str, Any]]
) -> list[tuple[lightgbm.Booster, Floats]]:
    """Return for each of `params` a booster on the other rows, and its mean held-out losses as `_boosted` does.

    They share the binned rows, as no parameter of the bins differs.
    """
    data = residual.take(~held_out).dataset(params[0])
    validation = residual.take(held_out).dataset(params[0], like=data)
    return [_boosted(data, validation, growth, own) for own in params]


def _boosted(
    data: lightgbm.Dataset, validation: lightgbm.Dataset, growth: Growth, params: dict[str, Any]
) -> tuple[lightgbm.Booster, Floats]:
    """Return a booster on `data`, and its mean loss on `validation` after 1..max_trees trees (max_trees,)."""
    history: dict[str, Any] = {}
    callbacks = [lightgbm.early_stopping(growth.patience, verbose=False), lightgbm.record_evaluation(history)]
    booster = lightgbm.train(params, data, growth.max_trees, [validation], ["held_out"], callbacks=callbacks)
    losses = np.array(history["held_out"]["binary_logloss"])
    return booster, np.concatenate([losses, np.full(growth.max_trees - len(losses), losses[-1])])


def _params(growth: Growth, problem: RidgeProblem, inputs: Inputs, seed: int) -> list[dict[str, Any]]:
    """Return LightGBM's parameters for small trees, and for larger ones if there are events enough for more leaves."""
    signs = problem.signs
    monotone = [] if signs is None else signs[1 : 1 + inputs.x.shape[1]].tolist()
    events = rarer_label(problem.label, inputs.unit)
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
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
        **({"monotone_constraints": monotone} if any(monotone) else {}),
    }
    return [{**common, "num_leaves": leaves} for leaves in sorted({growth.least_leaves, most})]
