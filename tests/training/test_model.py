"""The same bits by row and by column, whatever is scored together; saving and loading; unknown actions."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decisioning.errors import Refused
from tests.examples import examples
from tests.training.logs import random_log
from tests.training.risk_help import fit_risk
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.calibration import Calibration
from training.model.exact import shift_logits, summed
from training.model.forest import Forest, Forests
from training.model.model import PropensityModel

N_FEATURES, N_ACTIONS = 6, 4
ABOVE = 3  # two groups and all
MAPS = (
    Calibration("spline", (-0.1, 0.9, 0.05, -0.02), (-3.0, -1.5, -0.5, 1.0)),
    Calibration("beta", (0.1, 0.8, 1.1)),
    Calibration("platt", (0.2, 0.9)),
)


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    """A model with trees in every action and one calibration of each kind, whatever the data suggest."""
    fitted = fit(random_log(12_000, seed=1), Recipe(growth=Growth(max_trees=60)))
    assert all(fitted.forests[:N_ACTIONS]), "the data was made so that trees help"
    return replace(fitted, calibrations=(*MAPS, *fitted.calibrations[len(MAPS) :]))


values = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.3, -1.0])
rows = hnp.arrays(np.float64, N_FEATURES, elements=values)
columns = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(N_FEATURES)), elements=values)
candidates = st.lists(
    st.tuples(st.integers(0, N_ACTIONS + ABOVE - 1), st.integers(-1, 1)).map(lambda c: c if c[0] < 4 else (c[0], -1)),
    min_size=1,
    max_size=40,
)


def scored(model: PropensityModel, row: np.ndarray, candidates: list[tuple[int, int]]) -> np.ndarray:
    actions, treatments = np.array(candidates, dtype=np.int64).T
    return model.score(row, actions, treatments)[0]


@pytest.mark.promise("decisions.candidates-are-independent")
@given(row=rows, wanted_candidates=candidates, data=st.data())
@settings(max_examples=examples(150), deadline=None)
def test_a_propensity_has_the_same_bits_whoever_is_asked_with_it(model, row, wanted_candidates, data):
    together = scored(model, row, wanted_candidates)
    alone = np.concatenate([scored(model, row, [one]) for one in wanted_candidates])
    np.testing.assert_array_equal(together, alone)
    order = data.draw(st.permutations(range(len(wanted_candidates))))
    np.testing.assert_array_equal(scored(model, row, [wanted_candidates[i] for i in order]), together[order])


@given(x=columns, wanted_candidates=candidates)
@settings(max_examples=examples(100), deadline=None)
def test_a_column_of_customers_has_the_same_bits_as_each_of_them(model, x, wanted_candidates):
    for action, treatment in wanted_candidates[:5]:
        column = model.propensities(x, action, treatment)
        single = np.array([scored(model, row, [(action, treatment)])[0] for row in x])
        np.testing.assert_array_equal(column, single)


def test_a_propensity_is_plain_arithmetic_in_the_order_of_the_features():
    """Python's own floats, one after the other, so that no vector instruction of this machine matters."""
    log = random_log(3_000, seed=8)
    model = fit(log, Recipe(growth=None))
    for row in log.x[:200]:
        logit = 0.0
        for weight, value in zip(model.weights[1].tolist(), model.design.row(row).tolist(), strict=True):
            logit += weight * value
        logit += float(model.offsets[1, 0])
        assert scored(model, row, [(1, 0)])[0] == 1.0 / (1.0 + math.exp(-logit))


def test_a_column_longer_than_a_chunk_has_the_same_bits_as_its_parts(model):
    x = np.random.default_rng(3).normal(size=(20_011, N_FEATURES))
    whole = model.propensities(x, 1, 0)
    for part in (slice(0, 1), slice(8_191, 8_194), slice(16_000, 20_011), slice(5, 20_000, 7)):
        np.testing.assert_array_equal(whole[part], model.propensities(x[part], 1, 0))


