"""Terms of the catalogue for a model: monotone directions are kept, and trees left out if required."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from tests.examples import examples
from tests.training.logs import random_log
from training.fitting.propensity import Recipe, fit
from training.fitting.terms import check_terms
from training.fitting.trees import Growth
from training.model.calibration import choose
from training.model.frame import NO_TERMS, ModelTerms
from training.model.logistic import RidgeProblem, fit_ridge, sigmoid
from training.model.model import PropensityModel

QUICK = Recipe(growth=Growth(max_trees=40, folds=2), forget=False)
DIRECTIONS = (("f0", 1), ("f1", 1), ("f2", -1))
"""The truth of the first action is not monotone: it has a corner in f0 and f1, and f2 counts by its size."""
rows = hnp.arrays(np.float64, 6, elements=st.floats(-9, 9) | st.just(np.nan))


@pytest.fixture(scope="module")
def free() -> PropensityModel:
    return fit(random_log(6_000, seed=1), QUICK)


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    """A model with directions for two actions, and without trees for the second of these and for a third action."""
    terms = (ModelTerms(monotone=DIRECTIONS), ModelTerms(floor=4, monotone=DIRECTIONS), ModelTerms(floor=4), NO_TERMS)
    return fit(replace(random_log(6_000, seed=1), terms=terms), QUICK)


def along(model: PropensityModel, action: int, row: np.ndarray, feature: int, treatment: int) -> np.ndarray:
    """Return propensities while one feature grows, with the other features fixed."""
    x = np.tile(row, (40, 1))
    x[:, feature] = np.linspace(-10, 10, 40)
    return model.propensities(x, action, treatment)


@pytest.mark.promise("learning.monotone")
@given(row=rows, feature=st.integers(0, 2), action=st.integers(0, 1), treatment=st.integers(-1, 1))
@settings(max_examples=examples(100), deadline=None)
def test_a_propensity_only_goes_the_way_it_may(model, row, feature, action, treatment):
    sign = dict(DIRECTIONS)[f"f{feature}"]
    assert np.all(np.diff(along(model, action, row, feature, treatment)) * sign >= 0.0)


def test_directions_cost_no_trees_and_are_not_kept_by_chance(model, free):
    assert model.forests[0] is not None
    back = [np.diff(along(free, 0, row, j, -1)) * s for row in random_log(20).x for j, (_, s) in enumerate(DIRECTIONS)]
    assert np.min(back) < 0.0
    assert model.weights[0, 1] >= 0.0 >= model.weights[0, 3]
    assert free.weights[0, 1] * free.weights[0, 2] * free.weights[0, 3] != 0.0


def test_trees_are_left_out_where_more_transparency_is_asked(model, free):
    assert free.transparency[:4].tolist() == [3] * 4
    assert model.transparency[:4].tolist() == [3, 4, 4, 3]


def test_trees_are_not_inherited_where_they_may_not_be():
    log = random_log(5_000, seed=1)
    log = log.take(log.action < 2)
    for terms in (ModelTerms("a0", floor=4), ModelTerms("a0", monotone=DIRECTIONS)):
        heir = fit(replace(log, terms=(NO_TERMS, NO_TERMS, terms, ModelTerms("a0"))), QUICK)
        assert (heir.forests[2], heir.forests[3] is None) == (None, False)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=examples(25), deadline=None)
def test_a_weight_of_the_wrong_sign_is_zero_and_the_others_are_as_if_it_were_not_there(seed):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(300), rng.normal(size=(300, 3))])
    label = rng.random(300) < sigmoid(design @ np.array([-1.0, 1.5, -1.5, 0.3]))
    problem = RidgeProblem(
        design, label, np.zeros(4), np.full(4, 2.0), np.ones(4, dtype=bool), signs=np.array([0, 1, 1, 0])
    )
    weights = fit_ridge(problem).weights
    assert weights[2] == 0.0 < weights[1]
    columns = [0, 1, 3]
    without = RidgeProblem(design[:, columns], label, np.zeros(3), np.full(3, 2.0), np.ones(3, dtype=bool))
    np.testing.assert_allclose(weights[columns], fit_ridge(without).weights, atol=1e-4)


def test_a_calibration_that_must_increase_everywhere_is_no_spline():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 6_000)
    label = rng.random(6_000) < sigmoid(logit**3 / 4)
    near, everywhere = choose(logit, label, 0), choose(logit, label, 0, everywhere=True)
    assert near.kind == "spline"
    assert everywhere.kind in ("platt", "beta")
    assert min(everywhere.weights[1:]) >= 0.0


def test_a_model_that_does_not_keep_what_is_asked_is_refused(model, free):
    action = "issue: service, group: g0, tier: service, value: 1, purposes: [service]"

    def release_with(what: str, floor: int = 1) -> Release:
        text = 'purposes: [{id: service, notice_version: "1"}]\nfeatures: [{name: f0, dtype: float}]\n'
        text += f"settings: {{transparency: {{service: {floor}}}}}\nactions: [{{id: a0, {action}{what}}}]"
        return Release.from_bytes(pack({"all.yaml": text}))

    check_terms(model, release_with(", monotone: {f0: up}"), "propensity@1")
    for wrong, scored in ((", monotone: {f0: down}", model), (", monotone: {f0: up}", free)):
        with pytest.raises(Refused, match="propensity@1 does not keep the direction of f0 for a0: train again"):
            check_terms(scored, release_with(wrong), "propensity@1")
    with pytest.raises(Refused, match="of transparency 3 for a0, and issue service asks for 4 of 5: train again"):
        check_terms(model, release_with("", 4), "propensity@1")
    with pytest.raises(Refused, match=r"asks for 5 of 5: lower `settings.transparency`"):
        check_terms(model, release_with("", 5), "propensity@1")
