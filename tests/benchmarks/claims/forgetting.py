"""What is claimed of the truth: that it changed, so that older rows are left out; or that it did not."""

from dataclasses import replace
from functools import partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.returning import KINDS, as_strangers, rows_of
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet

ROWS, BASE = 8_000, Recipe(growth=None)


def log_of(seed: int, world: str, *, changed: bool) -> TrainingSet:
    """Return rows of customers each of whom comes within a tenth of the time.

    :param changed: from three quarters of the time on, the feature that matters works the other way round
    """
    rng = np.random.default_rng(seed)
    data = rows_of(rng, world, ROWS, slope=1.0, spread=1.5)
    assert data.unit is not None
    begins = rng.random(int(data.unit.max()) + 1)[data.unit]
    at_us = (1e9 * (begins + 0.1 * rng.random(len(data)))).astype(np.int64)
    late = at_us >= np.quantile(at_us, 0.75)
    if changed:
        data = replace(data, x=np.where(late[:, None], -data.x, data.x))
    return replace(data, at_us=at_us).take(np.argsort(at_us, kind="stable"))


def tell(seed: int, world: str, changed: bool, clustered: bool = True) -> Told:
    """Return the share of rows that a fit leaves out.

    :param clustered: False claims as if no two rows were of the same customer
    """
    data = log_of(seed, world, changed=changed)
    kept = float(fit(data if clustered else as_strangers(data), BASE).evidence.sum())
    left_out = 1.0 - kept / len(data)
    found = 0.6 <= left_out <= 0.8 if changed else None
    return Told(0.75 * changed, left_out, false_claim=None if changed else left_out > 0.0, found=found)


CASES = tuple(
    Case(
        "forgetting",
        f"{'the truth changed' if changed else 'nothing changed'}, {world}",
        partial(tell, world=world, changed=changed),
        100,
    )
    for changed in (False, True)
    for world in KINDS
)