@pytest.mark.parametrize("per_call", [1, 2, 100])
def test_one_row_through_the_c_interface_equals_booster_predict(model, monkeypatch, per_call):
    monkeypatch.setattr("training.model.forest._FORESTS_PER_CALL", per_call)
    x = np.random.default_rng(4).normal(size=(300, N_FEATURES))
    x[::3, 2] = np.nan
    shorter = Forest(model.forests[0].booster.model_to_string(num_iteration=2))
    forests = [*(f for f in model.forests if f), shorter, None]
    indices = np.array([len(forests) - 1, 2, 0, len(forests) - 2, 1, 2])
    together = Forests(forests)
    by_row = np.array([together.row(row, indices) for row in x])
    columns = [f.booster.predict(x, raw_score=True) if f else np.zeros(len(x)) for f in forests]
    np.testing.assert_array_equal(by_row, np.column_stack(columns)[:, indices])


@given(row=rows)
@settings(max_examples=examples(50), deadline=None)
def test_propensities_are_probabilities_whatever_the_customer(model, row):
    p, evidence, factors = model.score(row, np.arange(N_ACTIONS), np.zeros(N_ACTIONS, dtype=np.int64))
    assert np.all((p > 0) & (p < 1))
    assert np.all(evidence > 2_000)
    assert all(set(f) <= set(model.feature_names) and len(f) <= 2 for f in factors)


def test_factors_are_the_largest_contributions_first():
    log = random_log(4_000, seed=2, missing=0.0)
    model = fit(log, Recipe(growth=None))
    row = log.x[0]
    parts = np.abs(model.weights[1] * model.design.row(row))[1 : 1 + N_FEATURES]
    expected = tuple(model.feature_names[j] for j in np.argsort(-parts)[:2])
    assert model.score(row, np.array([1]), np.array([-1]))[2][:] == (expected,)


def test_nothing_known_of_a_customer_names_no_factor_but_absence():
    log = random_log(2_000, seed=2, missing=0.0)
    model = fit(log, Recipe(growth=None))
    nobody = np.full(N_FEATURES, np.nan)
    assert model.score(nobody, np.array([0, 1]), np.array([-1, -1]))[2][:] == ((), ())


def test_saved_and_loaded_it_is_the_same_to_the_bit(model, tmp_path: Path):
    content = model.save(tmp_path / "m")
    loaded = PropensityModel.load(tmp_path / "m", expected_hash=content)
    assert loaded.content_hash == content == model.content_hash
    assert (loaded.actions, loaded.groups, loaded.treatments) == (model.actions, model.groups, model.treatments)
    x = np.random.default_rng(6).normal(size=(200, N_FEATURES))
    for action in range(N_ACTIONS + ABOVE):
        np.testing.assert_array_equal(loaded.propensities(x, action), model.propensities(x, action))


def test_a_model_whose_bytes_changed_is_refused(model, tmp_path: Path):
    content = model.save(tmp_path)
    tree = tmp_path / "trees" / "0.txt"
    tree.write_text(tree.read_text().replace("leaf_value=", "leaf_value=1", 1))
    with pytest.raises(Refused, match="sealed"):
        PropensityModel.load(tmp_path, expected_hash=content)


def test_an_empty_directory_and_another_format_are_refused(model, tmp_path: Path):
    with pytest.raises(Refused, match="train one first"):
        PropensityModel.load(tmp_path)
    model.save(tmp_path)
    about = tmp_path / "model.json"
    about.write_text(about.read_text().replace('"format": 2', '"format": 99'))
    with pytest.raises(Refused, match="format 99"):
        PropensityModel.load(tmp_path)


def test_an_unseen_action_is_scored_by_its_group_and_an_unseen_group_by_all(model):
    assert model.resolve("a2", "g0") == 2
    group, everything = model.resolve("new", "g1"), model.resolve("new", "nowhere")
    assert (group, everything) == (N_ACTIONS + 1, N_ACTIONS + 2)
    _, evidence, _ = model.score(np.zeros(N_FEATURES), np.array([2, group, everything]), np.full(3, -1))
    assert evidence[0] > 0
    assert evidence[1:].tolist() == [0.0, 0.0]


