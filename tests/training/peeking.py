"""Simulated trials of a challenger with constant looks, judged by the gate thousands at a time."""

import numpy as np

from training.learning.evidence import ALPHA, GUARD_ALPHA, log_evidence

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


def gate(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each run was promoted at some look, and whether a guardrail rolled it back first, (n,) each."""
    sold, angry = np.array([1.0, 1, 0, 0, 0]), np.array([0.0, 0, 1, 1, 0])
    better = log_evidence(counts.astype(float), TERMS * sold, 0.0, 4.0) >= -np.log(ALPHA)
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
        counts = np.stack([by_challenger, np.arange(1, sales + 1) - by_challenger], axis=1).astype(float)
        hits += bool((log_evidence(counts, TERMS[:2], 0.0, 4.0) >= -np.log(ALPHA)).any())
    return hits / n
