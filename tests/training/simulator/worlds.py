"""Streams of customers with known truth, for judging learning. The numbers of a (kind, seed) never change.

x, p = world("thresholds", seed=0)               # (100000, 12), (100000, 20)
rewarded = draws(seed=0)[t] < p[t, action]       # one uniform per decision, the same for every learner
p = gated(x, p, stopped=1 / 3, seed=0)           # NaN also where a gate stops an action for a customer
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.model.frame import Floats, Ints

Kind = Literal["linear", "thresholds", "mixed", "drift", "new_action"]
KINDS: tuple[Kind, ...] = ("linear", "thresholds", "mixed", "drift", "new_action")
N_FEATURES = 12
_HIGHEST = 0.6
_UNTOLD = 0.5
"""Weight of noise in a gate's rule, standing for consent and caps, which no feature tells; the feature has weight 1."""


def world(kind: Kind, seed: int, n: int = 100_000, n_actions: int = 20) -> tuple[Floats, Floats]:
    """Return customers (n, 12) and each action's true probability (n, n_actions), NaN where it does not exist yet.

    Mean rates lie between 0.5 and 5 %. `drift` redraws the truth at n // 2; the last action of `new_action` appears
    there, and is then the best for a third of the customers.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    x = rng.normal(size=(n, N_FEATURES))
    rates = rng.uniform(0.005, 0.05, n_actions)
    truths = [_Truth.drawn(rng, n_actions) for _ in range(2 if kind == "drift" else 1)]
    shape = kind if kind in ("linear", "thresholds") else "mixed"
    p = truths[0].probabilities(shape, x, rates)
    if kind == "drift":
        p[n // 2 :] = truths[1].probabilities(shape, x, rates)[n // 2 :]
    if kind == "new_action":
        p[:, -1] = _made_best_for_a_third(p)
        p[: n // 2, -1] = np.nan
    return x, p


def draws(seed: int, n: int = 100_000) -> Floats:
    """Return one uniform number per decision, (n,)."""
    return np.random.default_rng([seed, 99]).random(n)


def gated(x: Floats, p: Floats, stopped: float, seed: int) -> Floats:
    """Return the truth (n, k), with NaN for the share `stopped` of customers whom each action's own gate stops.

    A gate is a threshold on one of the features (n, f), plus noise. Every customer keeps at least one action, the one
    nearest to being permitted.
    """
    rng = np.random.default_rng([seed, 97])
    rule, sign = rng.integers(0, x.shape[1], p.shape[1]), rng.choice([-1.0, 1.0], p.shape[1])
    resistance = sign * x[:, rule] + _UNTOLD * rng.normal(size=p.shape)
    closed = resistance > np.quantile(resistance, 1.0 - stopped, axis=0)
    closed[np.arange(len(p)), np.where(np.isnan(p), np.inf, resistance).argmin(axis=1)] = False
    return np.where(closed, np.nan, p)


def lost_share(p: Floats, choices: Ints, start: int) -> float:
    """Return (oracle - choices) / (oracle - random) from decision `start` on, for choices (n,) over truth (n, k).

    Oracle and random choose only actions that exist and are permitted; raises Refused if a choice is not.
    """
    late = p[start:]
    oracle, random = float(np.nanmax(late, axis=1).mean()), float(np.nanmean(late, axis=1).mean())
    reward = float(late[np.arange(len(late)), choices[start:]].mean())
    if np.isnan(reward):
        raise Refused("a choice does not exist or is stopped by a gate: draw only where the truth is not NaN")
    return (oracle - reward) / (oracle - random)


@dataclass(frozen=True, slots=True)
class _Truth:
    """The truth of k actions: weights (k, 12), a pair of features each, and the weight of their product."""

    weights: Floats
    first: Ints
    second: Ints
    cross: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator, n_actions: int) -> "_Truth":
        weights = rng.normal(0, 0.9, (n_actions, N_FEATURES))
        first, second = rng.integers(0, N_FEATURES, (2, n_actions))
        return cls(weights, first, second, rng.normal(0, 0.8, n_actions))

    def probabilities(self, shape: str, x: Floats, rates: Floats) -> Floats:
        """Return the probabilities (n, k), scaled so that each action's mean is its rate."""
        smooth, stepped = self._smooth(x), self._stepped(x)
        logit = {"linear": smooth, "thresholds": stepped, "mixed": 0.6 * smooth + 0.7 * stepped}[shape] + np.log(rates)
        p = 1 / (1 + np.exp(-logit))
        return np.asarray(np.clip(p * (rates / p.mean(0)), 0.0, _HIGHEST))

    def _smooth(self, x: Floats) -> Floats:
        return np.asarray(0.7 * x @ self.weights.T + self.cross * x[:, self.first] * x[:, self.second])

    def _stepped(self, x: Floats) -> Floats:
        """Return the stepped part of the logit (n, k).

        One expression on purpose: numpy reuses its temporaries, and their memory order decides how means round.
        """
        third, fourth = (self.first + 3) % N_FEATURES, (self.second + 5) % N_FEATURES
        steps: Floats = (
            2.2 * ((x[:, self.first] > 0.3) & (x[:, self.second] < 0.2))
            + 1.5 * (np.abs(x[:, third]) > 1)
            - 1.0 * (x[:, fourth] > 0.5)
            + 0.2 * x @ self.weights.T
        )
        return steps


def _made_best_for_a_third(p: Floats) -> Floats:
    """Return the last action's probabilities (n,), raised above the others for the nearest third of the customers."""
    gap = p[:, :-1].max(1) - p[:, -1]
    lift = np.where(gap <= np.quantile(gap, 1 / 3), gap * 1.5 + 0.02, 0.0)
    return np.asarray(np.clip(p[:, -1] + np.maximum(lift, 0.0), 0.0, _HIGHEST))
