"""The worlds equal the fixed ones, number for number, and the learner beats chance in them."""

import importlib.util
from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.deciding import arbitration
from tests.training.conftest import shared
from tests.training.simulator import peers, worlds
from tests.training.simulator.bandit import EVENLY, Learner, Learnt, inverse_gap, refit_times, run
from training.fitting.propensity import Recipe

QUICK = Learner(Recipe(rounds=2, growth=None))


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
    choices = np.random.default_rng(seed).integers(0, 19, len(p))
    assert worlds.lost_share(p, choices, 80_000) == reference.lost_share(p, choices, 80_000)


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
    times = refit_times(60_000, n_actions=20)
    gaps = np.diff([*times, 60_000])
    assert times[0] == 100
    assert (np.diff(gaps[:-1]) >= 0).all()
    assert gaps.max() == 4_000


def test_who_leaves_most_of_the_log_out_is_fitted_again_as_often_as_at_first():
    """The learner keeps only the last 100 rows at 2,000 decisions, and leaves out the same rows from then on."""
    x, p = worlds.world("linear", 8, n=2_400, n_actions=4)
    log_sizes: list[int] = []

    class Forgetful:
        def learn(self, log):
            log_sizes.append(len(log))
            return Learnt(EVENLY.odds, left_out=1_900 if len(log) >= 2_000 else 0)

    run(x, p, worlds.draws(8, 2_400), Forgetful())
    first = next(t for t in log_sizes if t >= 2_000)
    held = [t - 1_900 for t in log_sizes if t >= 2_000]
    assert [b - a for a, b in pairwise(held)] == [round(0.15 * h) + 1 for h in held[:-1]]
    assert [t for t in log_sizes if t <= first] == [t for t in refit_times(2_400, 4) if t <= first]


@pytest.mark.promise("simulator.explores-as-the-product")
@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=30), st.floats(0.0, 1e5))
def test_the_simulator_explores_exactly_as_the_product_does(scores, gamma):
    """For many rows at once instead of one, and without doing nothing, which worlds do not have."""
    row = np.asarray(scores)
    odds = inverse_gap(row[None], np.ones((1, len(row)), dtype=bool), np.array([gamma]))[0]
    np.testing.assert_allclose(odds, arbitration.inverse_gap(row, gamma), rtol=1e-9, atol=1e-12)


def test_the_recipe_learns_in_a_world():
    x, p = worlds.world("mixed", 7, n=6_000, n_actions=4)
    choices, probability = run(x, p, worlds.draws(7, 6_000), QUICK)
    assert worlds.lost_share(p, choices, 5_000) < 0.6
    assert ((probability > 0) & (probability <= 1)).all()
    np.testing.assert_array_equal(choices, run(x, p, worlds.draws(7, 6_000), QUICK)[0])


def test_it_never_chooses_an_action_that_does_not_exist_yet():
    x, p = worlds.world("new_action", 7, n=3_000, n_actions=5)
    choices, _ = run(x, p, worlds.draws(7, 3_000), QUICK)
    assert not (choices[:1_500] == 4).any()
    assert (choices[1_500:] == 4).any()


def test_recorded_probabilities_are_those_of_the_draws():
    """Weights of "always this action" average one for every action, within four standard errors.

    It explores enough for the rarest choice to occur often: with few occurrences the standard error of the weights
    could not be estimated.
    """
    x, p = worlds.world("linear", 8, n=8_000, n_actions=5)
    choices, probability = run(x, p, worlds.draws(8, 8_000), replace(QUICK, gamma_per_root=0.2))
    assert np.bincount(choices, minlength=5).min() > 200
    for action in range(5):
        weight = (choices == action) / probability
        assert abs(weight.mean() - 1.0) < 4.0 * weight.std() / len(weight) ** 0.5


def test_peers_play_and_the_learner_beats_chance_and_linear_upper_limits_do_too():
    x, p = worlds.world("linear", 9, n=4_000, n_actions=4)
    uniform = worlds.draws(9, 4_000)
    at_random, _ = run(x, p, uniform, peers.Random())
    assert worlds.lost_share(p, at_random, 0) == pytest.approx(1.0, abs=0.1)
    assert len(set(peers.best_fixed(p).tolist())) == 1
    explored, probability = run(x, p, uniform, peers.OneLightGBM(0.2))
    assert probability.min() == pytest.approx(0.05)
    player, choices = peers.LinUCB(12, 4), np.zeros(4_000, dtype=np.int64)
    for t in range(4_000):
        choices[t] = player.choose(x[t], np.ones(4, dtype=bool))
        player.learn(x[t], choices[t], bool(uniform[t] < p[t, choices[t]]))
    for played in (choices, explored):
        assert worlds.lost_share(p, played, 3_000) < 0.95
