"""Other learners for the same worlds, for comparison with ours."""

from dataclasses import dataclass, field
from functools import partial

import lightgbm
import numpy as np

from tests.training.simulator.bandit import EVENLY, Learnt, even
from training.model.frame import Bools, Floats, Ints, TrainingSet

_TREES = 100
_LIGHTGBM = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "num_threads": 1, "verbosity": -1}


@dataclass(frozen=True, slots=True)
class Random:
    """Chooses every action equally often."""

    def learn(self, log: TrainingSet) -> Learnt:
        """See `Policy`."""
        return EVENLY


@dataclass(frozen=True, slots=True)
class OneLightGBM:
    """One LightGBM over all actions, with the action as a categorical feature; explores with probability `epsilon`.

    Equal scores share the odds; otherwise it would choose only the first action until there is anything to split by.
    """

    epsilon: float = 0.0

    def learn(self, log: TrainingSet) -> Learnt:
        """See `Policy`."""
        if log.label.all() or not log.label.any():
            return EVENLY
        data = lightgbm.Dataset(_with(log.x, log.action), log.label.astype(np.float64), categorical_feature=[0])
        booster = lightgbm.train(_LIGHTGBM, data, _TREES)
        return Learnt(partial(self._odds, booster))

    def _odds(self, booster: lightgbm.Booster, x: Floats, exists: Bools) -> Floats:
        scores = np.column_stack(
            [booster.predict(_with(x, np.full(len(x), a)), num_threads=1) for a in range(exists.shape[1])]
        )
        masked = np.where(exists, scores, -np.inf)
        best = even(masked == masked.max(axis=1, keepdims=True))
        return np.asarray((1.0 - self.epsilon) * best + self.epsilon * even(exists))


@dataclass(slots=True)
class LinUCB:
    """Disjoint LinUCB (Li, Chu, Langford and Schapire 2010), learning from each outcome at once."""

    n_features: int
    n_actions: int
    alpha: float = 0.5
    _inverse: Floats = field(init=False)
    _earned: Floats = field(init=False)

    def __post_init__(self) -> None:
        d = self.n_features + 1
        self._inverse = np.tile(np.eye(d), (self.n_actions, 1, 1))
        self._earned = np.zeros((self.n_actions, d))

    def choose(self, x: Floats, exists: Bools) -> int:
        """Return the action with the highest upper limit for one customer (f,) among those that exist (k,)."""
        z = np.append(1.0, x)
        scaled = self._inverse @ z
        expected = np.sum(scaled * self._earned, axis=1)
        return int(np.where(exists, expected + self.alpha * np.sqrt(scaled @ z), -np.inf).argmax())

    def learn(self, x: Floats, action: int, rewarded: bool) -> None:
        """Learn from the outcome of one decision."""
        z = np.append(1.0, x)
        scaled = self._inverse[action] @ z
        self._inverse[action] -= np.outer(scaled, scaled) / (1.0 + scaled @ z)
        self._earned[action] += rewarded * z


def best_fixed(p: Floats) -> Ints:
    """Return the action (n,) that is best on average by the truth (n, k), or the next best where that one is gated.

    An action that nobody in the first half could get counts as last.
    """
    late = np.isnan(p[: len(p) // 2]).all(axis=0)
    order = np.argsort(np.where(late, np.inf, -np.nanmean(p, axis=0)), kind="stable")
    return np.asarray(order[(~np.isnan(p[:, order])).argmax(axis=1)], dtype=np.int64)


def _with(x: Floats, action: Ints) -> Floats:
    return np.column_stack([action, x])
