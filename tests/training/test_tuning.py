"""Tuning keeps to its time, is reproducible, and is used only if it helps on rows that no trial saw."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.training.logs import random_log
from training.fitting import tuning
from training.fitting.propensity import Recipe
from training.fitting.trees import Growth
from training.fitting.tuning import tune
from training.model.frame import TrainingSet

BASE = Recipe(growth=None, rounds=1, forget=False)


def log_of_treatments(effect: float, at_last: float, n: int = 1_500, seed: int = 0) -> TrainingSet:
    """Return rows whose two treatments differ by `effect` in logit, and in the last fifth of time by `at_last`."""
    rng = np.random.default_rng([seed, 3])
    log = random_log(n, seed=seed)
    differ = np.where(log.at_us < 0.8 * n, effect, at_last)
    treatment = rng.integers(0, 2, n)
    label = rng.random(n) < 1.0 / (1.0 + np.exp(1.0 - differ * (treatment - 0.5)))
    order = rng.permutation(n)  # tuning goes by time, not by place
    return replace(log, treatment=treatment, label=label).take(order)


def test_settings_that_help_are_used() -> None:
    shrunk = replace(BASE, treatment_precision=1_000.0)
    result = tune(log_of_treatments(4.0, 4.0), shrunk, trials=6)
    assert result.used
    assert result.recipe.treatment_precision <= 100.0
    assert result.gain is not None
    assert result.gain.value > 0
    assert result.trials[0]["treatment_precision"] == 1_000.0
    assert min(t["loss"] for t in result.trials) < result.trials[0]["loss"]


@pytest.mark.promise("learning.customers")
def test_a_row_that_is_there_ten_times_is_one_customer_to_the_gain() -> None:
    log, shrunk = log_of_treatments(4.0, 4.0, n=600), replace(BASE, treatment_precision=1_000.0)
    each = np.repeat(np.arange(600), 10)
    once, tenfold = (tune(data, shrunk, trials=4).gain for data in (log, replace(log.take(each), unit=each)))
    assert once is not None
    assert tenfold is not None
    width = (tenfold.high - tenfold.low) / tenfold.value
    assert width > 0.6 * (once.high - once.low) / once.value, "by rows it would be a third"


@pytest.mark.promise("models.tuning-must-help")
def test_what_only_looked_better_is_not_used() -> None:
    """The same log up to the last fifth, in which the difference between treatments is reversed."""
    shrunk = replace(BASE, treatment_precision=1_000.0)
    result = tune(log_of_treatments(4.0, -4.0), shrunk, trials=6)
    assert min(t["loss"] for t in result.trials) < result.trials[0]["loss"]
    assert not result.used
    assert result.recipe == shrunk
    assert result.gain is not None
    assert result.gain.value < 0


@pytest.mark.promise("models.tuning-must-help")
@pytest.mark.parametrize("seed", range(4))
def test_never_worse_than_the_default_on_rows_that_no_trial_saw(seed: int) -> None:
    result = tune(log_of_treatments(0.3, 0.3, n=800, seed=seed), replace(BASE, seed=seed), trials=5)
    assert result.used == (result.recipe != replace(BASE, seed=seed))
    assert not result.used or (result.gain is not None and result.gain.value > 0)


@pytest.mark.promise("models.tuning-in-time")
def test_the_same_log_seed_and_trials_give_the_same() -> None:
    log, recipe = random_log(500, n_actions=1), replace(BASE, growth=Growth(folds=2, max_trees=5, threads=1))
    one, two = (tune(log, recipe, trials=3) for _ in range(2))
    assert (one.recipe, one.trials, one.gain) == (two.recipe, two.trials, two.gain)
    assert len(one.trials) == 3
    assert {"learning_rate", "most_leaves", "min_rows_in_leaf", "lambda_l2"} < one.trials[0].keys()
    other = tune(log, replace(recipe, seed=1), trials=3)
    assert other.trials[1:] != one.trials[1:]


@pytest.mark.promise("models.tuning-in-time")
def test_it_keeps_to_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes on by a second whenever it is read, so that no busy machine decides."""
    seconds = itertools.count()
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    log = random_log(1_500)
    one = tune(log, BASE, seconds=0.0)
    assert len(one.trials) == 1
    assert not one.used
    more = tune(log, BASE, seconds=40.0)
    assert len(more.trials) > 1
    assert more.took_s <= 40.0


def test_too_little_is_said_and_changes_nothing() -> None:
    result = tune(random_log(60), BASE, trials=5)
    assert (result.recipe, result.used, result.trials) == (BASE, False, ())
    assert "too little to tune on" in result.why
