"""All players of the worlds, by name, each on the same customers, draws and delays.

A player that learns online learns from a decision when its window closes, in the order of the decisions, as those that
are refitted do.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
from vowpalwabbit import Workspace

from tests.training.simulator import peers
from tests.training.simulator.bandit import Learner, Policy, run
from tests.training.simulator.delays import AT_ONCE, Delays
from training.model.frame import Bools, Floats, Ints

Player = Callable[..., Ints]
"""Features (n, f), truth (n, k), draws (n,), a seed and, optionally, delays -> choices (n,)."""
OURS = "ours"


class VowpalWabbit:
    """Vowpal Wabbit's contextual bandit with crossed action-dependent features, learning from one outcome at a time."""

    def __init__(self, exploration: str, n_actions: int, seed: int) -> None:
        self._vw = Workspace(f"--cb_explore_adf {exploration} -q xa --quiet --random_seed {seed}")
        self._actions = [f"|a a{a}" for a in range(n_actions)]
        self._rng = np.random.default_rng([seed, 8])
        self._pending: deque[tuple[str, float, list[int]]] = deque()

    def choose(self, x: Floats, exists: Bools) -> int:
        """Return an action drawn by Vowpal Wabbit's own probabilities."""
        shared = "shared |x " + " ".join(f"{j}:{v:.5f}" for j, v in enumerate(x.tolist()))
        open_to = np.flatnonzero(exists).tolist()
        odds = np.array(self._vw.predict("\n".join([shared, *(self._actions[a] for a in open_to)])))
        at = int(self._rng.choice(len(open_to), p=odds / odds.sum()))
        self._pending.append((shared, float(odds[at]), open_to))
        return int(open_to[at])

    def learn(self, x: Floats, action: int, rewarded: bool) -> None:
        """Learn from the outcome of the earliest pending choice."""
        shared, probability, open_to = self._pending.popleft()
        lines = [shared]
        for a in open_to:
            label = f"0:{-float(rewarded)}:{probability:.6f} " if a == action else ""
            lines.append(f"{label}{self._actions[a]}")
        self._vw.learn("\n".join(lines))


def policy(learner: Policy, x: Floats, p: Floats, uniform: Floats, seed: int, delays: Delays = AT_ONCE) -> Ints:
    """Return the choices of a player that is refitted from time to time."""
    return run(x, p, uniform, learner, seed, delays)[0]


def live(
    x: Floats, p: Floats, uniform: Floats, player: "VowpalWabbit | peers.LinUCB", delays: Delays = AT_ONCE
) -> Ints:
    """Return the choices of a player that learns from every decision as soon as its window closes."""
    choices, exists, in_time = np.zeros(len(x), dtype=np.int64), ~np.isnan(p), delays.in_time(len(x))
    for t in range(len(x)):
        choices[t] = player.choose(x[t], exists[t])
        if delays.closed(t + 1):
            past = t - delays.window
            player.learn(x[past], choices[past], bool(in_time[past] and uniform[past] < p[past, choices[past]]))
    return choices


def _vw(exploration: str, x: Floats, p: Floats, uniform: Floats, seed: int, delays: Delays = AT_ONCE) -> Ints:
    return live(x, p, uniform, VowpalWabbit(exploration, p.shape[1], seed), delays)


def _linucb(x: Floats, p: Floats, uniform: Floats, seed: int, delays: Delays = AT_ONCE) -> Ints:
    return live(x, p, uniform, peers.LinUCB(x.shape[1], p.shape[1]), delays)


def _best_fixed(x: Floats, p: Floats, uniform: Floats, seed: int, delays: Delays = AT_ONCE) -> Ints:
    return peers.best_fixed(p)


PLAYERS: dict[str, Player] = {
    OURS: partial(policy, Learner()),
    "random": partial(policy, peers.Random()),
    "best fixed": _best_fixed,
    "greedy LightGBM": partial(policy, peers.OneLightGBM()),
    "epsilon-greedy LightGBM": partial(policy, peers.OneLightGBM(0.05)),
    "LinUCB": _linucb,
    "VW SquareCB": partial(_vw, "--squarecb"),
    "VW bag": partial(_vw, "--bag 5"),
}
