"""Simulated trials of a challenger with constant looks, judged by the gate thousands at a time."""

import numpy as np

from training.learning.evidence import ALPHA, FEWEST_UNITS, GUARD_ALPHA, difference_errors, log_evidence

BASE, PER_ARM, PEEK = 0.02, 200_000, 1_000
COMPLAINTS, LIMIT = 0.004, 0.002
LIFTED = 1.1 * BASE
TERMS = np.array([2.0, -2.0, 2.0, -2.0, 0.0])
"""Weighted rewards, for a share of one half, of a sale by the challenger and the champion, a complaint about each, and
nothing."""


def paths(n: int, seed: int, sale: float, complaint: float) -> np.ndarray:
    """Return the counts so far at every look, (n, looks, 5). `sale`, `complaint`: the challenger's rates."""
    rates = np.array([sale, BASE, complaint, COMPLAINTS]) / 2
    rng = np.random.default_rng(seed)
    looks = rng.multinomial(PEEK, [*rates, 1 - rates.sum()], size=(n, 2 * PER_ARM // PEEK))
    return np.cumsum(looks, axis=1)


def earns_more(by_challenger: np.ndarray, by_champion: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Return whether the challenger is shown to sell more often, for counts of sales and of decisions (...,)."""
    sales, mean = by_challenger + by_champion, 2.0 * (by_challenger - by_champion) / decisions
    error = np.sqrt(4.0 * sales - decisions * mean**2) / decisions
    shown = mean > difference_errors(np.maximum(sales, 1.0), ALPHA) * error
    return np.asarray(shown & (sales >= FEWEST_UNITS))


def gate(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each run was promoted at some look, and whether a guardrail rolled it back first, (n,) each."""
    angry = np.array([0.0, 0, 1, 1, 0])
    better = earns_more(counts[..., 0].astype(float), counts[..., 1].astype(float), counts.sum(axis=2))
    harmless = log_evidence(counts.astype(float), -TERMS * angry, -LIMIT, 2.0) >= -np.log(GUARD_ALPHA)
    harm = log_evidence(counts.astype(float), TERMS * angry, 0.0, 4.0) >= -np.log(GUARD_ALPHA)
    breached = harm & ((counts @ (TERMS * angry)) / counts.sum(axis=2) > LIMIT)
    first = [np.where(hit.any(1), hit.argmax(1), counts.shape[1]) for hit in (better & harmless & ~breached, breached)]
    return first[0] < first[1], first[1] < first[0]


def outcome(n: int, sale: float, complaint: float, seed: int = 0) -> tuple[float, float]:
    """Return the shares of n trials that are promoted and rolled back, with a look after every `PEEK` decisions."""
    promoted, rolled_back = zip(
        *(gate(paths(min(100, n - at), seed + at, sale, complaint)) for at in range(0, n, 100)), strict=True
    )
    return float(np.concatenate(promoted).mean()), float(np.concatenate(rolled_back).mean())


def ever(n: int, sale: float, seed: int) -> float:
    """Return the share of n trials shown to earn more at some look, with a look after every decision.

    Without a sale the evidence does not change, so it is enough to check after every sale.
    """
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(n):
        sales = rng.binomial(2 * PER_ARM, (sale + BASE) / 2)
        by_challenger = np.cumsum(rng.random(sales) < sale / (sale + BASE))
        so_far = np.arange(1.0, sales + 1.0)
        decisions = so_far * 2.0 / (sale + BASE)
        hits += bool(earns_more(by_challenger.astype(float), so_far - by_challenger, decisions).any())
    return hits / n
