"""Which of the permitted candidates is shown where, and with what exact probability.

Tiers come first, then priority. Within the commercial tier, exploration is inverse-gap weighting (Abe and Long 1999;
Foster and Rakhlin 2020): with K candidates and gaps g_a = (best - y_a) / best, p_a = 1 / (K + gamma_a g_a) for all but
the best, which takes the rest. Gaps are relative, so gamma has no unit; gamma infinite is greedy. Each candidate's gap
is weighted by the gamma of its own issue, which says how seldom such an action takes the place of a better one. Doing
nothing is one of the commercial candidates, worth 0, with the channel's gamma. A channel may explore by what candidates
could be worth at the upper end of their interval (optimism, as in Li, Chu, Langford and Schapire 2010), so that a
candidate with little evidence is tried where it may win.

A channel may also let new candidates count for more in the draw, and give a budget b to immature ones: with probability
1 - b the above applies, with probability b an even draw among the immature candidates of the slot. All of this is one
distribution, and one probability is recorded.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.hashes import hashed_uniform
from decisioning.lazy import lazy_property

NOTHING = -1
"""The candidate that the commercial tier always has: leave the customer alone."""
Uniform = Callable[[int], float]


@dataclass(frozen=True)
class Slot:
    """One position to fill: `members` are the candidates (k,) that its placement can show."""

    placement: int
    rank: int
    members: NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """How often candidates that share a bucket may still be chosen.

    `bucket`: int64 (n_limits, k), the place in `remaining` that a candidate counts under, -1 where a limit does not
    concern it. `remaining`: int64 (n_buckets + 1,), of which the last never runs out. `known_room`: `room` where it is
    known already, so that a slate works it out once.
    """

    bucket: NDArray[np.int64]
    remaining: NDArray[np.int64]
    known_room: NDArray[np.bool_] | None = None

    @lazy_property
    def room(self) -> NDArray[np.bool_]:
        """Bool (k,): whether no bucket of the candidate is exhausted."""
        if self.known_room is not None:
            return self.known_room
        return np.asarray((self.remaining[self.bucket] > 0).all(axis=0), dtype=np.bool_)

    def without(self, candidate: int) -> "Limits":
        """Return the limits after `candidate` was chosen once."""
        places, remaining, room = self.bucket[:, candidate], self.remaining.copy(), self.room
        remaining[places] -= 1
        for n, place in enumerate(places.tolist()):
            if place >= 0 and remaining[place] <= 0:
                room = room & (self.bucket[n] != place)
        return Limits(self.bucket, remaining, room)


@dataclass(frozen=True)
class Pick:
    """The choice for a slot: a candidate (index into the k columns) or NOTHING, and the probability of that choice.

    `extra`: the share of the slot's probability that went to immature candidates. `given_up`: how much less the slot is
    expected to bring than by the schedule alone, in units of priority (euros). `odds`: what the slot could have
    got; None if it was not drawn.
    """

    slot: Slot
    candidate: int
    probability: float
    extra: float = 0.0
    given_up: float = 0.0
    odds: "Odds | None" = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Field:
    """The columns that arbitration reads, each (k,): whether every filter was passed, tier (0 first) and priority.

    `optimistic_priority`: the priority by which exploration draws; None: the priority itself.
    """

    permitted: NDArray[np.bool_]
    tier: NDArray[np.int8]
    priority: NDArray[np.float64]
    optimistic_priority: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Exploration:
    """How the commercial tier is drawn: `gamma` (k,) of every candidate, `idle` of doing nothing.

    `immature`: bool (k,), the candidates of which too little is known; together they get `budget` of each slot.
    `launch_boost` (k,): how many times its worth a new candidate counts in the draw, 1 for the others; None if nothing
    is new.
    """

    gamma: NDArray[np.float64]
    idle: float
    immature: NDArray[np.bool_]
    budget: float = 0.0
    launch_boost: NDArray[np.float64] | None = None

    @lazy_property
    def gammas(self) -> NDArray[np.float64]:
        """The gamma of every candidate and, last, of doing nothing (k + 1,)."""
        return _with_last(self.gamma, self.idle)

    @lazy_property
    def explored(self) -> NDArray[np.bool_]:
        """Bool (k + 1,): whether the gamma is finite."""
        return np.isfinite(self.gammas)

    @lazy_property
    def all_explored(self) -> bool:
        """Whether every gamma is finite."""
        return bool(self.explored.all())

    @classmethod
    def flat(cls, gamma: float, k: int) -> "Exploration":
        """Return the same gamma for all k candidates, and nothing extra for any of them."""
        return cls(np.full(k, gamma), gamma, np.zeros(k, dtype=np.bool_))


@dataclass(frozen=True)
class Odds:
    """What a slot may get: `candidates` (n,), and the `probability` (n + 1,) of each, doing nothing last.

    `extra` and `given_up` as in Pick.
    """

    candidates: NDArray[np.int64]
    probability: NDArray[np.float64]
    extra: float = 0.0
    given_up: float = 0.0

    def pick(self, slot: Slot, at: int) -> Pick:
        """Return the choice at index `at` of `probability`."""
        chosen = int(self.candidates[at]) if at < len(self.candidates) else NOTHING
        return Pick(slot, chosen, float(self.probability[at]), self.extra, self.given_up, self)


def uniforms(seed: str) -> Uniform:
    """Return a function that gives the n-th number of `seed`, in [0, 1)."""
    return partial(hashed_uniform, seed)


def inverse_gap(values: NDArray[np.float64], gamma: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (n,) over candidates worth `values` (n,), with one gamma for all or one for each.

    Of equal values the first is the best. If the best is worth nothing or less, gaps have no scale and the best is
    chosen with certainty.
    """
    explored = np.isfinite(gamma)
    if explored.all():
        return _inverse_gap(values, gamma)
    chosen = np.where(explored, _inverse_gap(values, np.where(explored, gamma, 0.0)), 0.0)
    return _rest_to(int(values.argmax()), chosen)


