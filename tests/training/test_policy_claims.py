"""What is told of the value of policies: per decision, over customers, and nothing if these are too few."""

import numpy as np
import pytest

from decisioning.errors import Refused
from tests.benchmarks.claims import policies as claims
from tests.training.logs import random_log
from training.evaluation.estimators import estimate, gain_over_log, logged_value
from training.evaluation.policies import Question, always, evaluate
from training.fitting.intervals import MIN_CUSTOMERS
from training.fitting.propensity import Recipe
from training.rows.choices import Choices

RUNS = 40


def covered(tell: object, **world: object) -> int:
    """Return in how many of RUNS worlds the told interval holds the truth."""
    return sum(bool(tell(seed, **world).covered) for seed in range(RUNS))  # type: ignore[operator]


@pytest.mark.promise("evaluation.customers")
@pytest.mark.parametrize(("kind", "customers"), [("1", 2_000), ("25", 500), ("heavy", 500)])
def test_intervals_hold_the_truth_however_often_customers_come_back(kind: str, customers: int) -> None:
    assert covered(claims.value, kind=kind, customers=customers) >= 34, "38 expected, 34 is three errors below"
    if kind != "1":  # one slate each of 2,000 customers supports no other slates
        assert covered(claims.slate, kind=kind, customers=customers) >= 34


@pytest.mark.promise("evaluation.customers")
def test_customers_who_come_back_fifty_times_are_one_piece_of_evidence_each() -> None:
    world = claims.World(np.random.default_rng(0), "50", 500, 1, claims.BETTER)
    widths = []
    for by_customer in (True, False):
        told = logged_value(world.log(by_customer=by_customer))
        widths.append(told.high - told.low)
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.promise("evaluation.slates")
def test_the_decision_is_the_unit_of_value_and_not_the_slot() -> None:
    """Of two slots, the best that can be had in all is .24 a decision, and .12 a slot."""
    told = [claims.value(seed, "1", 4_000, slots=2) for seed in range(12)]
    assert told[0].truth == pytest.approx(0.24)
    assert np.mean([t.value for t in told]) == pytest.approx(0.24, abs=0.01)
    world = claims.World(np.random.default_rng(0), "1", 4_000, 2, claims.BETTER)
    log = world.log(by_customer=True)
    assert logged_value(log).value == pytest.approx(world.reward.sum() / 4_000)
    gain = gain_over_log(log, world.target.reshape(-1, 4), "ips")
    assert gain.value == pytest.approx(
        estimate(log, world.target.reshape(-1, 4), "ips").interval.value - logged_value(log).value
    )


@pytest.mark.promise("evaluation.customers")
def test_of_too_few_customers_nothing_is_told() -> None:
    assert claims.value(0, "50", MIN_CUSTOMERS - 1).value is None
    data = random_log(3_000, seed=1)
    unit = np.arange(3_000) % (MIN_CUSTOMERS - 1)
    few = Choices(data, np.ones((3_000, 4), dtype=bool), np.arange(3_000), unit, {})
    with pytest.raises(Refused, match="only 199 customers support it, 200 are needed to tell"):
        evaluate(few, {}, Question(recipe=Recipe(growth=None)))


def test_always_an_action_leaves_nothing_where_it_is_not_open() -> None:
    data = random_log(4, seed=1)
    data = type(data)(**{**{n: getattr(data, n) for n in data.__slots__}, "actions": ("a", "b", "c", "none")})
    permitted = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    choices = Choices(data, permitted, np.arange(4), np.arange(4), {})
    assert always(choices, 0).argmax(axis=1).tolist() == [0, 3, 1, 0]
