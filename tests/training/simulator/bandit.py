"""Learning while deciding in a world of known truth: refit, explore, decide."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from decisioning.catalogue.exploration import FULL_OPTIMISM_ROWS
from tests.training.simulator.delays import AT_ONCE, Delays
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.exact import shift_logits
from training.model.frame import Bools, Floats, Ints, TrainingSet
from training.model.model import PropensityModel

_FIRST_REFIT_PER_ACTION = 5
_GROWTH = 1.15
_REFIT_EVERY = 4_000


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a policy has learnt until its next refit.

    `odds(x, exists)`: choice probabilities (n, k) for customers (n, f), 0 for actions that do not exist or are gated
    (n, k). `left_out`: number of logged decisions that it left out as outdated.
    """

    odds: Callable[[Floats, Bools], Floats]
    left_out: int = 0


class Policy(Protocol):
    """A policy that is refitted from time to time."""

    def learn(self, log: TrainingSet) -> Learnt:
        """Learn from all decisions so far whose window has closed."""
        ...


@dataclass(frozen=True, slots=True)
class Learner:
    """Our recipe and its exploration: inverse-gap weighting over optimistic propensities.

    gamma = `gamma_per_root` x sqrt(the model's rows + decisions since its fit). `optimism`: how far a propensity is
    raised towards the upper end of its interval, less from `FULL_OPTIMISM_ROWS` rows on. For its first `launch`
    decisions an action counts 1 / (1 - `give_up`) times. The same as a channel's `gamma_grows`, `optimism`, `launch`.
    """

    recipe: Recipe = field(default_factory=lambda: Recipe(rounds=2, calibrate=False, growth=Growth(folds=3)))
    gamma_per_root: float = 20.0
    optimism: float = 2.0
    launch: int = 25_000
    give_up: float = 0.45

    def learn(self, log: TrainingSet) -> Learnt:
        """See `Policy`."""
        if log.label.all() or not log.label.any():
            return EVENLY
        model = fit(log, self.recipe)
        rows = model.evidence.sum()  # what was forgotten is explored again
        optimism, new = self.optimism * min(FULL_OPTIMISM_ROWS / rows, 1.0) ** 0.5, self._new(log)

        def odds(x: Floats, available: Bools) -> Floats:
            optimistic = np.column_stack([_hoped(model, x, a, optimism) for a in range(len(log.actions))])
            optimistic[:, new] /= 1.0 - self.give_up
            return inverse_gap(optimistic, available, self.gamma_per_root * np.sqrt(rows + np.arange(len(x))))

        return Learnt(odds, len(log) - round(rows))

    def _new(self, log: TrainingSet) -> list[int]:
        first = {int(a): int(n) for a, n in zip(*np.unique(log.action, return_index=True), strict=True)}
        return [a for a in range(len(log.actions)) if len(log) - first.get(a, len(log)) < self.launch]


def _hoped(model: PropensityModel, x: Floats, action: int, optimism: float) -> Floats:
    expected = model.propensities(x, action)
    return expected + optimism * (shift_logits(expected, model.logit_deviation(x, action)) - expected)


def refit_times(n: int, n_actions: int) -> list[int]:
    """Return the numbers of decisions after which a policy that leaves nothing out is refitted."""
    times, t = [], _FIRST_REFIT_PER_ACTION * n_actions
    while t < n:
        times.append(t)
        t = _next_refit(t, 0)
    return times


def _next_refit(n_decisions: int, left_out: int) -> int:
    """Return when to refit next: after 15% more decisions than the fit rests on, at most 4,000 more."""
    return n_decisions + min(round((n_decisions - left_out) * (_GROWTH - 1.0)) + 1, _REFIT_EVERY)


def run(
    x: Floats, p: Floats, uniform: Floats, policy: Policy, seed: int = 0, delays: Delays = AT_ONCE
) -> tuple[Ints, Floats]:
    """Return the action chosen for each customer of a world, and its probability, both (n,).

    Features x (n, f), truth p (n, k), one uniform number per decision (n,). The policy sees x, which actions exist and
    are permitted, and whether its own choices were rewarded once their windows have closed.
    """
    rng = np.random.default_rng([seed, 7])
    n, n_actions = p.shape
    choices, probability, in_time = np.zeros(n, dtype=np.int64), np.ones(n), delays.in_time(n)
    start, end = 0, _FIRST_REFIT_PER_ACTION * n_actions
    while start < n:
        closed = delays.closed(start)
        rewarded = in_time[:closed] & (uniform[:closed] < p[np.arange(closed), choices[:closed]])
        learnt = policy.learn(log_of(x, choices, probability, rewarded, n_actions)) if closed else EVENLY
        end = min(_next_refit(start, learnt.left_out) if start else end, n)
        rows = slice(start, end)
        odds = learnt.odds(x[rows], ~np.isnan(p[rows]))
        choices[rows] = _draw(odds, rng)
        probability[rows] = odds[np.arange(end - start), choices[rows]]
        start = end
    return choices, probability


def log_of(x: Floats, choices: Ints, probability: Floats, rewarded: Bools, n_actions: int) -> TrainingSet:
    """Return the first decisions, as many as `rewarded` has, as training rows."""
    n = len(rewarded)
    return TrainingSet(
        x=x[:n],
        feature_names=tuple(f"f{j}" for j in range(x.shape[1])),
        actions=tuple(f"a{a}" for a in range(n_actions)),
        groups=("all",) * n_actions,
        treatments=((),) * n_actions,
        action=choices[:n],
        treatment=np.full(n, -1, dtype=np.int64),
        label=rewarded,
        probability=probability[:n],
        value_eur=rewarded.astype(np.float64),
        at_us=np.arange(n, dtype=np.int64),
    )


def even(exists: Bools) -> Floats:
    """Return the same probability (n, k) for every action that exists."""
    return np.asarray(exists / exists.sum(axis=1, keepdims=True), dtype=np.float64)


EVENLY = Learnt(lambda _, exists: even(exists))


def _draw(odds: Floats, rng: np.random.Generator) -> Ints:
    """Return one action per row (n,), drawn by its probabilities (n, k)."""
    below = (odds.cumsum(axis=1) <= rng.random(len(odds))[:, None]).sum(axis=1)
    last_possible = odds.shape[1] - 1 - (odds[:, ::-1] > 0.0).argmax(axis=1)
    return np.asarray(np.minimum(below, last_possible), dtype=np.int64)


def inverse_gap(scores: Floats, exists: Bools, gamma: Floats) -> Floats:
    """Return the choice probabilities (n, k) of scores (n, k), as `arbitration.inverse_gap` does for one row.

    An action that does not exist (n, k) is not a candidate; gamma (n,) has no unit.
    """
    masked = np.where(exists, scores, -np.inf)
    best = masked.argmax(axis=1)
    rows = np.arange(len(scores))
    top = masked[rows, best]
    gap = np.where(exists, (top[:, None] - scores) / np.maximum(top, 1e-9)[:, None], 0.0)
    odds = np.where(exists, 1.0 / (exists.sum(axis=1)[:, None] + gamma[:, None] * gap), 0.0)
    odds[rows, best] = 0.0
    odds[rows, best] = 1.0 - odds.sum(axis=1)
    return odds
