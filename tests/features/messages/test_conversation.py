"""The trend of a conversation equals a straightforward computation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.messages.conversation import LONGEST, Trend, trend

POLARITIES = st.lists(st.floats(-1, 1), min_size=2, max_size=LONGEST)


def test_no_message_and_one():
    assert trend([]) == Trend(0, 0.0, 0.0, 0.0)
    assert trend([-0.4]) == Trend(1, 0.0, 0.0, -0.4)


def test_for_the_worse():
    figures = trend([0.5, 0.1, -0.3, -0.7])
    assert figures == Trend(4, pytest.approx(-1.2), pytest.approx(-0.4), -0.7)


@given(POLARITIES)
def test_slope_is_least_squares(values):
    assert trend(values).slope == pytest.approx(np.polyfit(range(len(values)), values, 1)[0], abs=1e-9)


@given(POLARITIES)
def test_backwards_is_the_opposite(values):
    forward, backward = trend(values), trend(values[::-1])
    assert (forward.change, forward.slope) == pytest.approx((-backward.change, -backward.slope), abs=1e-12)


@given(st.lists(st.floats(-1, 1), max_size=3 * LONGEST))
def test_bounds(values):
    figures = trend(values)
    assert figures.messages == len(values)
    assert abs(figures.change) <= 2
    assert abs(figures.slope) <= 2
