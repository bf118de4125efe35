"""Simulated trials of a challenger, looked at all the time: what the gate makes of them, thousands at once."""

import numpy as np

from training.learning.evidence import ALPHA, GUARD_ALPHA, log_evidence

BASE, PER_ARM, PEEK = 0.02, 200_000, 1_000
COMPLAINTS, LIMIT = 0.004, 0.002
LIFTED = 1.1 * BASE
TERMS = np.array([2.0, -2.0, 2.0, -2.0, 0.0])
"""Weighted rewards of: a sale by the challenger, by the champion; a complaint about each; nothing (share one half)."""


def paths(n: int, seed: int, sale: float, complaint: float) -> np.ndarray:
    """(n, peeks, 5) counts so far at every look; `sale`, `complaint`: the challenger's rates."""
    rates = np.array([sale, BASE, complaint, COMPLAINTS]) / 2
    rng = np.random.default_rng(seed)
    looks = rng.multinomial(PEEK, [*rates, 1 - rates.sum()], size=(n, 2 * PER_ARM // PEEK))
    return np.cumsum(looks, axis=1)


def gate(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) whether each run was promoted at some look, and whether it was rolled back by a guardrail before."""
    sold, angry = np.array([1.0, 1, 0, 0, 0]), np.array([0.0, 0, 1, 1, 0])
    better = log_evidence(seen.astype(float), TERMS * sold, 0.0, 4.0) >= -np.log(ALPHA)
    shown = log_evidence(seen.astype(float), -TERMS * angry, -LIMIT, 2.0) >= -np.log(GUARD_ALPHA)
    harm = log_evidence(seen.astype(float), TERMS * angry, 0.0, 4.0) >= -np.log(GUARD_ALPHA)
    breached = harm & ((seen @ (TERMS * angry)) / seen.sum(axis=2) > LIMIT)
    first = [np.where(hit.any(1), hit.argmax(1), seen.shape[1]) for hit in (better & shown & ~breached, breached)]
    return first[0] < first[1], first[1] < first[0]


def outcome(n: int, sale: float, complaint: float, seed: int = 0) -> tuple[float, float]:
    """Shares of n trials, looked at after every `PEEK` decisions, that are promoted, and that are rolled back."""
    promoted, rolled_back = zip(
        *(gate(paths(min(100, n - at), seed + at, sale, complaint)) for at in range(0, n, 100)), strict=True
    )
    return float(np.concatenate(promoted).mean()), float(np.concatenate(rolled_back).mean())


def ever(n: int, sale: float, seed: int) -> float:
    """The share of n trials shown to earn more at some look, looking after every decision.

    Without a sale the capital stands still, so looking after every sale is looking after every decision.
    """
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(n):
        sales = rng.binomial(2 * PER_ARM, (sale + BASE) / 2)
        mine = np.cumsum(rng.random(sales) < sale / (sale + BASE))
        counts = np.stack([mine, np.arange(1, sales + 1) - mine], axis=1).astype(float)
        hits += bool((log_evidence(counts, TERMS[:2], 0.0, 4.0) >= -np.log(ALPHA)).any())
    return hits / n
