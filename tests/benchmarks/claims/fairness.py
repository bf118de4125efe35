"""What the fairness guards claim of groups of customers who come back: that one is offered less, or not."""

from functools import partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.returning import KINDS
from tests.benchmarks.claims.trial import visits
from training.learning.evidence import GUARD_ALPHA
from training.learning.fairness import Tally, group_guards
from training.model.frame import Ints

LOOKS, RATE, ROWS = 10, 0.2, 20_000


def tally_of(group: Ints, unit: Ints, hit: Ints) -> Tally:
    """Return the counts of decisions (n,) of customers `unit` who are each in one group, `f` (0) or `m` (1)."""
    of_unit = np.zeros(int(unit.max()) + 1, dtype=np.int64)
    of_unit[unit] = group
    rows, hits = np.bincount(unit).astype(np.float64), np.bincount(unit, hit)
    seen = np.flatnonzero(rows)
    return Tally(("f", "m"), of_unit[seen], seen, rows[seen], hits[seen])


def tell(seed: int, world: str, ratio: float, clustered: bool = True) -> Told:
    """Return what ten looks tell of two groups; customers differ in how often they are selected.

    :param ratio: the true rate of the first group, divided by that of the second
    :param clustered: False claims as if no two decisions were of the same customer
    """
    rng = np.random.default_rng(seed)
    kind, mean = KINDS[world]
    customers = round(ROWS / mean)
    unit = visits(rng, kind, customers)
    group = rng.integers(0, 2, customers)[unit]
    rate = np.minimum(rng.beta(0.5, 2.0, customers)[unit] * np.where(group == 0, ratio, 1.0), 1.0)
    hit = rng.random(len(unit)) < rate
    breached, guard = False, None
    for upto in np.linspace(len(unit) / LOOKS, len(unit), LOOKS).astype(int).tolist():
        whose = unit[:upto] if clustered else np.arange(upto)
        guard = group_guards("x", tally_of(group[:upto], whose, hit[:upto]), always=True)[0]
        breached |= guard.state == "breached"
    assert guard is not None
    unfair = not 0.8 <= ratio <= 1.25
    return Told(
        ratio, guard.value, guard.low, guard.high, None if unfair else breached, found=breached if unfair else None
    )


def _case(world: str, ratio: float, of: str, runs: int = 400) -> Case:
    return Case("fairness", f"{of}, {world}", partial(tell, world=world, ratio=ratio), runs, GUARD_ALPHA, (0.96, 1.0))


CASES = (
    *(_case(world, 1.0, "equal groups") for world in KINDS),
    *(_case(world, 0.8, "at the limit") for world in KINDS),
    *(_case(world, 0.4, "selected 60% less") for world in KINDS),
)
"""The guard's interval is of the last look, and holds at all of them."""
