"""Uplift: zero or right where it is known, unknown otherwise; the same bits by row and by column."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.examples import examples
from training.evaluation.policies import Question
from training.evaluation.qini import effect
from training.evaluation.ranking import PLAIN, UPLIFT, Rankings, evaluate_rankings, rankings
from training.fitting.propensity import Recipe, fit
from training.fitting.uplift import Contrasts, reasons_without_uplift, with_effects
from training.model.frame import Floats, Ints, TrainingSet
from training.model.model import PropensityModel

BASE = Recipe(growth=None)
NOTHING = "none"
SURE, PERSUADABLE, DOG, LOST = range(4)
SHOWN, WITHHELD = np.array([0.50, 0.35, 0.20, 0.02]), np.array([0.50, 0.05, 0.40, 0.02])
"""Rates of the outcome by kind of customer."""


def kinds(n: int, seed: int) -> Ints:
    """Return the customers' kinds for the actions `a` and `b`, (n, 2)."""
    return np.random.default_rng([seed, 7]).integers(0, 4, (n, 2))


def chances(kind: Ints, action: Ints) -> Floats:
    """Return the probabilities of the outcomes of a and b (n, 2), given the action shown: 0, 1 or nothing (2), (n,)."""
    return np.where(action[:, None] == np.arange(2), SHOWN[kind], WITHHELD[kind])


def log_of(n: int, seed: int, moved: bool = True) -> Contrasts:
    """Return random choices among a, b and nothing; features are the kinds. If not `moved`, showing has no effect."""
    rng, kind = np.random.default_rng(seed), kinds(n, seed)
    action = rng.integers(0, 3, n)
    outcomes = rng.random((n, 2)) < chances(kind, action if moved else np.full(n, 2))
    rows = TrainingSet(
        x=np.hstack([np.eye(4)[kind[:, 0]], np.eye(4)[kind[:, 1]]]),
        feature_names=tuple(f"{a}{k}" for a in "ab" for k in range(4)),
        actions=("a", "b", NOTHING),
        groups=("g", "g", NOTHING),
        treatments=((), (), ()),
        action=action,
        treatment=np.full(n, -1),
        label=outcomes.any(axis=1),
        probability=np.full(n, 1 / 3),
        value_eur=outcomes.sum(axis=1) * 10.0,
        at_us=np.arange(n),
    )
    usable = np.tile([True, True, False], (n, 1))
    return Contrasts(
        rows,
        np.ones((n, 3), dtype=bool),
        usable,
        np.column_stack([outcomes, np.zeros(n, dtype=bool)]),
        np.arange(n),
        np.where(action[:, None] == np.arange(3), 1 / 3, 2 / 3),
        np.zeros(n, dtype=bool),
    )


def learned(data: Contrasts) -> PropensityModel:
    """Return a model of the outcomes of what was shown, with effects."""
    return with_effects(fit(data.own_outcomes.take(data.rows.action < 2), BASE), data)


def ranked(model: PropensityModel, data: Contrasts) -> Rankings:
    return rankings(model, data, np.ones(3), NOTHING)


@pytest.mark.promise("uplift.persuadable")
@settings(max_examples=examples(3), deadline=None)
@given(st.integers(0, 2**31))
def test_what_moves_nobody_has_no_uplift(seed: int) -> None:
    data = log_of(4_000, seed, moved=False)
    uplift = ranked(learned(data), data).uplift[:, :2]
    assert np.abs(uplift).mean() < 0.03
    for a in range(2):
        interval = effect(data.control_rows(a)[1])
        width = interval.high - interval.low
        assert interval.low - width / 2 < 0.0 < interval.high + width / 2  # four standard errors


@pytest.mark.promise("uplift.persuadable")
@settings(max_examples=examples(3), deadline=None)
@given(st.integers(0, 2**31))
def test_uplift_finds_the_persuadable_and_leaves_sleeping_dogs_alone(seed: int) -> None:
    model = learned(log_of(6_000, seed))
    fresh, kind = log_of(4_000, seed + 1), kinds(4_000, seed + 1)
    choices = {name: p.argmax(axis=1) for name, p in ranked(model, fresh).policies.items()}
    earned = {name: chances(kind, shown).sum(axis=1).mean() for name, shown in choices.items()}
    best = max(chances(kind, np.full(len(kind), a)).sum(axis=1).mean() for a in range(3))
    assert earned[UPLIFT] > max(earned[PLAIN], best) + 0.03
    dogs = {n: sum(((shown == a) & (kind[:, a] == DOG)).sum() for a in range(2)) for n, shown in choices.items()}
    assert dogs[UPLIFT] <= dogs[PLAIN]
    assert dogs[UPLIFT] == 0


