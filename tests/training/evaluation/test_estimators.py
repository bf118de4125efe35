"""Off-policy value against hand-computed numbers, known truth, and logs that cannot support an answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from tests.examples import examples
from training.evaluation import estimators
from training.evaluation.estimators import (
    METHODS,
    Log,
    compare,
    estimate,
    logged_value,
    shrink_weights,
    shrinkage_limit,
)
from training.fitting import intervals
from training.fitting.intervals import effective_size

ACTION = np.array([0, 1, 0, 1])
REWARD = np.array([1.0, 0.0, 0.0, 1.0])
PROBABILITY = np.array([0.5, 0.25, 0.8, 0.5])
TARGET = np.array([[0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.7, 0.3]])
PREDICTED = np.array([[0.5, 0.2], [0.1, 0.4], [0.3, 0.6], [0.2, 0.9]])
# weights: .6/.5 = 1.2, .5/.25 = 2, .2/.8 = .25, .3/.5 = .6; sum 4.05, sum of squares 5.8625
BY_HAND = {
    "ips": (1.2 + 0.6) / 4,
    "snips": (1.2 + 0.6) / 4.05,
    # expected: .38, .25, .54, .41; corrections: 1.2 x .5, 2 x -.4, .25 x -.3, .6 x .1
    "dr": (0.38 + 0.6 + 0.25 - 0.8 + 0.54 - 0.075 + 0.41 + 0.06) / 4,
    # limit 2: weights 2.4/3.44, 4/6, .5/2.0625, 1.2/2.36
    "dros": (1.58 + 2.4 / 3.44 * 0.5 - 4 / 6 * 0.4 - 0.5 / 2.0625 * 0.3 + 1.2 / 2.36 * 0.1) / 4,
}


@pytest.fixture
def _any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow logs of four rows, computed by hand; the minimum size for real logs would refuse them."""
    monkeypatch.setattr(estimators, "MIN_EFFECTIVE", 1.0)


@pytest.mark.promise("evaluation.estimators")
@pytest.mark.usefixtures("_any_size")
@pytest.mark.parametrize("method", METHODS)
def test_values_equal_those_computed_by_hand(method, monkeypatch):
    monkeypatch.setattr(estimators, "shrinkage_limit", lambda *_: 2.0)
    result = estimate(Log(ACTION, REWARD, PROBABILITY, 2), TARGET, method, PREDICTED)
    assert result.interval.value == pytest.approx(BY_HAND[method], abs=1e-12)
    assert result.effective == pytest.approx(4.05**2 / 5.8625, abs=1e-12)


@pytest.mark.usefixtures("_any_size")
def test_normal_intervals_equal_those_computed_by_hand(monkeypatch):
    monkeypatch.setattr(intervals, "_BOOTSTRAP_BELOW", 0)
    result = estimate(Log(ACTION, REWARD, PROBABILITY, 2), TARGET, "ips").interval
    # terms 1.2, 0, 0, .6 around .45: sum of squares .5625 + .2025 + .2025 + .0225 = .99
    half = 1.959963984540054 * (0.99 / 3 / 4) ** 0.5
    assert (result.low, result.high) == pytest.approx((0.45 - half, 0.45 + half), abs=1e-12)
    value = 1.8 / 4.05
    influence = np.array([1.2 * (1 - value), -2 * value, -0.25 * value, 0.6 * (1 - value)]) / 1.0125
    half = 1.959963984540054 * (float(np.sum(influence**2)) / 3 / 4) ** 0.5
    result = estimate(Log(ACTION, REWARD, PROBABILITY, 2), TARGET, "snips").interval
    assert (result.low, result.high) == pytest.approx((value - half, value + half), abs=1e-12)


