"""Coverage of 95% intervals of off-policy values over a thousand logs; the goal is 93 to 97%."""

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from training.evaluation.estimators import METHODS, Log, estimate
from training.model.frame import Floats

LOGS, SHARDS, ROWS, ACTIONS, TRUTH_ROWS = 1_000, 20, 6_000, 5, 200_000


def random_log(seed: int, n: int) -> tuple[Log, Floats, Floats, Floats]:
    """Return a log by a poor policy, a better target policy, the true rates and rough predictions of them."""
    rng, weights = np.random.default_rng([seed, n, 11]), np.random.default_rng(3).normal(0.0, 0.7, (4, ACTIONS))
    x = rng.normal(size=(n, 4))
    rates = 1.0 / (1.0 + np.exp(3.5 - x @ weights))
    leaning = np.exp(0.6 * x @ weights[::-1])
    logging = 0.85 * leaning / leaning.sum(1, keepdims=True) + 0.15 / ACTIONS
    preference = np.exp(x @ weights)
    target = preference / preference.sum(1, keepdims=True)
    action = np.minimum((logging.cumsum(1) < rng.random(n)[:, None]).sum(1), ACTIONS - 1)
    rows = np.arange(n)
    reward = (rng.random(n) < rates[rows, action]).astype(np.float64)
    guesses = np.clip(rates * np.exp(rng.normal(0.0, 0.5, rates.shape)), 0.0, 1.0)
    return Log(action, reward, logging[rows, action], ACTIONS), target, rates, guesses


def cover(shard: int) -> Figures:
    """Return how many intervals of each method cover the target's true value, and the sum of their widths."""
    _, target, rates, _ = random_log(-shard - 1 & 0xFFFF, TRUTH_ROWS)
    truth = float(np.sum(target * rates, axis=1).mean())
    held, width = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0.0)
    for seed in range(shard * LOGS // SHARDS, (shard + 1) * LOGS // SHARDS):
        log, target, _, guesses = random_log(seed, ROWS)
        for method in METHODS:
            interval = estimate(log, target, method, guesses).interval
            held[method] += interval.low <= truth <= interval.high
            width[method] += interval.high - interval.low
    return {"logs": LOGS // SHARDS, "held": held, "width": width}


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    logs = sum(f["logs"] for f in results.values())
    lines = []
    for method in METHODS if logs else ():
        share = sum(f["held"][method] for f in results.values()) / logs
        width = sum(f["width"][method] for f in results.values()) / logs
        figure = f"{100 * share:.1f}% of {logs}, mean width {width:.4f}"
        lines.append(Line(f"{method}: 95% intervals that hold the truth", figure, "93-97%", 0.93 <= share <= 0.97))
    return lines


ESTIMATORS = Part([Run(f"shard/{s}", cover, (s,)) for s in range(SHARDS)], _lines)
