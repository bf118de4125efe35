"""Qini and effect equal numbers computed by hand and the area between the curves; their intervals cover the truth."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from tests.examples import examples
from training.evaluation.qini import compare_scores, effect, qini
from training.fitting import control
from training.fitting.control import ControlRows
from training.model.frame import Floats


@pytest.fixture
def _any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow logs of six rows, computed by hand; the minimum size for real logs would refuse them."""
    monkeypatch.setattr(control, "MIN_EFFECTIVE", 1.0)


def six() -> tuple[ControlRows, Floats]:
    """Weights 2 2 4 2 2 4, of either arm scaled from 8 to 6: v is 1.5 0 0 -1.5 1.5 0; ranks are 1 2 3.5 3.5 5 6."""
    shown = np.array([True, False, True, False, True, False])
    outcome, probability = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.25, 0.5, 0.5, 0.25])
    return ControlRows(shown, outcome, probability, np.arange(6)), np.array([0.9, 0.8, 0.7, 0.7, 0.2, 0.1])


@pytest.mark.promise("evaluation.qini")
@pytest.mark.usefixtures("_any_size")
def test_both_are_what_is_computed_by_hand() -> None:
    rows, score = six()
    assert effect(rows).value == pytest.approx((1.5 - 1.5 + 1.5) / 6, abs=1e-12)
    # places 1/2 - (r - 1/2) / 6: 5/12 for rank 1, 0 for 3.5, -1/4 for 5
    by_hand = (1.5 * 5 / 12 - 1.5 * 0 - 1.5 / 4) / 6
    assert qini(rows, score).value == pytest.approx(by_hand, abs=1e-12)
    # the curve after 1, 2, 4, 5, 6 customers: 1/4, 1/4, 0, 1/4, 1/4; straight between 2 and 4, whose scores are equal
    area = (0.125 + 0.25 + 2 * 0.125 + 0.125 + 0.25) / 6
    assert by_hand == pytest.approx(area - 0.25 / 2, abs=1e-12)
    assert compare_scores(rows, score, -score).difference.value == pytest.approx(2 * by_hand, abs=1e-12)


def area_by_points(rows: ControlRows, score: Floats) -> float:
    """Return the area between the curve and the straight line, from the curve's points."""
    inverse, n = 1.0 / rows.probability, len(score)
    points = [(0.0, 0.0)]
    for at in sorted(set(score.tolist()), reverse=True):
        top = score >= at
        gain = sum(
            sign * (inverse * rows.outcome)[top & arm].sum() / inverse[arm].sum()
            for sign, arm in ((1.0, rows.shown), (-1.0, ~rows.shown))
        )
        points.append((top.sum() / n, float(gain)))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return area - points[-1][1] / 2


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_qini_is_the_area_of_the_curve_whatever_the_ties(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3_000
    rows = ControlRows(rng.random(n) < 0.4, rng.random(n), rng.uniform(0.2, 1.0, n), np.arange(n))
    score = rng.integers(0, levels, n) / levels
    assert qini(rows, score).value == pytest.approx(area_by_points(rows, score), abs=1e-12)
    assert qini(rows, np.ones(n)).value == pytest.approx(0.0, abs=1e-12), "a score that says nothing"
    assert qini(rows, 3.0 * score - 7.0).value == qini(rows, score).value, "only the order counts"


def random_rows(seed: int, n: int = 3_000, per_unit: int = 1) -> tuple[ControlRows, Floats]:
    """Return rows in which half were shown an action that moves high scores, `per_unit` equal rows per customer."""
    rng = np.random.default_rng(seed)
    x, shown = rng.normal(size=n // per_unit), rng.random(n // per_unit) < 0.5
    outcome = rng.random(len(x)) < 0.2 + 0.1 * shown * np.tanh(x)
    columns = (
        np.repeat(c, per_unit) for c in (shown, outcome.astype(np.float64), np.full(len(x), 0.5), np.arange(len(x)))
    )
    return ControlRows(*columns), np.repeat(x, per_unit)


@pytest.mark.promise("evaluation.qini")
@pytest.mark.parametrize("per_unit", [1, 3])
def test_intervals_hold_the_truth_also_where_customers_come_again(per_unit: int) -> None:
    truth_of_qini = 0.01775  # of two million customers; the effect is 0
    intervals = [
        (effect(rows), qini(rows, score))
        for rows, score in (random_rows(s, 2_500 * per_unit, per_unit) for s in range(200))
    ]
    of_effect = np.mean([e.low <= 0.0 <= e.high for e, _ in intervals])
    of_qini = np.mean([q.low <= truth_of_qini <= q.high for _, q in intervals])
    assert 0.91 <= of_effect <= 0.99, of_effect
    assert 0.91 <= of_qini <= 0.99, of_qini


def test_an_interval_knows_that_ranks_are_of_the_sample_too() -> None:
    """If the outcome equals being shown, Qini measures how evenly the shown are ranked, with variance 1 / 12 n."""
    n, rng = 4_000, np.random.default_rng(2)
    shown = rng.random(n) < 0.5
    interval = qini(ControlRows(shown, shown.astype(np.float64), np.full(n, 0.5), np.arange(n)), rng.random(n))
    assert interval.high - interval.low == pytest.approx(2 * 1.959964 / (12 * n) ** 0.5, rel=0.03)


def test_what_no_log_can_tell_is_refused() -> None:
    rows, _ = random_rows(1)
    with pytest.raises(Refused, match="withheld from 0 effective customers"):
        ControlRows(np.ones(3_000, dtype=bool), rows.outcome, rows.probability, rows.unit)
    with pytest.raises(Refused, match="shown to 100 effective customers"):
        ControlRows(np.arange(3_000) < 100, rows.outcome, rows.probability, rows.unit)
    with pytest.raises(Refused, match="with what probability"):
        ControlRows(rows.shown, rows.outcome, np.full(3_000, np.nan), rows.unit)
