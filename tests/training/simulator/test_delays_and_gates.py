"""Delayed outcomes do not bias learning, and no customer gets an action that a gate stops."""

import numpy as np
import pytest

from decisioning.errors import Refused
from tests.benchmarks.learning.peers import PLAYERS
from tests.training.simulator import peers, worlds
from tests.training.simulator.bandit import EVENLY, Learner, log_of, refit_times, run
from tests.training.simulator.delays import AT_ONCE, Delays
from training.fitting.propensity import Recipe, fit

QUICK = Recipe(rounds=1, growth=None, calibrate=False, forget=False)


class Watcher:
    """Chooses at random and keeps the logs that it learnt from."""

    def __init__(self):
        self.logs = []

    def learn(self, log):
        self.logs.append(log)
        return EVENLY


def test_without_delays_everything_is_known_before_the_next_decision():
    x, p = worlds.world("mixed", 5, n=500, n_actions=3)
    uniform, watcher = worlds.draws(5, 500), Watcher()
    choices, _ = run(x, p, uniform, watcher)
    assert [len(log) for log in watcher.logs] == refit_times(500, 3)
    last = watcher.logs[-1]
    rows = np.arange(len(last))
    np.testing.assert_array_equal(last.label, uniform[rows] < p[rows, choices[rows]])
    np.testing.assert_array_equal(choices, run(x, p, uniform, Watcher(), delays=AT_ONCE)[0])


def test_outcomes_come_after_the_stated_mean_and_never_after_the_window():
    late = Delays(mean=300.0, window=600, seed=1)
    after = late.after(50_000)
    assert after.min() == 0
    assert after.mean() == pytest.approx(300.0, rel=0.02)
    assert late.in_time(50_000).mean() == pytest.approx(1.0 - np.exp(-2.0), abs=0.01)
    assert AT_ONCE.in_time(100).all()


@pytest.mark.promise("simulator.windows")
def test_only_decisions_whose_window_has_closed_are_seen():
    x, p = worlds.world("mixed", 5, n=1_000, n_actions=3)
    uniform, watcher, late = worlds.draws(5, 1_000), Watcher(), Delays(mean=50.0, window=200)
    choices, _ = run(x, p, uniform, watcher, delays=late)
    assert [len(log) for log in watcher.logs] == [t - 200 for t in refit_times(1_000, 3) if t > 200]
    last = watcher.logs[-1]
    rows = np.arange(len(last))
    comes = (uniform[rows] < p[rows, choices[rows]]) & (late.after(1_000)[rows] <= 200)
    np.testing.assert_array_equal(last.label, comes)


@pytest.mark.promise("simulator.windows")
def test_learning_from_closed_windows_is_unbiased_and_from_open_ones_it_is_not():
    """Half of 16,000 decisions have an open window; a third of their outcomes has not occurred yet."""
    n, late = 16_000, Delays(mean=4_000.0, window=8_000, seed=2)
    x, p = worlds.world("mixed", 5, n=n, n_actions=3)
    p, uniform = np.minimum(5.0 * p, 0.9), worlds.draws(5, n)
    choices, probability = run(x, p, uniform, peers.Random(), delays=late)
    comes = late.in_time(n) & (uniform < p[np.arange(n), choices])
    came_by_now = comes & (np.arange(n) + late.after(n) < n)
    closed = np.arange(n) < late.closed(n)
    truth = float(late.in_time(10**6).mean() * p.mean())

    def learnt(label, rows):
        model = fit(log_of(x, choices, probability, label, 3).take(rows), QUICK)
        return float(np.mean([model.propensities(x, a) for a in range(3)])) / truth

    assert learnt(comes, closed) == pytest.approx(1.0, abs=0.08)
    assert learnt(came_by_now, np.full(n, True)) < 0.9, "open windows counted as no"
    assert learnt(came_by_now, closed | came_by_now) > 1.3, "a yes counted at once and a no at the end"


def test_a_gate_stops_its_share_by_what_the_customer_is_and_leaves_everybody_something():
    x, p = worlds.world("new_action", 6, n=4_000, n_actions=4)
    gated = worlds.gated(x, p, stopped=1 / 3, seed=6)
    np.testing.assert_array_equal(gated, worlds.gated(x, p, stopped=1 / 3, seed=6))
    left = ~np.isnan(gated)
    np.testing.assert_array_equal(gated[left], p[left])
    assert not left[:2_000, -1].any()
    assert left[:, :3].mean(axis=0) == pytest.approx(2 / 3, abs=0.04)
    assert left.any(axis=1).all()
    correlations = [max(abs(np.corrcoef(x[:, j], left[:, a])[0, 1]) for j in range(x.shape[1])) for a in range(3)]
    assert min(correlations) > 0.5, "a gate goes by a feature"


@pytest.mark.promise("simulator.gates")
def test_the_oracle_takes_the_best_that_is_permitted_and_a_choice_that_is_not_is_refused():
    x, p = worlds.world("mixed", 3, n=2_000)
    gated = worlds.gated(x, p, stopped=0.5, seed=3)
    assert worlds.lost_share(gated, np.nanargmax(gated, axis=1), 0) == 0.0
    with pytest.raises(Refused, match="stopped by a gate"):
        worlds.lost_share(gated, p.argmax(axis=1), 0)


@pytest.mark.promise("simulator.gates")
@pytest.mark.parametrize("name", sorted(PLAYERS))
def test_no_player_ever_takes_what_a_gate_stops_however_late_outcomes_come(name):
    x, p = worlds.world("new_action", 4, n=600, n_actions=4)
    gated = worlds.gated(x, p, stopped=0.5, seed=4)
    choices = PLAYERS[name](x, gated, worlds.draws(4, 600), 4, Delays(mean=30.0, window=100))
    assert not np.isnan(gated[np.arange(600), choices]).any()
    assert len(set(choices.tolist())) > 1


def test_with_gates_and_delays_the_learner_still_beats_chance():
    n, late = 5_000, Delays(mean=200.0, window=500)
    x, p = worlds.world("mixed", 7, n=n, n_actions=4)
    gated = worlds.gated(x, p, stopped=1 / 3, seed=7)
    uniform = worlds.draws(7, n)
    choices, probability = run(x, gated, uniform, Learner(Recipe(rounds=2, growth=None)), delays=late)
    assert worlds.lost_share(gated, choices, 4_000) < 0.75
    assert ((probability > 0) & (probability <= 1)).all()
    random, _ = run(x, gated, uniform, peers.Random(), delays=late)
    assert worlds.lost_share(gated, random, 0) == pytest.approx(1.0, abs=0.1)