def test_treatments_have_codes_and_an_unknown_one_has_no_offset(model):
    web, email = (model.treatment_code(0, t) for t in ("a0.web", "a0.email"))
    assert (web, email, model.treatment_code(0, "a0.sms")) == (0, 1, -1)
    assert model.treatment_code(model.resolve("new", "g0"), "a0.web") == -1
    x = np.zeros((1, N_FEATURES))
    assert model.propensities(x, 0, web) < model.propensities(x, 0, -1) < model.propensities(x, 0, email)


@pytest.mark.promise("learning.intervals")
def test_an_interval_has_the_same_bits_in_a_row_and_in_a_column_and_narrows_with_evidence(model):
    x = np.random.default_rng(8).normal(size=(40, N_FEATURES))
    actions, none = np.arange(N_ACTIONS), np.full(N_ACTIONS, -1)
    for row in x:
        propensity = model.score(row, actions, none)[0]
        upper = model.upper_limits(row, actions, propensity)
        column = [
            shift_logits(model.propensities(row[None], a), model.logit_deviation(row[None], a))[0] for a in actions
        ]
        np.testing.assert_array_equal(upper, column)
        assert np.all((upper > propensity) & (upper < 1.0))
    few = fit(random_log(400, seed=2), Recipe(growth=None))
    assert few.logit_deviation(x, 0).mean() > 2.0 * model.logit_deviation(x, 0).mean()


@pytest.mark.promise("learning.intervals")
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """With 40 linear truths, about 95% of the true probabilities lie within 1.96 standard deviations."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, weights = rng.normal(size=(1_500, 5)), rng.normal(0, 0.5, 5)
        label = rng.random(1_500) < 1 / (1 + np.exp(1.5 - x @ weights))
        model = fit_risk(x, label, recipe=Recipe(growth=None)).model
        fresh = rng.normal(size=(200, 5))
        truth, propensity, spread = (
            (1 / (1 + np.exp(1.5 - fresh @ weights))),
            model.propensities(fresh, 0),
            model.logit_deviation(fresh, 0),
        )
        held.append(
            (
                (shift_logits(propensity, -1.96 * spread) <= truth) & (truth <= shift_logits(propensity, 1.96 * spread))
            ).mean()
        )
    assert 0.9 < np.mean(held) < 0.99


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_the_sum_of_a_column_does_not_depend_on_the_columns_beside_it(n):
    parts = np.random.default_rng(n).normal(size=(300, n)) * 10.0 ** np.random.default_rng(n).integers(-9, 9, (300, n))
    one_by_one = [np.add.accumulate(parts[:, i])[-1] for i in range(n)]
    assert summed(parts).tolist() == one_by_one


def test_many_customers_are_scored_with_the_bits_of_each_alone(model):
    x = np.random.default_rng(3).normal(size=(9, N_FEATURES))
    x[2, 1] = x[5, 0] = np.nan
    for actions in (np.arange(N_ACTIONS), np.array([2]), np.array([1, N_ACTIONS, 0]), np.array([], dtype=np.int64)):
        codes = np.full(len(actions), -1)
        propensity, upper, factors = model.score_rows(x, actions, codes)
        for n, row in enumerate(x):
            alone = model.score(row, actions, codes)
            np.testing.assert_array_equal(propensity[n], alone[0])
            np.testing.assert_array_equal(upper[n], model.upper_limits(row, actions, alone[0]))
            assert factors[n][:] == alone[2][:]
    assert model.score_rows(x[:0], np.arange(N_ACTIONS), np.full(N_ACTIONS, -1))[0].shape == (0, N_ACTIONS)


@pytest.mark.parametrize("rows", [255, 256])
def test_a_block_of_any_size_is_scored_by_trees_with_the_bits_of_each_row_alone(model, rows):
    forests = [*(f for f in model.forests if f), None]
    x, indices = np.random.default_rng(5).normal(size=(rows, N_FEATURES)), np.array([1, 0, len(forests) - 1, 1])
    merged = Forests(forests)
    np.testing.assert_array_equal(merged.rows(x, indices), [merged.row(row, indices) for row in x])
