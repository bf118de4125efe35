"""What is told of the value of policies: by whom the log was made, how often customers come back, in how many slots.

Customers differ in how often they succeed, and all that one of them does is alike. The policy takes the best action of
each slot that the earlier slots left. Rewards are predicted by one constant: a prediction does not make an estimate
wrong, and here it does not make it narrow.
"""

from functools import partial
from itertools import permutations

import numpy as np

from decisioning.errors import Refused
from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.trial import visits
from training.evaluation.estimators import Log, claim_of, estimate, gain_over_log
from training.evaluation.slates import SlateLog, estimate_slates
from training.model.frame import Bools, Floats, Ints

DRAWN = np.array([0.3, 0.2, 0.2, 0.3])
"""With what probability the log took each of four actions in its first slot."""
BETTER, EQUAL = np.array([0.06, 0.08, 0.1, 0.14]), np.full(4, 0.1)
"""How often each action succeeds, on average over customers."""


class World:
    """`action` (d, m) of d decisions with m slots each, its conditional `probability`, `reward` and `unit` (d,)."""

    def __init__(self, rng: np.random.Generator, kind: str, customers: int, slots: int, rates: Floats) -> None:
        self.unit: Ints = visits(rng, kind, customers)
        self.rates, d = rates, len(self.unit)
        prone = rng.gamma(2.0, 0.5, customers)[self.unit]
        self.action, self.probability = np.zeros((d, slots), dtype=np.int64), np.ones((d, slots))
        free: Bools = np.ones((d, len(rates)), dtype=np.bool_)
        self.target = np.zeros((d, slots, len(rates)))
        for m in range(slots):
            odds = np.where(free, DRAWN, 0.0)
            odds /= odds.sum(axis=1, keepdims=True)
            self.target[np.arange(d), m, np.where(free, np.arange(4), -1).argmax(axis=1)] = 1.0
            taken = np.minimum((odds.cumsum(axis=1) < rng.random(d)[:, None]).sum(axis=1), 3)
            self.action[:, m], self.probability[:, m] = taken, odds[np.arange(d), taken]
            free[np.arange(d), taken] = False
        self.reward = (rng.random((d, slots)) < np.minimum(rates[self.action] * prone[:, None], 1.0)).astype(np.float64)

    @property
    def truth(self) -> float:
        """The mean reward of a decision by the policy."""
        return float(self.rates[::-1][: self.action.shape[1]].sum())

    @property
    def logged(self) -> float:
        """The mean reward of a decision as logged."""
        slots, total = self.action.shape[1], 0.0
        for slate in permutations(range(4), slots):
            left, chance = 1.0, 1.0
            for a in slate:
                chance, left = chance * DRAWN[a] / left, left - DRAWN[a]
            total += chance * float(self.rates[list(slate)].sum())
        return total

    def log(self, *, by_customer: bool) -> Log:
        """Return the log; with customers as units, or as if all decisions were independent."""
        d, slots = self.action.shape
        decision = np.repeat(np.arange(d), slots)
        return Log(
            *(a.ravel() for a in (self.action, self.reward, self.probability)),
            n_actions=4,
            decision=decision,
            unit=np.unique(self.unit, return_inverse=True)[1] if by_customer else None,
        )


def value(seed: int, kind: str, customers: int, slots: int = 1, by_customer: bool = True) -> Told:
    """Return what is told of the policy's value."""
    world = World(np.random.default_rng(seed), kind, customers, slots, BETTER)
    log, target = world.log(by_customer=by_customer), world.target.reshape(-1, 4)
    try:
        told = estimate(log, target, "dr", np.full(target.shape, 0.1)).interval
    except Refused:
        return Told(world.truth)
    return Told(world.truth, told.value, told.low, told.high, false_claim=not told.low <= world.truth <= told.high)


def difference(seed: int, kind: str, customers: int, rates: Floats, slots: int = 1, by_customer: bool = True) -> Told:
    """Return what is told of how much more the policy earns than the log."""
    world = World(np.random.default_rng(seed), kind, customers, slots, rates)
    log, target, truth = world.log(by_customer=by_customer), world.target.reshape(-1, 4), world.truth - world.logged
    truth = 0.0 if abs(truth) < 1e-9 else truth  # of equal actions, what is left of rounding
    try:
        told = gain_over_log(log, target, "dr", np.full(target.shape, 0.1))
    except Refused:
        return Told(truth)
    claim = {"better": 1.0, "worse": -1.0, "cannot tell": 0.0}[claim_of(told)]
    found = None if truth == 0.0 else claim * truth > 0.0
    return Told(truth, told.value, told.low, told.high, claim != 0.0 and claim * truth <= 0.0, found)


def slate(seed: int, kind: str, customers: int, slots: int = 2, by_customer: bool = True) -> Told:
    """Return what `brain evaluate --against` tells of a release that draws as the policy does, by whole slates."""
    world = World(np.random.default_rng(seed), kind, customers, slots, BETTER)
    unit = np.unique(world.unit, return_inverse=True)[1] if by_customer else None
    picked = np.take_along_axis(world.target, world.action[:, :, None], axis=2)[:, :, 0]
    try:
        told = estimate_slates(SlateLog(world.reward, world.probability, unit), picked, "whole").interval
    except Refused:
        return Told(world.truth)
    return Told(world.truth, told.value, told.low, told.high, false_claim=not told.low <= world.truth <= told.high)


WORLDS = (
    ("2,000 customers, independent", "1", 2_000),
    ("500 customers x 25", "25", 500),
    ("500 customers x 50", "50", 500),
    ("500 customers, heavy-tailed visits", "heavy", 500),
    ("2,000 customers, heavy-tailed visits", "heavy", 2_000),
)
CASES = (
    *(Case("value of a policy", name, partial(value, kind=kind, customers=n)) for name, kind, n in WORLDS),
    Case("value of a policy", "500 x 25, two slots", partial(value, kind="25", customers=500, slots=2)),
    Case("value of a policy", "150 customers x 50", partial(value, kind="50", customers=150), 40),
    *(
        Case(f"difference, {what}", name, partial(difference, kind=kind, customers=n, rates=rates))
        for what, rates in (("none", EQUAL), ("better", BETTER))
        for name, kind, n in WORLDS
    ),
    Case(
        "difference, better",
        "500 x 25, two slots",
        partial(difference, kind="25", customers=500, rates=BETTER, slots=2),
    ),
    *(Case("slates of two", name, partial(slate, kind=kind, customers=n)) for name, kind, n in WORLDS[1:]),
)
