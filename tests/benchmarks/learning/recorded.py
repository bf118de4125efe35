"""Probabilities recorded by `arbitration.fill`, compared with the frequency of each choice, in a million decisions."""

from collections.abc import Mapping

import numpy as np

from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.arbitration import Exploration, Field, Limits, Slot, fill, uniforms
from tests.benchmarks.learning.parts import Figures, Line, Part, Run

DECISIONS, SHARDS, ACTIONS = 1_000_000, 20, 12
SLOTS = [Slot(0, rank, np.ones(ACTIONS, dtype=np.bool_)) for rank in (1, 2)]
EXPLORE = Exploration(np.linspace(2.0, 60.0, ACTIONS), 20.0, np.arange(ACTIONS) % 4 == 0, 0.1)
"""Each candidate has its own gamma, and the three immature ones get a tenth of each slot."""
ONCE = Limits(np.arange(ACTIONS, dtype=np.int64)[None], np.ones(ACTIONS + 1, dtype=np.int64))


def decide_many(shard: int) -> Figures:
    """Return sums of the importance weights, and of their squares, for a uniform policy over candidates and nothing."""
    rng, n = np.random.default_rng([shard, 6]), DECISIONS // SHARDS
    weights, missing = np.empty(n), 0
    for i in range(n):
        priority = rng.gamma(1.0, 10.0, ACTIONS)
        field = Field(np.ones(ACTIONS, dtype=np.bool_), np.full(ACTIONS, COMMERCIAL_TIER, dtype=np.int8), priority)
        picks = fill(SLOTS, field, ONCE, EXPLORE, uniforms(f"{shard}/{i}"))
        missing += sum(not 0.0 < p.probability <= 1.0 for p in picks)
        weights[i] = _weight([(p.candidate, p.probability) for p in picks])
    return {"n": n, "sum": float(weights.sum()), "squares": float((weights**2).sum()), "missing": missing}


def _weight(picks: list[tuple[int, float]]) -> float:
    """Return a slate's weight under a uniform choice among the candidates left, or nothing."""
    weight = 1.0
    for n_before, (_, probability) in enumerate(picks):
        weight *= 1.0 / (ACTIONS + 1 - n_before) / probability
    return weight


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    if not results:
        return []
    n, missing = (sum(f[key] for f in results.values()) for key in ("n", "missing"))
    mean = sum(f["sum"] for f in results.values()) / n
    error = (max(sum(f["squares"] for f in results.values()) / n - mean**2, 0.0) / n) ** 0.5
    weights = Line(
        f"mean importance weight over {n:,} decisions of two slots",
        f"{mean:.4f}, error {error:.4f}",
        "1 within 3 errors",
        abs(mean - 1.0) <= 3 * error,
    )
    return [Line("choices without a recorded probability", str(missing), "0", missing == 0), weights]


RECORDED = Part([Run(f"shard/{s}", decide_many, (s,)) for s in range(SHARDS)], _lines)
