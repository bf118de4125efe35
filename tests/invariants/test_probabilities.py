"""Exploration draws only from permitted candidates of one tier, and records the exact probability."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.arbitration import (
    NOTHING,
    Exploration,
    Field,
    Limits,
    Pick,
    Slot,
    fill,
    inverse_gap,
    uniforms,
)
from decisioning.facts.forms import Ask, Known
from tests import strategies as world
from tests.examples import examples

worth = st.floats(-50, 1e6).map(lambda v: round(v, 6))
priorities = st.lists(worth, min_size=1, max_size=30)
gammas = st.one_of(st.just(math.inf), st.floats(0, 1e6))


@pytest.mark.promise("exploration.probabilities")
@given(priorities, gammas)
def test_probabilities_are_the_closed_form(values: list[float], gamma: float) -> None:
    array = np.asarray(values)
    computed = inverse_gap(array, gamma)
    best, k = float(array.max()), len(array)
    assert math.fsum(computed) == pytest.approx(1.0, abs=1e-12)
    assert (computed >= 0).all()
    assert computed[int(array.argmax())] >= 1 / k - 1e-12
    if best > 0 and math.isfinite(gamma):
        for i in set(range(k)) - {int(array.argmax())}:
            assert computed[i] == pytest.approx(1 / (k + gamma * (best - values[i]) / best), rel=1e-12)


@pytest.mark.promise("exploration.gamma-per-issue")
@given(st.lists(st.tuples(worth, gammas), min_size=1, max_size=30))
def test_each_gap_is_weighed_by_its_own_gamma(candidates: list[tuple[float, float]]) -> None:
    values, gamma = np.asarray(candidates).T
    computed, best = inverse_gap(values, gamma), int(values.argmax())
    assert math.fsum(computed) == pytest.approx(1.0, abs=1e-12)
    for i in set(range(len(values))) - {best}:
        explored = values[best] > 0 and math.isfinite(gamma[i])
        gap = (values[best] - values[i]) / values[best] if explored else math.inf
        expected = 1 / (len(values) + gamma[i] * gap) if explored else 0.0
        assert computed[i] == pytest.approx(expected, rel=1e-12)


@given(priorities, st.floats(1, 1e6), st.floats(1e-3, 1e3))
def test_gamma_has_no_unit(values: list[float], gamma: float, cents: float) -> None:
    array = np.asarray(values)
    assert inverse_gap(array, gamma) == pytest.approx(inverse_gap(array * cents, gamma), rel=1e-9, abs=1e-12)


def limits(actions: Sequence[int]) -> Limits:
    return Limits(np.asarray([actions], dtype=np.int64), np.ones(max(actions) + 2, dtype=np.int64))


SLOTS = [Slot(0, 1, np.ones(4, dtype=np.bool_)), Slot(1, 1, np.asarray([True, True, False, True]))]
"""Two slots for four treatments of three actions; the first two treatments are of the same action."""


def commercial(priority: Sequence[float], optimistic: Sequence[float] | None = None) -> Field:
    k = len(priority)
    optimistic_priority = None if optimistic is None else np.asarray(optimistic)
    return Field(
        np.ones(k, dtype=np.bool_), np.full(k, COMMERCIAL_TIER, np.int8), np.asarray(priority), optimistic_priority
    )


def slates(field: Field, explore: Exploration, us: tuple[float, ...] = ()) -> dict[tuple[int, ...], float]:
    """Return slate -> the product of its recorded probabilities, for all slates, by a walk over [0, 1) per slot."""
    probabilities: dict[tuple[int, ...], float] = {}
    u = 0.0
    while u < 1.0 - 1e-12:
        draws = (*us, u)
        picks = fill(SLOTS, field, limits([0, 0, 1, 2]), explore, lambda n, d=draws: d[n] if n < len(d) else 0.0)
        if len(draws) < len(SLOTS):
            probabilities |= slates(field, explore, draws)
        else:
            probabilities[tuple(p.candidate for p in picks)] = math.prod(p.probability for p in picks)
        u += picks[len(us)].probability
    return probabilities


def by_hand(field: Field, explore: Exploration) -> dict[tuple[int, ...], float]:
    """Return the same as `slates`, computed slot by slot with the closed form."""
    probabilities = {}
    for first, p in chances(field, explore, [0, 1, 2, 3]).items():
        remaining = [c for c in (0, 1, 3) if c != first and not (first in (0, 1) and c in (0, 1))]
        probabilities |= {
            (first, second): p * q for second, q in chances(field, explore, remaining).items() if p * q > 0
        }
    return probabilities


def chances(field: Field, explore: Exploration, open_to: list[int]) -> dict[int, float]:
    """Return candidate -> probability for one slot, by the closed form, among the candidates in `open_to`."""
    positive = [c for c in open_to if field.priority[c] > 0]
    if not positive:
        return {NOTHING: 1.0}
    usual = inverse_gap(np.append(field.priority[positive], 0.0), np.append(explore.gamma[positive], explore.idle))
    young = [c for c in positive if explore.immature[c]]
    budget = explore.budget if young else 0.0
    odds = {c: (1 - budget) * p for c, p in zip((*positive, NOTHING), usual.tolist(), strict=True)}
    return {c: p + (budget / len(young) if c in young else 0.0) for c, p in odds.items()}


mixtures = st.builds(
    lambda gamma, idle, immature, budget: Exploration(np.asarray(gamma), idle, np.asarray(immature), budget),
    st.lists(st.one_of(st.just(math.inf), st.floats(0, 50)), min_size=4, max_size=4),
    st.one_of(st.just(math.inf), st.floats(0, 50)),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.05, 0.2]),
)


@pytest.mark.promise("exploration.gamma-per-issue")
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.floats(-2, 10).map(lambda v: round(v, 3)), min_size=4, max_size=4), mixtures)
def test_all_slates_together_have_the_probabilities_of_the_closed_form(worth: list[float], mix: Exploration) -> None:
    computed, expected = slates(commercial(worth), mix), by_hand(commercial(worth), mix)
    assert math.fsum(computed.values()) == pytest.approx(1.0, abs=1e-9)
    assert computed == {slate: pytest.approx(expected[slate], rel=1e-9) for slate in computed}
    assert math.fsum(p for slate, p in expected.items() if slate not in computed) < 1e-9


@pytest.mark.promise("exploration.budget")
@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.floats(-2, 10), min_size=4, max_size=4), mixtures, st.text(max_size=5))
def test_no_slot_gives_more_than_its_budget_to_the_immature(worth: list[float], mix: Exploration, seed: str) -> None:
    for pick in fill(SLOTS, commercial(worth), limits([0, 0, 1, 2]), mix, uniforms(seed)):
        open_to = [c for c in range(4) if worth[c] > 0 and pick.slot.members[c]]
        assert pick.extra in (0.0, mix.budget)
        assert pick.extra == 0.0 or mix.immature[open_to].any()
        assert pick.given_up <= mix.budget * max(0.0, *worth) + 1e-12
    usual = Exploration(mix.gamma, mix.idle, mix.immature)
    alone, mixed = (first_slot(commercial(worth), e) for e in (usual, mix))
    more = {c: mixed.get(c, 0.0) - (1 - mix.budget) * alone.get(c, 0.0) for c in mixed.keys() | alone.keys()}
    young = {c for c in range(4) if mix.immature[c] and worth[c] > 0}
    if young:
        assert math.fsum(more.values()) == pytest.approx(mix.budget, abs=1e-9)
        assert all(
            v == pytest.approx(mix.budget / len(young) if c in young else 0.0, abs=1e-9) for c, v in more.items()
        )
    else:
        assert mixed == alone


def first_slot(field: Field, explore: Exploration) -> dict[int, float]:
    """Return candidate -> probability for one slot, by a walk over [0, 1)."""
    probabilities, u = {}, 0.0
    while u < 1.0 - 1e-12:
        pick = fill(SLOTS[:1], field, limits([0, 0, 1, 2]), explore, lambda _, at=u: at)[0]
        probabilities[pick.candidate] = pick.probability
        u += pick.probability
    return probabilities


@pytest.mark.promise("exploration.probabilities", "exploration.gamma-per-issue")
def test_frequencies_of_slates_are_the_product_of_their_probabilities() -> None:
    """Each candidate has its own gamma, and two of four have a budget.

    The frequency of each slate over 20,000 draws is within four standard errors of its probability.
    """
    field = commercial([5.0, 4.0, 4.5, 1.0])
    explore = Exploration(np.asarray([3.0, 1.0, math.inf, 8.0]), 3.0, np.asarray([False, False, True, True]), 0.2)
    n, counts, expected = 20_000, Counter[tuple[int, ...]](), {}
    for i in range(n):
        picks = fill(SLOTS, field, limits([0, 0, 1, 2]), explore, uniforms(str(i)))
        slate = tuple(p.candidate for p in picks)
        counts[slate] += 1
        expected[slate] = math.prod(p.probability for p in picks)
    assert math.fsum(expected.values()) == pytest.approx(1.0, abs=1e-9)
    for slate, p in expected.items():
        assert abs(counts[slate] / n - p) < 4 * math.sqrt(p * (1 - p) / n), slate
    assert not any(slate[0] in (0, 1) and slate[1] in (0, 1) for slate in counts), "an action twice"


@pytest.mark.promise("arbitration.tiers-first")
def test_tiers_come_before_priority() -> None:
    tiers = np.asarray([2, 1, 0], np.int8)
    field = Field(np.ones(3, dtype=np.bool_), tiers, np.asarray([100.0, 1.0, -5.0]))
    slots = [Slot(0, rank, np.ones(3, dtype=np.bool_)) for rank in (1, 2, 3)]
    assert [
        p.candidate for p in fill(slots, field, limits([0, 1, 2]), Exploration.flat(math.inf, 3), uniforms("s"))
    ] == [2, 1, 0]


@pytest.mark.promise("arbitration.nothing-below-zero")
@given(st.lists(st.floats(-10, 10, allow_nan=False), min_size=1, max_size=6), gammas, st.text(max_size=5))
def test_nothing_commercial_below_zero_is_offered(values: list[float], gamma: float, seed: str) -> None:
    k = len(values)
    explore = Exploration(np.full(k, gamma), gamma, np.ones(k, dtype=np.bool_), 0.2)
    picks = fill(
        [Slot(0, 1, np.ones(k, dtype=np.bool_))], commercial(values), limits(list(range(k))), explore, uniforms(seed)
    )
    chosen = picks[0].candidate
    assert chosen == NOTHING or values[chosen] > 0


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_candidates_changes_no_choice(order: tuple[int, ...]) -> None:
    values = np.asarray([3.0, 2.0, 1.0])
    slot, greedy = Slot(0, 1, np.ones(3, dtype=np.bool_)), Exploration.flat(math.inf, 3)
    pick: Pick = fill([slot], commercial(values[list(order)]), limits([0, 1, 2]), greedy, uniforms("s"))[0]
    assert values[order[pick.candidate]] == 3.0


@pytest.mark.promise("exploration.probabilities")
@settings(max_examples=examples(200), deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=6, max_size=6))
def test_every_offer_has_its_probability_and_help_is_never_left_to_chance(ask: Ask, customer: Known, seed: str) -> None:
    decision = world.run(ask, customer, seed=seed)
    for offer in (o for p in decision.answer["placements"] for o in p["offers"]):
        assert 0 < offer["probability"] <= 1
        assert offer["tier"] == "commercial" or offer["probability"] == 1.0
    recorded = [p["probability"] for p in decision.record["picks"] if p["treatment"]]
    offered = [o["probability"] for p in decision.answer["placements"] for o in p["offers"]]
    assert sorted(recorded) == sorted(offered)
