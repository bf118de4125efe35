"""Tunes a recipe to a log within a time limit, and uses it only if it beats the default on rows reserved for that.

Each trial is judged by its log-loss on the part of the log after the rows it learnt from, for two splits. Optuna's TPE
sampler (Bergstra et al. 2011; Watanabe 2023) chooses the next trial. The best of many trials looks better than it is,
so its loss estimates nothing: the last fifth of the log, which no trial sees, decides whether it is used. How good it
is can be measured only on rows that were not in the log.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit
from training.model.frame import Floats, Ints, TrainingSet, mean_error, rarer_label
from training.model.logistic import probability_log_losses

if TYPE_CHECKING:  # half a second to import
    from optuna import Trial

TUNING = "tuning.json"
"""The document of a model's version that lists the trials."""
MIN_EVENTS = 20
"""Customers who must have a row of either label in each part of the log."""
_JUDGED_SHARE = 1.0 / 3.0
"""Share of the customers on whose later rows a fold is judged; customers who came later are all among them."""
_ENDS = (0.4, 0.6, 0.8)
"""Shares of the log to learn from. Each is judged on the rows up to the next; the last decides about the best trial."""
_ERRORS_TO_BEAT = 1.0
_Fold = tuple[Ints, Ints]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The recipe to use, and how it was found.

    `rows`: of the log, last fifth included. `used`: whether it is a tuned recipe. `why`: the reason. `gain`: of
    log-loss per row over the default on the last fifth, None if nothing was better on the folds. `trials`: settings
    and loss on the folds, the default first. `took_s`: duration in seconds.
    """

    recipe: Recipe
    rows: int
    used: bool
    why: str
    gain: ConfidenceInterval | None
    trials: tuple[dict[str, Any], ...]
    took_s: float

    def document(self) -> dict[str, Any]:
        """Return everything but the recipe as plain JSON types."""
        parts: dict[str, Any] = {**asdict(self)}
        return {name: value for name, value in parts.items() if name != "recipe"}


@dataclass(frozen=True, slots=True)
class _Budget:
    """Limits of tuning from `start_s` (monotonic clock): seconds in all, and number of trials; None: no limit."""

    start_s: float
    seconds: float | None
    trials: int | None

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.start_s

    def allows_another(self, n_trials: int, longest_s: float) -> bool:
        """Tell whether one more trial fits after `n_trials`, of which the longest took `longest_s` seconds.

        It must leave time for the comparison at the end, which fits twice, to as many rows as a trial.
        """
        if self.trials is not None and n_trials >= self.trials:
            return False
        return self.seconds is None or self.elapsed_s + 3.0 * longest_s <= self.seconds


def tune(data: TrainingSet, recipe: Recipe, *, seconds: float | None = None, trials: int | None = None) -> Tuned:
    """Try other settings than those of `recipe` for at most `seconds`, or at most `trials` times.

    A trial starts only if there seems to be time for it and for the comparison at the end. The same number of trials
    on the same rows gives the same recipe.
    """
    budget = _Budget(time.monotonic(), seconds, trials)
    folds = list(_folds(data, np.argsort(data.at_us, kind="stable")))
    if len(folds) < len(_ENDS):
        why = f"too little to tune on: each part of time needs {MIN_EVENTS} customers with and without the outcome"
        return Tuned(recipe, len(data), False, why, None, (), budget.elapsed_s)
    *trial_folds, last_fold = folds
    results = _run_trials(data, trial_folds, recipe, budget)
    best = min(results, key=lambda result: result[1])[0]
    listed = tuple({**_settings(r), "loss": loss} for r, loss in results)
    if best == recipe:
        return Tuned(recipe, len(data), False, "nothing that was tried is better", None, listed, budget.elapsed_s)
    gains = _losses(data, last_fold, recipe) - _losses(data, last_fold, best)
    unit = data.take(last_fold[1]).unit
    used = bool(gains.mean() > _ERRORS_TO_BEAT * mean_error(gains, unit))
    why = f"it predicts the last fifth {'' if used else 'not clearly '}better than the default"
    gain = mean_interval(gains, unit=unit)
    return Tuned(best if used else recipe, len(data), used, why, gain, listed, budget.elapsed_s)


def _run_trials(data: TrainingSet, folds: list[_Fold], recipe: Recipe, budget: _Budget) -> list[tuple[Recipe, float]]:
    """Return the recipes that were tried and their mean losses, the given one first."""
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    study.enqueue_trial(_settings(recipe))
    results: list[tuple[Recipe, float]] = []
    longest_s = 0.0
    while not results or budget.allows_another(len(results), longest_s):
        start_s = time.monotonic()
        trial = study.ask()
        candidate = _suggest(trial, recipe) if results else recipe
        loss = float(np.concatenate([_losses(data, fold, candidate) for fold in folds]).mean())
        study.tell(trial, loss)
        results.append((candidate, loss))
        longest_s = max(longest_s, time.monotonic() - start_s)
    return results


def _suggest(trial: "Trial", recipe: Recipe) -> Recipe:
    """Return the recipe with the settings that Optuna suggests for the trial."""
    precision = trial.suggest_float("treatment_precision", 1.0, 100.0, log=True)
    if recipe.growth is None:
        return replace(recipe, treatment_precision=precision)
    growth = replace(
        recipe.growth,
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        most_leaves=trial.suggest_int("most_leaves", 4, 63, log=True),
        min_rows_in_leaf=trial.suggest_int("min_rows_in_leaf", 10, 200, log=True),
        lambda_l2=trial.suggest_float("lambda_l2", 1.0, 100.0, log=True),
    )
    return replace(recipe, treatment_precision=precision, growth=growth)


def _settings(recipe: Recipe) -> dict[str, float]:
    """Return the recipe's tuned settings, by the names of `_suggest`."""
    growth = asdict(recipe.growth) if recipe.growth else {}
    names = ("learning_rate", "most_leaves", "min_rows_in_leaf", "lambda_l2")
    return {"treatment_precision": recipe.treatment_precision, **{n: growth[n] for n in names if n in growth}}


def _folds(data: TrainingSet, order: Ints) -> Iterator[_Fold]:
    """Yield rows to learn from and the rows of other customers that follow in time, without parts that have too few
    customers of a label.

    :param order: the rows by time (n,)
    """
    ends = [round(share * len(order)) for share in (*_ENDS, 1.0)]
    for end, until in pairwise(ends):
        fold = _of_others(data, order[:end], order[end:until])
        if all(rarer_label((part := data.take(rows)).label, part.unit) >= MIN_EVENTS for rows in fold):
            yield fold


def _of_others(data: TrainingSet, earlier: Ints, later: Ints) -> _Fold:
    """Return the earlier and later rows of two sets of customers who have nobody in common."""
    if data.unit is None:
        return earlier, later
    known = np.unique(data.unit[earlier])
    drawn = known[np.random.default_rng(len(data)).random(len(known)) < _JUDGED_SHARE]
    judged = np.isin(data.unit[later], drawn) | ~np.isin(data.unit[later], known)
    return earlier[~np.isin(data.unit[earlier], drawn)], later[judged]


def _losses(data: TrainingSet, fold: _Fold, recipe: Recipe) -> Floats:
    """Return the log-loss of each later row under a model of the earlier ones."""
    earlier, later = (data.take(rows) for rows in fold)
    return probability_log_losses(later.label, propensities(fit(earlier, recipe), later))
