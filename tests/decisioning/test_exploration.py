"""Exploration by what may be true: closed-form probabilities over hopeful priorities, and only where a channel asks."""

import math

import numpy as np
import pytest

from decisioning.arbitration import COMMERCIAL_TIER, Field, Limits, Slot, fill, inverse_gap, uniforms

PRIORITY, HOPE = np.asarray([5.0, 4.0, 1.0]), np.asarray([5.5, 4.2, 6.0])
FREE = Limits(np.empty((0, 3), dtype=np.int64), ())
SLOT = [Slot(0, 1, np.ones(3, dtype=np.bool_))]


def picked(field: Field, gamma: float, n: int = 200) -> dict[int, float]:
    return {p.candidate: p.probability for i in range(n) for p in fill(SLOT, field, FREE, gamma, uniforms(str(i)))}


def field(priority: np.ndarray, hope: np.ndarray | None) -> Field:
    return Field(np.ones(3, dtype=np.bool_), np.full(3, COMMERCIAL_TIER, dtype=np.int8), priority, hope)


def test_hope_decides_the_draw_and_its_probability_is_the_closed_form():
    expected = inverse_gap(np.append(HOPE, 0.0), 4.0)
    found = picked(field(PRIORITY, HOPE), 4.0)
    assert found == {c: pytest.approx(expected[c], abs=1e-15) for c in found}
    assert max(found, key=lambda c: found[c]) == 2


def test_a_channel_that_never_explores_goes_by_what_is_expected():
    assert picked(field(PRIORITY, HOPE), math.inf) == {0: 1.0}


def test_what_is_expected_to_lose_is_not_offered_however_high_the_hope():
    assert 2 not in picked(field(np.asarray([5.0, 4.0, -0.1]), HOPE), 0.5)


def test_without_hope_nothing_changes():
    assert picked(field(PRIORITY, PRIORITY), 4.0) == picked(field(PRIORITY, None), 4.0)