def test_recorded_probabilities_undo_what_moved_choice_and_outcome_alike() -> None:
    """`a` was shown to those who would buy anyway, for a reason that is in no feature; showing it has no effect."""
    n, rng = 8_000, np.random.default_rng(6)
    data, eager = log_of(n, 6), rng.random(n) < 0.5
    chance = np.where(eager, 0.8, 0.2)
    shown, bought = rng.random(n) < chance, rng.random(n) < np.where(eager, 0.5, 0.1)
    outcomes = data.outcomes.copy()
    outcomes[:, 0] = bought
    rows = replace(
        data.rows, action=np.where(shown, 0, 2), probability=np.where(shown, chance, 1.0 - chance), label=bought
    )
    of_row = np.tile(rows.probability[:, None], (1, 3))
    usable = np.tile([True, False, False], (n, 1))
    contrasts = replace(data, rows=rows, outcomes=outcomes, usable=usable, chance=of_row)
    model = with_effects(fit(contrasts.own_outcomes, BASE), contrasts)
    assert abs(ranked(model, contrasts).uplift[:, 0].mean()) < 0.03
    assert bought[shown].mean() - bought[~shown].mean() > 0.2, "which is what it looks like"


@pytest.mark.promise("evaluation.uplift-gain")
def test_the_report_claims_that_gain_and_none_where_nothing_moves_anybody() -> None:
    for moved in (True, False):
        learn, held_out = log_of(8_000, 3, moved).split(0.7, 0)
        result = evaluate_rankings(learn, held_out, Question(recipe=BASE), BASE, NOTHING)
        policies = {p["policy"]: p for p in result["rankings"]}
        assert result["uplift_gains"] is moved
        assert (policies[PLAIN]["uplift_earns_more"]["low"] > 0.0) is moved
        assert policies.keys() >= {PLAIN, UPLIFT, "random", "always a", "always none"}
        rows = {r["action"]: r for r in result["uplift"]}
        assert set(rows) == {"a", "b"}
        assert all((r["qini_by_uplift"]["low"] > 0.0) is moved for r in rows.values())
        assert all((r["qini_gain"]["low"] > 0.0) is moved for r in rows.values())


@pytest.mark.promise("evaluation.customers")
def test_rankings_are_not_compared_by_the_many_choices_of_few_customers() -> None:
    learn, held_out = log_of(2_000, 3).split(0.7, 0)
    few = replace(held_out, unit=held_out.unit % 150)
    for part, told in ((held_out, True), (few, False)):
        result = evaluate_rankings(learn, part, Question(recipe=BASE), BASE, NOTHING)
        random = next(p for p in result["rankings"] if p["policy"] == "random")
        assert (random["worth"] is not None) is told
    assert random["why"].endswith("customers support it, 200 are needed to tell")


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    return learned(log_of(3_000, 11))


values = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])


@pytest.mark.promise("uplift.same-bits")
@settings(max_examples=examples(30), deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(8)), elements=values), st.permutations(range(4)))
def test_uplift_has_the_same_bits_in_a_row_and_in_a_column(model: PropensityModel, x: Floats, order: list[int]) -> None:
    actions = np.array(order)
    rows = []
    for row in x:
        p = model.score(row, actions, np.full(4, -1))[0]
        rows.append(model.uplifts(row, actions, p))
    for n, action in enumerate(order):
        column = model.uplift(x, action, model.propensities(x, action))
        np.testing.assert_array_equal(column, np.array(rows)[:, n])
        assert np.isnan(column).all() == (action >= 2), "of groups and of all nothing is known"


def test_effects_are_sealed_with_the_model(model: PropensityModel, tmp_path: Path) -> None:
    assert PropensityModel.load(tmp_path, model.save(tmp_path)).effects is not None
    again = PropensityModel.load(tmp_path, model.content_hash)
    x = log_of(50, 1).rows.x
    np.testing.assert_array_equal(model.uplift(x, 0, np.full(50, 0.3)), again.uplift(x, 0, np.full(50, 0.3)))
    assert again.content_hash == model.content_hash


@pytest.mark.promise("uplift.not-made-up")
def test_what_was_never_withheld_or_told_has_no_uplift() -> None:
    data = log_of(3_000, 5)
    always = data.take(data.rows.action != 2)
    usable = always.usable.copy()
    usable[:, 0] &= always.rows.action == 0  # a was shown wherever it could be
    outcomes = always.outcomes.copy()
    outcomes[always.rows.action != 1, 1] = False  # outcomes of b without an offer are never reported
    contrasts = replace(always, usable=usable, outcomes=outcomes)
    reasons = reasons_without_uplift(contrasts)
    assert "withheld from 0 effective customers" in reasons["a"]
    assert "told without an offer" in reasons["b"]
    model = learned(contrasts)
    assert model.effects is None
    assert np.isnan(model.uplift(contrasts.rows.x, 0, np.full(len(contrasts), 0.2))).all()
