"""A recipe tuned to a log, within a bound of time, and used only where it beats the default on rows kept back for that.

Each trial is judged by log-loss on the part of the log that follows what it learnt from, twice over; Optuna's TPE
sampler (Bergstra et al. 2011; Watanabe 2023) chooses what to try next. The best of many tries looks better than it
is, so its score is no estimate of anything: the last fifth of the log, which no trial sees, decides whether it is used,
and whoever wants to know how good it is must ask rows that were not in the log at all.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.fitting.propensity import Recipe, fit
from training.model.frame import Floats, Ints, TrainingSet
from training.model.logistic import losses
from training.model.predict import propensities

if TYPE_CHECKING:  # half a second to import
    from optuna import Trial

TUNING = "tuning.json"
"""The file beside a model's version that says what was tried."""
MIN_EVENTS = 20
"""Rows of either label that each part of the log must have."""
_ENDS = (0.4, 0.6, 0.8)
"""Shares of the log that trials learn from; each is judged on what follows, up to the next, and the last is kept."""
_ERRORS_TO_BEAT = 1.0
_Fold = tuple[Ints, Ints]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The recipe to use; `gain` in log-loss a row over the default on the last fifth, where it came that far.

    `trials`: what was tried, the default first, with its loss on the folds. `rows`: of the log, last fifth included.
    """

    recipe: Recipe
    rows: int
    used: bool
    why: str
    gain: ConfidenceInterval | None
    trials: tuple[dict[str, Any], ...]
    took_s: float

    def document(self) -> dict[str, Any]:
        """For the record; plain JSON types."""
        parts: dict[str, Any] = {**asdict(self)}
        return {name: value for name, value in parts.items() if name != "recipe"}


def tune(data: TrainingSet, recipe: Recipe, *, seconds: float | None = None, trials: int | None = None) -> Tuned:
    """Tries other settings than those of `recipe` for so many `seconds`, or `trials`; the same trials give the same.

    A trial is begun only while there seems to be time for it and for the comparison at the end.
    """
    began = time.monotonic()
    order = np.argsort(data.at_us, kind="stable")
    folds = list(_folds(data, order))
    if len(folds) < len(_ENDS):
        why = f"too little to tune on: {MIN_EVENTS} rows with and without the outcome are needed in each part of time"
        return Tuned(recipe, len(data), False, why, None, (), time.monotonic() - began)
    *judged, (learn, last) = folds
    tried = _tried(data, judged, recipe, began, seconds, trials)
    best = min(tried, key=lambda t: t[1])[0]
    told = tuple({**_settings(r), "loss": loss} for r, loss in tried)
    if best == recipe:
        why = "nothing that was tried is better"
        return Tuned(recipe, len(data), False, why, None, told, time.monotonic() - began)
    gains = _losses(data, (learn, last), recipe) - _losses(data, (learn, last), best)
    used = bool(gains.mean() > _ERRORS_TO_BEAT * gains.std() / len(gains) ** 0.5)
    why = f"it predicts the last fifth {'' if used else 'not clearly '}better than the default"
    chosen = best if used else recipe
    return Tuned(chosen, len(data), used, why, mean_interval(gains), told, time.monotonic() - began)


def _tried(
    data: TrainingSet, folds: list[_Fold], recipe: Recipe, began: float, seconds: float | None, trials: int | None
) -> list[tuple[Recipe, float]]:
    """Recipes and their losses, the given one first."""
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    study.enqueue_trial(_settings(recipe))
    found: list[tuple[Recipe, float]] = []
    longest = 0.0
    while not found or _time_for_more(len(found), time.monotonic() - began, longest, seconds, trials):
        since = time.monotonic()
        trial = study.ask()
        asked = _asked(trial, recipe) if found else recipe
        loss = float(np.concatenate([_losses(data, fold, asked) for fold in folds]).mean())
        study.tell(trial, loss)
        found.append((asked, loss))
        longest = max(longest, time.monotonic() - since)
    return found


def _time_for_more(done: int, took_s: float, longest_s: float, seconds: float | None, trials: int | None) -> bool:
    """A trial more, and the comparison at the end, which learns from as many rows as a trial does, twice."""
    if trials is not None and done >= trials:
        return False
    return seconds is None or took_s + 3.0 * longest_s <= seconds


def _asked(trial: "Trial", recipe: Recipe) -> Recipe:
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
    """What is tuned, by the names of `_asked`."""
    growth = asdict(recipe.growth) if recipe.growth else {}
    names = ("learning_rate", "most_leaves", "min_rows_in_leaf", "lambda_l2")
    return {"treatment_precision": recipe.treatment_precision, **{n: growth[n] for n in names if n in growth}}


def _folds(data: TrainingSet, order: Ints) -> Iterator[_Fold]:
    """Rows to learn from and those that follow, in time; parts with too few of a label are left out."""
    ends = [round(share * len(order)) for share in (*_ENDS, 1.0)]
    for end, until in pairwise(ends):
        fold = order[:end], order[end:until]
        if all(min(events := int(data.label[rows].sum()), len(rows) - events) >= MIN_EVENTS for rows in fold):
            yield fold


def _losses(data: TrainingSet, fold: _Fold, recipe: Recipe) -> Floats:
    """Log-loss of every later row by a model of the earlier ones."""
    learn, judge = (data.take(rows) for rows in fold)
    return losses(judge.label, propensities(fit(learn, recipe), judge))
