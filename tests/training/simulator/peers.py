"""Other learners for the same worlds: what ours must not lose against."""

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
    """Every action as often."""

    def learn(self, seen: TrainingSet) -> Learnt:
        """As Policy."""
        return EVENLY


@dataclass(frozen=True, slots=True)
class OneLightGBM:
    """One LightGBM over all actions, the action a categorical feature; the best by it, but for `epsilon`.

    Equals share the odds, or it would be stuck on the first action before there is anything to split by.
    """

    epsilon: float = 0.0

    def learn(self, seen: TrainingSet) -> Learnt:
        """As Policy."""
        if seen.label.all() or not seen.label.any():
            return EVENLY
        data = lightgbm.Dataset(_with(seen.x, seen.action), seen.label.astype(np.float64), categorical_feature=[0])
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
    """Disjoint LinUCB (Li, Chu, Langford and Schapire 2010), learning from each outcome as it is told."""

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
        """The action with the highest upper limit for one customer (f,) among those that exist (k,)."""
        z = np.append(1.0, x)
        known = self._inverse @ z
        expected = np.sum(known * self._earned, axis=1)
        return int(np.where(exists, expected + self.alpha * np.sqrt(known @ z), -np.inf).argmax())

    def learn(self, x: Floats, action: int, rewarded: bool) -> None:
        """Takes in what came of one decision."""
        z = np.append(1.0, x)
        known = self._inverse[action] @ z
        self._inverse[action] -= np.outer(known, known) / (1.0 + known @ z)
        self._earned[action] += rewarded * z


def best_fixed(p: Floats) -> Ints:
    """The action (n,) that is best on average by the truth (n, k); where it is stopped, the next best that is not.

    One that nobody of the first half could get counts as last.
    """
    late = np.isnan(p[: len(p) // 2]).all(axis=0)
    order = np.argsort(np.where(late, np.inf, -np.nanmean(p, axis=0)), kind="stable")
    return np.asarray(order[(~np.isnan(p[:, order])).argmax(axis=1)], dtype=np.int64)


def _with(x: Floats, action: Ints) -> Floats:
    return np.column_stack([action, x])
