"""The worlds are the fixed ones, number for number, and the learner beats chance in them."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest

from tests.training.conftest import shared
from training.simulator import worlds
from training.simulator.bandit import Learner, inverse_gap, refit_times, run


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_worlds", shared("worlds") / "worlds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "seed"), [(k, s) for s, k in enumerate(worlds.KINDS)])
def test_the_worlds_are_those_that_learning_is_judged_on(reference, kind, seed):
    x, p = worlds.world(kind, seed)
    expected_x, expected_p = reference.world(kind, seed)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(p, expected_p)
    np.testing.assert_array_equal(worlds.draws(seed), reference.draws(seed))
    chosen = np.random.default_rng(seed).integers(0, 19, len(p))
    assert worlds.lost_share(p, chosen, 80_000) == reference.lost_share(p, chosen, 80_000)


def test_rates_are_as_promised_without_the_reference():
    _, p = worlds.world("mixed", 11, n=5_000)
    assert 0.004 < p.mean(0).min() <= p.mean(0).max() < 0.051
    _, p = worlds.world("new_action", 11, n=5_000)
    assert np.isnan(p[:2_500, -1]).all()
    best = p[2_500:].argmax(1) == p.shape[1] - 1
    assert best.mean() == pytest.approx(1 / 3, abs=0.05)


def test_the_oracle_loses_nothing_and_chance_everything():
    _, p = worlds.world("mixed", 3, n=4_000)
    assert worlds.lost_share(p, p.argmax(1), 0) == 0.0
    everyone = [worlds.lost_share(p, np.full(4_000, a), 0) for a in range(20)]
    assert np.mean(everyone) == pytest.approx(1.0)


def test_probabilities_of_inverse_gap_weighting_in_closed_form():
    odds = inverse_gap(np.array([[0.04, 0.02, 0.03]]), np.array([[True, True, False]]), np.array([6.0]))
    # the runner-up lies half of the best below it: 1 / (2 + 6 x 0.5)
    np.testing.assert_allclose(odds, [[0.8, 0.2, 0.0]])
    even = inverse_gap(np.ones((1, 4)), np.ones((1, 4), dtype=bool), np.array([9.0]))
    np.testing.assert_allclose(even, np.full((1, 4), 0.25))


def test_refits_come_thick_at_first_and_then_every_four_thousand():
    assert refit_times(21_000) == [1_000, 2_000, 3_000, 4_000, 5_000, 7_000, 9_000, 12_000, 16_000, 20_000]


def test_the_recipe_learns_in_a_world():
    x, p = worlds.world("mixed", 7, n=6_000, n_actions=4)
    chosen = run(x, p, worlds.draws(7, 6_000), Learner())
    assert worlds.lost_share(p, chosen, 5_000) < 0.6
    np.testing.assert_array_equal(chosen, run(x, p, worlds.draws(7, 6_000), Learner()))


def test_it_never_chooses_an_action_that_does_not_exist_yet():
    x, p = worlds.world("new_action", 7, n=3_000, n_actions=5)
    chosen = run(x, p, worlds.draws(7, 3_000))
    assert not (chosen[:1_500] == 4).any()
    assert (chosen[1_500:] == 4).any()
