"""What is learned from customers who come back: the customer is the unit of parts, folds, errors and minimums."""

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.claims import fairness, forgetting, guards, held_out, stability
from tests.benchmarks.claims.returning import as_strangers, rows_of
from training.evaluation.metrics import auc, wilson
from training.fitting.folds import stratified_folds
from training.fitting.frozen import single_action_model
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit
from training.fitting.tuning import tune
from training.learning.evidence import FAIR_RATIO
from training.learning.fairness import Tally, group_guards
from training.model.calibration import IDENTITY, choose
from training.model.frame import TrainingSet, mean_error
from training.model.model import PropensityModel
from training.reporting.cards import _support
from training.reporting.held_out import auc_figure, rate_figure

STILL, BASE = Recipe(forget=False), Recipe(growth=None, forget=False)


@pytest.fixture(scope="module")
def regulars() -> TrainingSet:
    """Return 120 customers x 50, whose features are noise, and who differ in how often they buy."""
    return rows_of(np.random.default_rng(0), "customers x 50", 6_000)


@pytest.mark.promise("learning.customers")
def test_trees_that_know_customers_by_heart_do_not_serve_and_no_skill_is_told_of_them(regulars: TrainingSet) -> None:
    learn, rest = regulars.split(0.7, 0)
    model = fit(learn, STILL)
    assert model.forests[0] is None
    assert auc(rest.label, propensities(model, rest)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.promise("learning.customers")
def test_a_customer_is_in_one_part_and_in_one_fold_alone(regulars: TrainingSet) -> None:
    assert regulars.unit is not None
    learn, rest = regulars.split(0.7, 0)
    assert learn.unit is not None
    assert rest.unit is not None
    assert not set(learn.unit.tolist()) & set(rest.unit.tolist())
    assert (learn.customers, rest.customers) == (84, 36)
    fold = stratified_folds(regulars.label, 4, 0, regulars.unit)
    assert all(len(set(fold[regulars.unit == u].tolist())) == 1 for u in range(120))
    assert np.ptp(np.bincount(fold)) <= 100, "two customers"


def test_customers_who_came_once_are_parted_as_rows_are(regulars: TrainingSet) -> None:
    once = replace(regulars, unit=np.arange(len(regulars)))
    strangers = as_strangers(regulars)
    assert (stratified_folds(once.label, 4, 3, once.unit) == stratified_folds(once.label, 4, 3)).all()
    assert (once.drawn(0.7, 3) == strangers.drawn(0.7, 3)).all()
    gain = np.random.default_rng(1).normal(size=len(once))
    assert mean_error(gain, once.unit) == pytest.approx(mean_error(gain, None))


@pytest.mark.promise("learning.customers")
def test_a_few_customers_with_many_rows_are_too_few_to_calibrate_by_or_to_tune_on(regulars: TrainingSet) -> None:
    logit = np.random.default_rng(2).normal(size=len(regulars)) * 3.0 + 2.0 * regulars.label
    assert choose(logit, regulars.label, 0) != IDENTITY
    assert choose(logit, regulars.label, 0, regulars.unit) == IDENTITY
    few = regulars.take(np.asarray(regulars.unit) < 15)
    assert tune(few, Recipe(growth=None), trials=2).why.startswith("too little to tune on: each part of time needs 20")


@pytest.mark.promise("trials.fairness")
def test_groups_at_the_limit_are_not_called_unfair_because_some_customers_come_often() -> None:
    told = [fairness.tell(seed, "heavy-tailed visits", 0.8) for seed in range(6)]
    assert all(t.false_claim is False and t.covered for t in told)
    by_rows = [fairness.tell(seed, "heavy-tailed visits", 0.8, clustered=False) for seed in range(2)]
    assert any(t.false_claim for t in by_rows), "what was told before"


def test_a_group_of_returning_customers_that_is_selected_far_less_is_found() -> None:
    assert sum(fairness.tell(seed, "customers x 25", 0.4).found is True for seed in range(3)) == 3


def test_nothing_is_said_of_a_group_of_few_customers_however_often_they_come() -> None:
    rows, hits = np.array([500.0] * 40 + [1.0] * 1_000), np.array([50.0] * 40 + [1.0] * 1_000)
    group = np.repeat([0, 1], [40, 1_000])
    guards = group_guards("x", Tally(("f", "m"), group, np.arange(1_040), rows, hits))
    assert [(g.state, g.low) for g in guards] == [("kept", None)] * 2


@pytest.mark.promise("learning.change")
def test_what_customers_have_in_common_with_themselves_is_no_change_of_the_truth() -> None:
    """By rows a change is found in each of these worlds, and older rows are left out."""
    for seed in range(2):
        assert forgetting.tell(seed, "customers x 50", changed=False).value == 0.0


@pytest.mark.promise("learning.change")
def test_a_change_is_found_among_customers_who_come_back() -> None:
    assert forgetting.tell(0, "customers x 25", changed=True).found is True
    assert any(forgetting.tell(seed, "customers x 50", changed=True).found for seed in (1, 3)), "none was, of two parts"


@pytest.mark.promise("learning.customers")
def test_the_interval_of_a_propensity_is_over_customers(regulars: TrainingSet) -> None:
    """By rows it holds the truth in half of these worlds."""
    assert sum(held_out.propensity(seed, "customers x 50").covered is True for seed in range(8)) >= 6
    by_row, by_customer = (fit(data, BASE) for data in (as_strangers(regulars), regulars))
    np.testing.assert_array_equal(by_customer.weights, by_row.weights)
    row, action, both = regulars.x[0], np.zeros(1, dtype=np.int64), (by_row, by_customer)
    propensity, evidence, _ = by_row.score(row, action, action - 1)
    assert (by_row.upper_limits(row, action, propensity) < by_customer.upper_limits(row, action, propensity)).all()
    spread = [float(model.logit_deviation(row[None], 0)[0]) for model in both]
    assert spread[1] > 2.0 * spread[0]
    worth = by_customer.score(row, action, action - 1)[1]
    assert evidence == 6_000 > 6.0 * worth[0], "rows of one customer count as fewer where a model explores, too"
    assert 120 < worth[0] == by_customer.evidence_of("tea", 0)[0]


def test_what_customers_come_to_is_kept_with_a_model_and_changes_none_of_before(regulars: TrainingSet) -> None:
    by_row, by_customer = (fit(data, BASE) for data in (as_strangers(regulars), regulars))
    assert b"alike" not in by_row.files()["arrays.npz"], "a model of before has the same bytes"
    again = PropensityModel.from_files(by_customer.files())
    assert again.content_hash == by_customer.content_hash
    np.testing.assert_array_equal(again.worth, by_customer.worth)
    frozen = single_action_model(by_customer, 0)
    assert frozen.worth[0] == by_customer.worth[0]


def test_a_card_tells_how_much_of_a_weight_rows_determine_whether_or_not_they_are_alike(regulars: TrainingSet) -> None:
    shares = [_support(fit(data, BASE), data) for data in (as_strangers(regulars), regulars)]
    assert [share for share, _ in shares[1]] == pytest.approx([share for share, _ in shares[0]])


@pytest.mark.promise("learning.customers")
def test_the_interval_of_a_rate_and_of_an_auc_is_over_customers(regulars: TrainingSet) -> None:
    once = as_strangers(regulars)
    rates = [rate_figure(data.label, data.unit) for data in (once, regulars)]
    score = regulars.x[:, 0]
    ranked = [auc_figure(data.label, score, data.unit) for data in (once, regulars)]
    for by_row, by_customer in (rates, ranked):
        assert by_row["value"] == by_customer["value"]
        assert by_customer["high"] - by_customer["low"] > 2.0 * (by_row["high"] - by_row["low"])
    none = rate_figure(np.zeros(len(regulars), dtype=bool), regulars.unit)
    assert none["high"] == pytest.approx(wilson(0, 120)[1]), "no customer of 120, and not no row of 6,000"


@pytest.mark.promise("learning.customers")
def test_what_a_card_tells_of_held_out_rows_holds_where_customers_come_often() -> None:
    told = [held_out.calibrated(seed, "customers x 50") for seed in range(12)]
    assert sum(t.covered is True for t in told) >= 10
    by_row = [held_out.calibrated(seed, "customers x 50", clustered=False) for seed in range(12)]
    assert sum(t.covered is True for t in by_row) <= 9, "what was told before"
    ranked = [held_out.ranking(seed, "customers x 50", 0.7, rows=10_000) for seed in range(3)]
    assert [(t.covered, t.found) for t in ranked] == [(True, True)] * 3


@pytest.mark.promise("trials.no-harm-by-chance")
def test_predictions_at_the_limit_are_not_called_off_because_some_customers_buy_often() -> None:
    assert not guards.calibration(0, FAIR_RATIO[1], 500, 25).false_claim
    assert guards.calibration(0, 2.0, 500, 25).found


@pytest.mark.promise("learning.alarms")
def test_where_nothing_moved_a_report_of_twenty_columns_and_a_hundred_customers_seldom_alarms() -> None:
    told = [stability.tell(seed, "independent rows", 100, 0.0) for seed in range(20)]
    assert sum(t.false_claim is True for t in told) <= 3
    by_rows = [stability.tell(seed, "customers x 25", 100, 0.0, by_row=True) for seed in range(2)]
    assert all(t.false_claim for t in by_rows), "what a report told before"
    assert stability.tell(0, "independent rows", 300, 1.0).found
