"""Worlds of customers who come back: how often each comes, and how alike the decisions of one customer are."""

from dataclasses import replace

import numpy as np

from tests.benchmarks.claims.trial import visits
from training.model.frame import Floats, TrainingSet
from training.model.logistic import sigmoid

KINDS = {"independent rows": ("1", 1.0), "customers x 25": ("25", 25.0), "customers x 50": ("50", 50.0)}
KINDS["heavy-tailed visits"] = ("heavy", 8.4)
"""By world: the kind of `visits`, and the mean number of visits of a customer."""
FEATURES = 6


def rows_of(
    rng: np.random.Generator, world: str, n: int, slope: float = 0.0, spread: float = 1.0, steps: float = 0.0
) -> TrainingSet:
    """Return about n rows of one action and of customers whose features never change, spread over time.

    :param slope: of the logit on the first feature; the others are noise
    :param spread: the standard deviation of what is peculiar to a customer, in logits
    :param steps: of the logit, up or down by whether the first two features have the same sign, as trees alone learn
    """
    kind, mean = KINDS[world]
    customers = max(round(n / mean), 2)
    unit = visits(rng, kind, customers)
    x = rng.normal(size=(customers, FEATURES))
    logit = -1.5 + slope * x[:, 0] + steps * np.sign(x[:, 0] * x[:, 1]) + spread * rng.normal(size=customers)
    return _labelled(rng, x[unit], logit[unit], unit)


def _labelled(rng: np.random.Generator, x: Floats, logit: Floats, unit: np.ndarray) -> TrainingSet:
    n = len(x)
    label = rng.random(n) < sigmoid(logit)
    return TrainingSet(
        x=x,
        feature_names=tuple(f"f{j}" for j in range(x.shape[1])),
        actions=("tea",),
        groups=("drinks",),
        treatments=((),),
        action=np.zeros(n, dtype=np.int64),
        treatment=np.full(n, -1, dtype=np.int64),
        label=label,
        probability=np.full(n, 0.5),
        value_eur=label * 10.0,
        at_us=np.arange(n, dtype=np.int64),
        unit=unit,
    )


def as_strangers(data: TrainingSet) -> TrainingSet:
    """Return the rows as if no two were of the same customer, which is what is claimed without units."""
    return replace(data, unit=None)