def made_log(n: int, seed: int, skew: float = 1.0) -> tuple[Log, np.ndarray, np.ndarray, np.ndarray]:
    """Return a log, the true rates (n, 3), a target policy and good predictions."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.1, 0.5, (n, 3))
    logging = rng.dirichlet(np.full(3, 5.0 / skew), n) * 0.85 + 0.05
    action = (logging.cumsum(1) < rng.random(n)[:, None]).sum(1)
    reward = (rng.random(n) < rates[np.arange(n), action]).astype(float)
    target = 0.8 * np.eye(3)[rates.argmax(1)] + 0.2 / 3
    return Log(action, reward, logging[np.arange(n), action], 3), rates, target, rates + rng.normal(0, 0.1, rates.shape)


@pytest.mark.promise("evaluation.intervals")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [800, 4_000], ids=["bootstrap", "normal"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(method, n):
    covered = 0
    for seed in range(30):
        log, rates, target, predicted = made_log(n, seed)
        result = estimate(log, target, method, predicted).interval
        covered += result.low <= float(np.sum(rates * target, axis=1).mean()) <= result.high
    assert covered >= 25  # 28.5 expected, 25 is three standard errors below


def test_good_predictions_narrow_the_doubly_robust_interval():
    log, rates, target, _ = made_log(4_000, 1)
    good, none = (estimate(log, target, "dr", p).interval for p in (rates, np.zeros_like(rates)))
    assert none == estimate(log, target, "ips").interval, "without a reward model it is IPS"
    assert good.high - good.low < 0.95 * (none.high - none.low)


@given(seed=st.integers(0, 1_000), scale=st.floats(0.01, 100))
@settings(max_examples=examples(20), deadline=None)
def test_values_scale_with_the_reward_and_do_not_depend_on_the_order_of_rows(seed, scale):
    log, _, target, predicted = made_log(2_500, seed)
    order = np.random.default_rng(seed).permutation(2_500)
    turned = Log(log.action[order], log.reward[order] * scale, log.probability[order], 3)
    for method in METHODS:
        once = estimate(log, target, method, predicted).interval
        again = estimate(turned, target[order], method, predicted[order] * scale).interval
        assert (again.value, again.low, again.high) == pytest.approx(
            (once.value * scale, once.low * scale, once.high * scale), rel=1e-9
        )


def test_the_logging_policy_itself_is_worth_what_it_earned():
    log = Log(np.tile([0, 1], 1_500), np.tile([1.0, 0.0], 1_500), np.full(3_000, 0.5), 2)
    same = np.full((3_000, 2), 0.5)
    assert estimate(log, same, "ips").interval == estimate(log, same, "snips").interval == logged_value(log)
    assert estimate(log, same, "ips").effective == pytest.approx(3_000)


@pytest.mark.promise("evaluation.intervals")
def test_a_winner_is_named_only_where_the_paired_difference_excludes_zero():
    log, rates, target, predicted = made_log(6_000, 2)
    worst = np.eye(3)[rates.argmin(1)] * 0.8 + 0.2 / 3
    assert compare(log, target, worst, "dr", predicted).winner == "a"
    assert compare(log, worst, target, "dr", predicted).winner == "b"
    blind = [np.random.default_rng(seed).dirichlet(np.full(3, 5.0), 6_000) for seed in (0, 1)]
    result = compare(log, blind[0], blind[1], "dr", predicted)
    assert result.winner is None
    assert result.difference.low <= 0 <= result.difference.high


def test_the_paired_difference_is_narrower_than_two_separate_intervals():
    log, rates, target, predicted = made_log(6_000, 3)
    near = 0.9 * target + 0.1 * np.eye(3)[rates.argmin(1)]
    paired = compare(log, target, near, "dr", predicted).difference
    apart = [estimate(log, t, "dr", predicted).interval for t in (target, near)]
    assert paired.high - paired.low < 0.5 * sum(i.high - i.low for i in apart)


def test_what_a_log_cannot_answer_is_refused():
    n = 1_000
    two, half, ones = np.tile([0, 1], n // 2), np.full(n, 0.5), np.ones(n)
    with pytest.raises(Refused, match="one arm"):
        Log(np.zeros(n, dtype=np.int64), ones, ones, 2)
    with pytest.raises(Refused, match="what probability"):
        Log(two, ones, np.where(two == 0, np.nan, 0.5), 2)
    with pytest.raises(Refused, match=r"outside \(0, 1\]"):
        Log(two, ones, np.where(two == 0, 0.0, 0.5), 2)
    with pytest.raises(Refused, match="no rows"):
        Log(two[:0], ones[:0], half[:0], 2)
    log = Log(two, ones, half, 3)
    with pytest.raises(Refused, match="never took"):
        estimate(log, np.eye(3)[np.full(n, 2)], "ips")
    with pytest.raises(Refused, match="summing to 1"):
        estimate(log, np.full((n, 3), 0.5), "ips")
    with pytest.raises(Refused, match="needs predicted rewards"):
        estimate(log, np.tile([0.5, 0.5, 0.0], (n, 1)), "dr")


def test_too_small_an_effective_sample_is_refused():
    rng = np.random.default_rng(4)
    rare = (rng.random(3_000) < 0.03).astype(np.int64)
    log = Log(rare, np.ones(3_000), np.where(rare == 1, 0.03, 0.97), 2)
    with pytest.raises(Refused, match="effective rows support it, 200 are needed"):
        estimate(log, np.eye(2)[np.ones(3_000, dtype=np.int64)], "ips")


def test_an_action_that_half_of_the_customers_could_never_get_is_refused():
    """Weights then average one half: the log holds nothing about the other half under the policy."""
    rng = np.random.default_rng(5)
    eligible = np.arange(4_000) % 2 == 0
    action = np.where(eligible, rng.integers(0, 2, 4_000), 0)
    log = Log(action, np.ones(4_000), np.where(eligible, 0.5, 1.0), 2)
    with pytest.raises(Refused, match=r"weights average 0\.\d+ instead of 1"):
        estimate(log, np.eye(2)[np.ones(4_000, dtype=np.int64)], "ips")


def test_shrinking_is_chosen_where_weights_are_wild_and_never_without_need():
    rng = np.random.default_rng(6)
    expected, even = np.full(2_000, 0.3), np.ones(2_000)
    surprise = (rng.random(2_000) < 0.3) - 0.3
    assert shrinkage_limit(expected, even, surprise) >= 1.0
    wild = np.where(rng.random(2_000) < 0.005, 200.0, 0.1)
    limit = shrinkage_limit(expected, wild, 0.01 * rng.normal(size=2_000))
    assert shrink_weights(wild, limit).max() < 190.0
    np.testing.assert_array_equal(shrink_weights(wild, np.inf), wild)


def test_effective_size_of_nothing_is_nothing():
    assert effective_size(np.zeros(5)) == 0.0
    assert effective_size(np.full(7, 3.0)) == pytest.approx(7.0)