def _inverse_gap(values: NDArray[np.float64], gamma: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `inverse_gap` does, where no gamma is infinite."""
    best = int(values.argmax())
    top = float(values[best])
    if top <= 0.0:
        return _rest_to(best, np.zeros(len(values)))
    return _rest_to(best, np.asarray(1.0 / (len(values) + gamma * ((top - values) / top)), dtype=np.float64))


def _rest_to(best: int, chosen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the best what the others leave of 1."""
    chosen[best] = 0.0
    chosen[best] = 1.0 - math.fsum(chosen.tolist())
    return chosen


def fill(slots: Sequence[Slot], field: Field, limits: Limits, explore: Exploration, draw: Uniform) -> list[Pick]:
    """Fill `slots` in their order; each probability is conditional on the picks before it."""
    walked = walk(slots, field, limits, explore, lambda n, odds: _draw(odds.probability, draw(n)))
    return [odds.pick(slot, at) for slot, odds, at in walked]


def walk(
    slots: Sequence[Slot], field: Field, limits: Limits, explore: Exploration, take: Callable[[int, Odds], int]
) -> Iterator[tuple[Slot, Odds, int]]:
    """Yield (slot, odds, choice) slot by slot, given the choices before it; `take` chooses an index of the odds.

    `take` receives the slot's place in `slots`. A placement whose slot is left empty stays empty from there on.
    """
    chances = Chances(field, explore)
    ended: set[int] = set()
    last_pick: int | None = None
    for n, slot in enumerate(slots):
        if slot.placement in ended:
            continue
        if last_pick is not None:
            limits, last_pick = limits.without(last_pick), None
        odds = chances.of(slot.members & limits.room)
        at = take(n, odds)
        yield slot, odds, at
        if at == len(odds.candidates):
            ended.add(slot.placement)
        else:
            last_pick = int(odds.candidates[at])


class Chances:
    """What the slots of one slate have in common: columns of length k + 1, doing nothing last.

    Candidates that are not commercial are not left to chance. A commercial one that is worth nothing is not offered.
    """

    def __init__(self, field: Field, explore: Exploration) -> None:
        self._field, self._explore = field, explore
        self._one_tier = bool(field.tier.min(initial=COMMERCIAL_TIER) == COMMERCIAL_TIER)
        worth_something = field.priority > 0.0
        self._offered = field.permitted & (
            worth_something if self._one_tier else worth_something | (field.tier != COMMERCIAL_TIER)
        )
        self._gamma = explore.gammas
        self._expected = self._worth = _with_last(field.priority, 0.0)
        self._inverse_gap = _inverse_gap if explore.all_explored else inverse_gap
        if field.optimistic_priority is not None:  # infinite gamma goes by the expected priority
            self._worth = np.where(explore.explored, _with_last(field.optimistic_priority, 0.0), self._expected)

    def of(self, room: NDArray[np.bool_]) -> Odds:
        """Return the odds of the first tier among the candidates that a slot has `room` for, bool (k,)."""
        open_to = np.flatnonzero(self._offered & room)
        if not len(open_to):
            return Odds(open_to, np.ones(1))
        if self._one_tier:
            return self.among(open_to)
        tier = self._field.tier[open_to]
        first = open_to[tier == tier.min()]
        if self._field.tier[first[0]] == COMMERCIAL_TIER:
            return self.among(first)
        certain = np.zeros(len(first) + 1)
        certain[self._field.priority[first].argmax()] = 1.0
        return Odds(first, certain)

    def among(self, first: NDArray[np.int64]) -> Odds:
        """Return the odds of the commercial candidates `first`, ascending, and of doing nothing."""
        explore, at = self._explore, _with_last(first, len(self._worth) - 1)
        worth, gamma = self._worth[at], self._gamma[at]
        scheduled = odds = self._inverse_gap(worth, gamma)
        if explore.launch_boost is not None:
            boost = np.where(np.isfinite(gamma), _with_last(explore.launch_boost[first], 1.0), 1.0)
            odds = self._inverse_gap(worth * boost, gamma)
        young = explore.immature[first] if explore.budget > 0.0 else None
        budget = explore.budget if young is not None and young.any() else 0.0
        if young is not None and budget > 0.0:
            odds = (1.0 - budget) * odds + budget * _with_last(young / np.count_nonzero(young), 0.0)
        lost = 0.0
        if odds is not scheduled:
            expected = self._expected[at]
            lost = math.fsum((scheduled * expected).tolist()) - math.fsum((odds * expected).tolist())
        return Odds(first, odds, budget, lost)


def _with_last(column: NDArray[Any], last: float) -> NDArray[Any]:
    """Return a column (n,) with one more value at its end, several times as fast as numpy's `append`."""
    longer = np.empty(len(column) + 1, dtype=column.dtype)
    longer[:-1] = column
    longer[-1] = last
    return longer


def _draw(probability: NDArray[np.float64], u: float) -> int:
    """Return the index whose share of [0, 1) holds u, never one of probability 0, whatever rounding leaves over."""
    index = int(np.add.accumulate(probability).searchsorted(u, side="right"))
    return index if index < len(probability) else int(np.flatnonzero(probability > 0.0)[-1])
