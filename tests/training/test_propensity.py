"""Fitting: shrinkage where data are sparse, trees only where they help, the same model from the same data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from tests.examples import examples
from tests.training.logs import log_of, random_log
from tests.training.risk_help import fit_risk
from training.evaluation.metrics import auc
from training.fitting.propensity import Recipe, fit, fit_with_held_out
from training.fitting.risk import RiskModel, one_action
from training.fitting.trees import Growth
from training.model.frame import TrainingSet
from training.model.logistic import RidgeProblem, fit_pooled, fit_ridge, log_losses, sigmoid
from training.model.model import PropensityModel
from training.reporting import registration

BASE = Recipe(growth=None)
QUICK = Recipe(growth=Growth(max_trees=60))


def held_out_loss(model, log: TrainingSet) -> float:
    p = np.empty(len(log))
    for a in range(len(log.actions)):
        rows = log.action == a
        p[rows] = model.propensities(log.x[rows], a)
    return float(-np.log(np.where(log.label, p, 1 - p)).mean())


def problem(seed: int, n: int = 400, offset: bool = False) -> RidgeProblem:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    label = rng.random(n) < sigmoid(design @ np.array([-1.0, 0.8, 0.0, -0.5]))
    shift = rng.normal(size=n) if offset else None
    return RidgeProblem(design, label, np.array([0.0, 0.5, 0.0, 0.0]), np.full(4, 2.0), np.ones(4, dtype=bool), shift)


@given(seed=st.integers(0, 10_000), offset=st.booleans())
@settings(max_examples=examples(25), deadline=None)
def test_newton_finds_where_the_gradient_vanishes(seed, offset):
    p = problem(seed, offset=offset)
    w = fit_ridge(p).weights
    residual = sigmoid(p.design @ w + (0.0 if p.offset is None else p.offset)) - p.label
    assert np.abs(p.design.T @ residual + p.precision * (w - p.prior)).max() < 1e-4


def test_separable_rows_keep_finite_weights():
    x = np.linspace(-1, 1, 50)
    p = RidgeProblem(np.column_stack([np.ones(50), x]), x > 0, np.zeros(2), np.full(2, 1.0), np.ones(2, dtype=bool))
    assert np.all(np.isfinite(fit_ridge(p).weights))


def test_siblings_that_agree_are_held_closer_than_siblings_that_differ():
    rng = np.random.default_rng(0)
    design = [rng.normal(size=(500, 5)) for _ in range(8)]
    prior, precision, pooled = np.full(5, 0.5), np.ones(5), np.ones(5, dtype=bool)

    def tightness(spread: float) -> float:
        truths = [prior + rng.normal(0, spread, 5) for _ in design]
        labels = [rng.random(500) < sigmoid(x @ w) for x, w in zip(design, truths, strict=True)]
        problems = [RidgeProblem(x, y, prior, precision, pooled) for x, y in zip(design, labels, strict=True)]
        return fit_pooled(problems, 5.0, 6)[1]

    assert tightness(0.05) > 10 * tightness(1.0)


def test_an_action_without_rows_is_its_group_and_one_with_few_lies_between():
    log = random_log(6_000, seed=3)
    few = np.flatnonzero(log.action == 2)[30:]
    none = np.flatnonzero(log.action == 3)
    model = fit(log.take(np.setdiff1d(np.arange(len(log)), np.concatenate([few, none]))), BASE)
    group = model.resolve("new", "g1")
    np.testing.assert_array_equal(model.weights[3], model.weights[group])
    assert model.evidence[:4].tolist()[2:] == [30.0, 0.0]
    alone = fit(replace(log.take(log.action == 2), groups=("x", "x", "g", "x")), BASE)
    parent = model.weights[model.resolve("new", "g0")]
    assert np.linalg.norm(model.weights[2] - parent) < np.linalg.norm(alone.weights[2] - parent)


def test_a_single_action_counts_its_rows_once():
    """Its group and the root have the same rows, so that all three levels are the same fit."""
    model = fit(
        replace(random_log(800, seed=4), action=np.zeros(800, dtype=np.int64), treatments=((), (), (), ())), BASE
    )
    np.testing.assert_allclose(model.weights[0], model.weights[-1], atol=1e-6)


def test_trees_are_kept_where_they_help():
    crooked, fresh = random_log(12_000, seed=5), random_log(6_000, seed=6)
    with_trees, base = fit(crooked, QUICK), fit(crooked, BASE)
    assert all(with_trees.forests[:4])
    assert held_out_loss(with_trees, fresh) < held_out_loss(base, fresh) - 0.01


def test_a_straight_truth_rarely_gets_trees():
    """Trees that gain nothing are not kept; by chance one in six would still pass."""
    n_with_trees = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2_000, 6))
        n_with_trees += (
            fit_risk(x, rng.random(2_000) < sigmoid(x[:, 0] - 1.0), recipe=QUICK).model.forests[0] is not None
        )
    assert n_with_trees <= 3


def test_too_few_positives_for_trees_leave_the_base():
    log = random_log(600, seed=8, rate=-4.0)
    assert fit(log, QUICK).forests == (None,) * 7


def test_the_same_data_and_seed_give_the_same_bytes():
    log = random_log(3_000, seed=9)
    assert fit(log, QUICK).content_hash == fit(log, QUICK).content_hash


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_changes_no_bit(threads):
    log = random_log(6_000)
    alone, beside = (fit(log, replace(QUICK, growth=Growth(max_trees=60, threads=n))) for n in (1, threads))
    assert any(forest for forest in alone.forests)
    assert beside.content_hash == alone.content_hash


def test_absence_that_tells_something_is_learnt():
    rng = np.random.default_rng(10)
    x = rng.normal(size=(4_000, 6))
    missing = rng.random(4_000) < 0.3
    label = rng.random(4_000) < np.where(missing, 0.5, 0.1)
    x[missing, 2] = x[missing, 4] = np.nan
    model = fit_risk(x, label, recipe=BASE).model
    assert model.design.flagged.tolist() == [2], "features that are always absent together share one flag"
    complete, incomplete = np.zeros((1, 6)), np.zeros((1, 6))
    incomplete[0, 2] = incomplete[0, 4] = np.nan
    assert model.propensities(incomplete, 0)[0] == pytest.approx(0.5, abs=0.05)
    assert model.propensities(complete, 0)[0] == pytest.approx(0.1, abs=0.04)


def test_constant_and_wholly_unknown_features_do_no_harm():
    x = np.random.default_rng(11).normal(size=(2_000, 6))
    x[:, 1], x[:, 3] = 7.0, np.nan
    log = log_of(np.nan_to_num(x), 11)
    model = fit(replace(log, x=x), BASE)
    assert np.all(np.isfinite(model.weights))
    assert np.all(model.weights[:, 2] == 0.0)


def test_no_features_at_all_still_gives_rates():
    log = random_log(4_000, seed=12)
    model = fit(replace(log, x=np.empty((4_000, 0)), feature_names=(), treatments=((),) * 4), BASE)
    p, _, factors = model.score(np.empty(0), np.arange(4), np.full(4, -1))
    assert factors[:] == ((), (), (), ())
    np.testing.assert_allclose(p, [log.label[log.action == a].mean() for a in range(4)], atol=0.04)


@pytest.mark.parametrize("label", [True, False])
def test_one_label_only_is_refused(label):
    log = random_log(100)
    with pytest.raises(Refused, match="nothing to learn"):
        fit(replace(log, label=np.full(100, label)), BASE)


def test_rows_that_do_not_fit_together_are_refused():
    log = random_log(100)
    for broken in (
        {"label": log.label[:50]},
        {"feature_names": ("f0",)},
        {"groups": ("g",)},
        {"action": log.action + 9},
    ):
        with pytest.raises(Refused, match="training rows"):
            replace(log, **broken)


def test_risk_scores_rank_those_at_risk(tmp_path):
    rng = np.random.default_rng(13)
    x = rng.normal(size=(3_000, 4))
    model = fit_risk(x, rng.random(3_000) < sigmoid(2 * x[:, 0] - 1), feature_names=("a", "b", "c", "d"), recipe=BASE)
    at_risk, safe = model.scores(np.array([[2.0, 0, 0, 0], [-2.0, 0, 0, 0]]))
    assert at_risk > 0.8
    assert safe < 0.1
    content = model.model.save(tmp_path)
    loaded = RiskModel(PropensityModel.load(tmp_path, content))
    np.testing.assert_array_equal(loaded.scores(x), model.scores(x))


@given(seed=st.integers(0, 1_000))
@settings(max_examples=examples(4), deadline=None)
def test_a_fit_judged_by_its_own_folds_is_not_flattered(seed):
    """Labels that follow from nothing: rows that a model saw look predictable, held-out ones must not."""
    rng = np.random.default_rng(seed)
    data = one_action(rng.normal(size=(4_000, 30)), rng.random(4_000) < 0.3)
    model, held_out = fit_with_held_out(data, QUICK)
    assert model.content_hash == fit(data, QUICK).content_hash
    assert auc(data.label, model.propensities(data.x, 0)) > 0.54
    assert auc(data.label, held_out) < 0.54


@pytest.mark.long
def test_own_folds_and_further_folds_agree(monkeypatch):
    rng = np.random.default_rng(14)
    x = rng.normal(size=(registration._OWN_FOLDS_FROM, 5))
    data = one_action(x, rng.random(len(x)) < sigmoid(2.5 * x[:, 0] + np.where(x[:, 1] > 0.5, 1.0, -1.0)))
    own = registration.fit_event(data, QUICK)
    monkeypatch.setattr(registration, "_OWN_FOLDS_FROM", len(x) + 1)
    further = registration.fit_event(data, QUICK)
    assert own[0].content_hash == further[0].content_hash
    assert not np.array_equal(own[1].predicted, further[1].predicted)
    assert own[1].auc == pytest.approx(further[1].auc, abs=0.003)
    assert own[1].log_loss == pytest.approx(further[1].log_loss, abs=0.003)


def test_without_trees_a_fit_is_judged_by_further_folds():
    rng = np.random.default_rng(15)
    x = rng.normal(size=(registration._OWN_FOLDS_FROM, 2))
    metrics = registration.fit_event(one_action(x, rng.random(len(x)) < sigmoid(x[:, 0])), BASE)[1]
    assert np.isfinite(metrics.predicted).all()


def test_held_out_losses_agree_with_the_definition():
    label, logit = np.array([True, False]), np.array([0.3, -1.2])
    np.testing.assert_allclose(log_losses(label, logit), -np.log(np.where(label, sigmoid(logit), 1 - sigmoid(logit))))
