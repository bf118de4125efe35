"""Effects and lift tell the truth where their assumptions used to fail. `make bench-claims` measures how often."""

import numpy as np
import pytest

from tests.benchmarks.claims.effect import tell_effect, tell_logged, tell_qini
from tests.benchmarks.claims.lift import arms, kept, logging_in, without_account
from training.fitting.intervals import mean_interval


@pytest.mark.promise("claims.effects")
def test_an_effect_of_nothing_is_told_as_nothing_where_some_have_many_alternatives() -> None:
    told = tell_logged(0)
    assert told.covered
    assert not told.false_claim


@pytest.mark.promise("claims.effects")
@pytest.mark.parametrize(("kind", "customers"), [("25", 300), ("heavy", 2_100)])
def test_intervals_of_effect_and_qini_hold_the_truth_where_customers_come_often(kind: str, customers: int) -> None:
    for tell in (tell_effect, tell_qini):
        told = [tell(seed, kind, customers) for seed in range(12)]
        assert sum(bool(t.covered) for t in told) >= 9, told
        assert sum(bool(t.false_claim) for t in told) <= 3, told


def test_how_often_customers_come_does_not_widen_the_interval_of_what_is_the_same_for_all() -> None:
    unit = np.repeat(np.arange(3_000), np.random.default_rng(0).integers(1, 100, 3_000))
    told = mean_interval(np.full(len(unit), 7.0), unit=unit)
    assert (told.low, told.high) == pytest.approx((7.0, 7.0), abs=1e-9)


@pytest.mark.promise("claims.effects")
@pytest.mark.parametrize("customers", [1_000, 20_000])
def test_nothing_is_claimed_of_a_holdout_of_2_percent_if_nothing_differs(customers: int) -> None:
    told = [arms(seed, customers, 0.02, 0.05) for seed in range(60)]
    assert sum(bool(t.false_claim) for t in told) <= 3
    assert all(t.value is None for t in told) == (customers == 1_000), "one of twenty buys: too few to tell"


@pytest.mark.promise("claims.drawn-unit")
def test_who_asks_once_without_their_account_stays_in_the_arm_that_was_drawn_first() -> None:
    told = kept(1, without_account, "account")
    assert told.covered, "else most of them would be missing in the holdout"


@pytest.mark.promise("claims.drawn-unit")
def test_visitors_who_log_in_stay_in_the_arm_that_was_drawn_first_with_all_that_they_buy() -> None:
    told = kept(2, logging_in, "person")
    assert told.covered, "else they would be missing, or their sales in another arm"
