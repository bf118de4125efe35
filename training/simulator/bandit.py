"""Learning while deciding: refit, explore a little, decide, in a world whose truth is known."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from training.frame import Bools, Floats, Ints, TrainingSet
from training.propensity import Recipe, fit
from training.trees import Growth

FIRST_REFITS = (1_000, 2_000, 3_000, 4_000, 5_000, 7_000, 9_000, 12_000)
REFIT_EVERY = 4_000


@dataclass(frozen=True, slots=True)
class Learner:
    """The recipe and its exploration: gamma = `gamma_per_root` x sqrt(decisions so far)."""

    recipe: Recipe = field(default_factory=lambda: Recipe(rounds=2, calibrate=False, growth=Growth(folds=3)))
    gamma_per_root: float = 2.5
    seed: int = 0


def refit_times(n: int) -> list[int]:
    """Decisions after which the model is fitted again."""
    return [t for t in (*FIRST_REFITS, *range(FIRST_REFITS[-1] + REFIT_EVERY, n, REFIT_EVERY)) if t < n]


def run(x: Floats, p: Floats, uniform: Floats, learner: Learner | None = None) -> Ints:
    """The action chosen for each customer of a world (n,): features x (n, f), truth p (n, k), one uniform each (n,).

    The learner sees x, and of p only which actions exist and whether its own choice was rewarded.
    """
    learner = learner or Learner()
    rng = np.random.default_rng([learner.seed, 7])
    n, n_actions = p.shape
    chosen, probability = np.zeros(n, dtype=np.int64), np.ones(n)
    times = [0, *refit_times(n), n]
    for start, end in pairwise(times):
        rows = slice(start, end)
        exists = ~np.isnan(p[rows])
        scores = np.ones((end - start, n_actions))
        if start:
            past = np.arange(start)
            rewarded = uniform[:start] < p[past, chosen[:start]]
            scores = _scores(_seen(x, chosen, probability, rewarded, n_actions), x[rows], learner.recipe)
        odds = inverse_gap(scores, exists, learner.gamma_per_root * np.sqrt(np.arange(start, end)))
        chosen[rows] = _draw(odds, rng)
        probability[rows] = odds[np.arange(end - start), chosen[rows]]
    return chosen


def _seen(x: Floats, chosen: Ints, probability: Floats, rewarded: Bools, n_actions: int) -> TrainingSet:
    """The decisions so far, as the rows of a log."""
    n = len(rewarded)
    return TrainingSet(
        x=x[:n],
        feature_names=tuple(f"f{j}" for j in range(x.shape[1])),
        actions=tuple(f"a{a}" for a in range(n_actions)),
        groups=("all",) * n_actions,
        treatments=((),) * n_actions,
        action=chosen[:n],
        treatment=np.full(n, -1, dtype=np.int64),
        label=rewarded,
        probability=probability[:n],
        value_eur=rewarded.astype(np.float64),
        at_us=np.arange(n, dtype=np.int64),
    )


def _scores(seen: TrainingSet, x: Floats, recipe: Recipe) -> Floats:
    if seen.label.all() or not seen.label.any():
        return np.ones((len(x), len(seen.actions)))
    model = fit(seen, recipe)
    return np.column_stack([model.propensities(x, a) for a in range(len(seen.actions))])


def _draw(odds: Floats, rng: np.random.Generator) -> Ints:
    """One action per row (n,), by its probabilities (n, k)."""
    below = (odds.cumsum(axis=1) <= rng.random(len(odds))[:, None]).sum(axis=1)
    last_possible = odds.shape[1] - 1 - (odds[:, ::-1] > 0.0).argmax(axis=1)
    return np.asarray(np.minimum(below, last_possible), dtype=np.int64)


def inverse_gap(scores: Floats, exists: Bools, gamma: Floats) -> Floats:
    """Choice probabilities (n, k) by inverse-gap weighting (Abe and Long 1999; Foster and Rakhlin 2020).

    p_a = 1 / (K + gamma x gap_a / best) for all but the best, which takes the rest; gamma (n,) has no unit.
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
