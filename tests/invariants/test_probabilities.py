"""Invariant 4: exploration draws only from who passed, within a tier, with the exact probability recorded."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.arbitration import COMMERCIAL_TIER, NOTHING, Field, Limits, Pick, Slot, fill, inverse_gap, uniforms
from decisioning.decision import Ask, Known
from tests import strategies as world

priorities = st.lists(st.floats(-50, 1e6, allow_nan=False), min_size=1, max_size=30)
gammas = st.one_of(st.just(math.inf), st.floats(0, 1e6))


@given(priorities, gammas)
def test_probabilities_are_the_closed_form(values: list[float], gamma: float) -> None:
    array = np.asarray(values)
    found = inverse_gap(array, gamma)
    best, k = float(array.max()), len(array)
    assert math.fsum(found) == pytest.approx(1.0, abs=1e-12)
    assert (found >= 0).all()
    assert found[int(array.argmax())] >= 1 / k - 1e-12
    if best > 0 and math.isfinite(gamma):
        for i in set(range(k)) - {int(array.argmax())}:
            assert found[i] == pytest.approx(1 / (k + gamma * (best - values[i]) / best), rel=1e-12)


@given(priorities, st.floats(1, 1e6), st.floats(1e-3, 1e3))
def test_gamma_has_no_unit(values: list[float], gamma: float, cents: float) -> None:
    array = np.asarray(values)
    assert inverse_gap(array, gamma) == pytest.approx(inverse_gap(array * cents, gamma), rel=1e-9, abs=1e-12)


def limits(actions: Sequence[int]) -> Limits:
    return Limits(np.asarray([actions], dtype=np.int64), (np.ones(max(actions) + 1, dtype=np.int64),))


def test_frequencies_of_slates_are_the_product_of_their_probabilities() -> None:
    """Two slots, four treatments of three actions: every slate's frequency over 40,000 draws, within four errors."""
    field = Field(np.ones(4, dtype=np.bool_), np.full(4, COMMERCIAL_TIER, np.int8), np.asarray([5.0, 4.0, 4.5, 1.0]))
    slots = [Slot(0, 1, np.ones(4, dtype=np.bool_)), Slot(1, 1, np.asarray([True, True, False, True]))]
    n, seen, promised = 40_000, Counter[tuple[int, ...]](), {}
    for i in range(n):
        picks = fill(slots, field, limits([0, 0, 1, 2]), 3.0, uniforms(str(i)))
        slate = tuple(p.candidate for p in picks)
        seen[slate] += 1
        promised[slate] = math.prod(p.probability for p in picks)
    assert math.fsum(promised.values()) == pytest.approx(1.0, abs=1e-9)
    for slate, p in promised.items():
        assert abs(seen[slate] / n - p) < 4 * math.sqrt(p * (1 - p) / n), slate
    assert not any(slate[0] in (0, 1) and slate[1] in (0, 1) for slate in seen), "an action twice"


def test_tiers_come_before_priority() -> None:
    tiers = np.asarray([2, 1, 0], np.int8)
    field = Field(np.ones(3, dtype=np.bool_), tiers, np.asarray([100.0, 1.0, -5.0]))
    slots = [Slot(0, rank, np.ones(3, dtype=np.bool_)) for rank in (1, 2, 3)]
    assert [p.candidate for p in fill(slots, field, limits([0, 1, 2]), math.inf, uniforms("s"))] == [2, 1, 0]


@given(st.lists(st.floats(-10, 10, allow_nan=False), min_size=1, max_size=6), gammas, st.text(max_size=5))
def test_nothing_commercial_below_zero_is_offered(values: list[float], gamma: float, seed: str) -> None:
    k = len(values)
    field = Field(np.ones(k, dtype=np.bool_), np.full(k, COMMERCIAL_TIER, np.int8), np.asarray(values))
    picks = fill([Slot(0, 1, np.ones(k, dtype=np.bool_))], field, limits(list(range(k))), gamma, uniforms(seed))
    chosen = picks[0].candidate
    assert chosen == NOTHING or values[chosen] > 0


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_candidates_changes_no_choice(order: tuple[int, ...]) -> None:
    values = np.asarray([3.0, 2.0, 1.0])
    field = Field(np.ones(3, dtype=np.bool_), np.full(3, COMMERCIAL_TIER, np.int8), values[list(order)])
    pick: Pick = fill([Slot(0, 1, np.ones(3, dtype=np.bool_))], field, limits([0, 1, 2]), math.inf, uniforms("s"))[0]
    assert values[order[pick.candidate]] == 3.0


@settings(max_examples=200, deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=6, max_size=6))
def test_every_offer_has_its_probability_and_help_is_never_left_to_chance(ask: Ask, of: Known, seed: str) -> None:
    decision = world.run(ask, of, seed=seed)
    for offer in (o for p in decision.answer["placements"] for o in p["offers"]):
        assert 0 < offer["probability"] <= 1
        assert offer["tier"] == "commercial" or offer["probability"] == 1.0
    recorded = [p["probability"] for p in decision.record["picks"] if p["treatment"]]
    shown = [o["probability"] for p in decision.answer["placements"] for o in p["offers"]]
    assert sorted(recorded) == sorted(shown)
