"""The difference of two models in a trial, told again and again, and what is done about it.

Coverage is that of all looks of a trial together. Each limit may err in 5 of 100, so that the two err in at most 10.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from training.learning.evidence import ALPHA, TrialOutcomes, judge, reward_difference
from training.model.frame import Floats, Ints

LOOKS = 20
BOUND_EUR = 1_000.0
"""Ten times the most valuable action of these worlds."""


class World:
    """`unit`: int (n,), whose decision each is, in order of time. `earn`: euros (n,) by the champion and challenger."""

    def __init__(self, unit: Ints, by_champion: Floats, by_challenger: Floats, truth: float) -> None:
        self.unit, self.rewards, self.truth = unit, (by_champion, by_challenger), truth


def euro_world(rng: np.random.Generator, n: int = 20_000) -> World:
    """The champion sells for 100 euros to 5% (a cost of .1 aside), the challenger for 9 euros to 10%."""
    sold = [np.where(rng.random(n) < rate, eur, 0.0) for rate, eur in ((0.05, 100.0), (0.1, 9.0))]
    return World(np.arange(n), sold[0], sold[1], 0.9 - 5.0)


def visits(rng: np.random.Generator, kind: str, customers: int) -> Ints:
    """Return whose decision each is, in an order drawn at random."""
    if kind == "heavy":
        counts = np.minimum(np.ceil(rng.pareto(1.5, customers) * 3.0) + 1.0, 400.0).astype(np.int64)
    else:
        counts = np.full(customers, int(kind), dtype=np.int64)
    return rng.permutation(np.repeat(np.arange(customers), counts))


def customers_world(rng: np.random.Generator, kind: str, customers: int, lift: float = 0.0, tail: float = 1.0) -> World:
    """Customers differ in how often they buy and in what they spend; what each spends is lognormal.

    :param kind: decisions per customer, or `heavy`
    :param lift: how many times more often the challenger sells than the champion does, less one
    :param tail: the standard deviation of the logarithm of a customer's euros
    """
    unit = visits(rng, kind, customers)
    rate, spent = rng.beta(0.5, 9.5, customers), np.minimum(rng.lognormal(3.0, tail, customers), BOUND_EUR)
    draws = rng.random(len(unit))
    sold = [np.where(draws < rate[unit] * (1.0 + more), spent[unit], 0.0) for more in (0.0, lift)]
    mean_spent = float(np.minimum(np.random.default_rng(0).lognormal(3.0, tail, 1_000_000), BOUND_EUR).mean())
    return World(unit, sold[0], sold[1], lift * 0.05 * mean_spent)


def tell(seed: int, world: Callable[[np.random.Generator], World], share: float, clustered: bool = True) -> Told:
    """Return what twenty looks at a trial tell of it: the last difference, and whether any limit was ever wrong."""
    rng = np.random.default_rng(seed)
    of = world(rng)
    n = len(of.unit)
    challenger = rng.random(n) < share
    reward = np.where(challenger, of.rewards[1], of.rewards[0])
    wrong, action = False, "wait"
    for upto in np.linspace(n / LOOKS, n, LOOKS).astype(int).tolist():
        unit = np.unique(of.unit[:upto], return_inverse=True)[1] if clustered else None
        value = reward_difference(TrialOutcomes(challenger[:upto], share, unit), reward[:upto], BOUND_EUR, ALPHA)
        wrong |= not value.low <= of.truth <= value.high
        action = judge(value, []).action if action == "wait" else action
    better = {"promote": 1.0, "roll back": -1.0}.get(action, 0.0)
    limits = (np.inf, np.inf) if wrong else (-np.inf, np.inf)
    false = better != 0.0 and better * of.truth <= 0.0
    found = None if of.truth == 0.0 else better * of.truth > 0.0
    return Told(of.truth, value.value, *limits, false_claim=false, found=found)


def _case(name: str, world: Callable[[np.random.Generator], World], runs: int = 400, share: float = 0.5) -> Case:
    return Case("difference in a trial", name, partial(tell, world=world, share=share), runs, coverage=(0.9, 1.0))


CASES = (
    _case("100 euros to 5% or 9 euros to 10%", euro_world, 1_000),
    _case("equal, independent rows", partial(customers_world, kind="1", customers=20_000)),
    _case("equal, 800 customers x 25", partial(customers_world, kind="25", customers=800)),
    _case("equal, 500 customers x 50", partial(customers_world, kind="50", customers=500)),
    _case("equal, heavy-tailed visits", partial(customers_world, kind="heavy", customers=2_000)),
    _case("equal, heavy-tailed euros", partial(customers_world, kind="1", customers=20_000, tail=1.6)),
    _case("equal, a share of a tenth", partial(customers_world, kind="1", customers=20_000), share=0.1),
    _case("30% better, independent rows", partial(customers_world, kind="1", customers=20_000, lift=0.3)),
    _case("30% better, heavy-tailed visits", partial(customers_world, kind="heavy", customers=2_000, lift=0.3)),
    _case("30% better, heavy-tailed euros", partial(customers_world, kind="1", customers=20_000, lift=0.3, tail=1.6)),
)
