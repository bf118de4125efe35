"""Generated logs for the training tests."""

import numpy as np

from training.model.frame import Floats, TrainingSet


def log_of(x: Floats, seed: int, n_actions: int = 4, rate: float = -1.0, missing: float = 0.1) -> TrainingSet:
    """Return a log of uniformly random choices.

    The true logit has linear and threshold terms that differ per action; second treatments do better.
    """
    rng = np.random.default_rng(seed)
    n = len(x)
    action, treatment = rng.integers(0, n_actions, n), rng.integers(-1, 2, n)
    weights = np.random.default_rng(5).normal(size=(n_actions, x.shape[1])) * 0.5
    corner = 2.0 * ((x[:, 0] > 0.2) & (x[:, 1] < 0.3)) - 1.5 * (np.abs(x[:, 2]) > 1)
    logit = rate + np.sum(x * weights[action], axis=1) + corner + 0.8 * (treatment == 1)
    label = rng.random(n) < 1.0 / (1.0 + np.exp(-logit))
    observed = np.where(rng.random(x.shape) < missing, np.nan, x)
    return TrainingSet(
        x=observed,
        feature_names=tuple(f"f{j}" for j in range(x.shape[1])),
        actions=tuple(f"a{i}" for i in range(n_actions)),
        groups=tuple(f"g{i % 2}" for i in range(n_actions)),
        treatments=tuple((f"a{i}.web", f"a{i}.email") for i in range(n_actions)),
        action=action,
        treatment=treatment,
        label=label,
        probability=np.full(n, 1.0 / n_actions),
        value_eur=label * 10.0,
        at_us=np.arange(n, dtype=np.int64),
    )


def random_log(n: int, seed: int = 0, **options: float) -> TrainingSet:
    """Return `log_of` over six normal features."""
    return log_of(np.random.default_rng([seed, 1]).normal(size=(n, 6)), seed, **options)  # type: ignore[arg-type]
