"""Values of slates against hand-computed numbers and known truth."""

import numpy as np
import pytest

from decisioning.errors import Refused
from training.evaluation import slates
from training.evaluation.slates import WEIGHINGS, SlateLog, estimate_beyond_model, estimate_slates

REWARD = np.array([[1.0, 0.0], [0.0, 2.0]])
PROBABILITY = np.array([[0.5, 0.4], [0.25, 1.0]])
TARGET = np.array([[0.25, 0.8], [0.5, 1.0]])
# slots: .25/.5 = .5 and .8/.4 = 2; .5/.25 = 2 and 1. Whole slates weigh 1 and 2; first slots .5 and 2.
BY_HAND = {"whole": (1.0 * 1.0 + 2.0 * 2.0) / 2, "prefix": (0.5 * 1.0 + 2.0 * 2.0) / 2}


@pytest.mark.promise("evaluation.estimators")
@pytest.mark.parametrize("method", WEIGHINGS)
def test_values_equal_those_computed_by_hand(method, monkeypatch):
    monkeypatch.setattr(slates, "MIN_EFFECTIVE", 1.0)
    result = estimate_slates(SlateLog(REWARD, PROBABILITY), TARGET, method)
    assert result.interval.value == pytest.approx(BY_HAND[method], abs=1e-12)
    assert result.effective == pytest.approx(9 / 5, abs=1e-12)
    assert result.more.value == pytest.approx(BY_HAND[method] - 1.5, abs=1e-12)
    assert result.average == pytest.approx(1.5, abs=1e-12)


def test_a_model_is_put_right_by_what_was_earned_beyond_it(monkeypatch):
    monkeypatch.setattr(slates, "MIN_EFFECTIVE", 1.0)
    expected = np.array([0.5, 1.0]), np.array([0.75, 1.25])
    result = estimate_beyond_model(SlateLog(REWARD, PROBABILITY), TARGET, *expected)
    assert result.interval.value == pytest.approx((0.75 + 1.0 * 0.5 + 1.25 + 2.0 * 1.0) / 2, abs=1e-12)
    assert (result.method, result.effective) == ("doubly robust", pytest.approx(9 / 5, abs=1e-12))


def random_slates(n: int, seed: int) -> tuple[SlateLog, np.ndarray, float]:
    """Return slates of two of three actions, in which the second slot earns less after a good first one."""
    rng = np.random.default_rng(seed)
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    rates = np.array([0.1, 0.3, 0.5])
    first = rng.choice(3, n, p=logging)
    rest = np.where(np.arange(3) == first[:, None], 0.0, logging)
    rest /= rest.sum(1, keepdims=True)
    second = (rest.cumsum(1) < rng.random(n)[:, None]).sum(1)
    target_rest = np.where(np.arange(3) == first[:, None], 0.0, target)
    target_rest /= target_rest.sum(1, keepdims=True)
    rows = np.arange(n)
    chance = np.column_stack([rates[first], rates[second] * (1.0 - rates[first])])
    log = SlateLog((rng.random((n, 2)) < chance).astype(float), np.column_stack([logging[first], rest[rows, second]]))
    truth = sum(
        target[a] * target[b] / (1.0 - target[a]) * (rates[a] + rates[b] * (1.0 - rates[a]))
        for a in range(3)
        for b in range(3)
        if a != b
    )
    return log, np.column_stack([target[first], target_rest[rows, second]]), float(truth)


def test_both_find_the_truth_and_prefixes_find_it_closer():
    width, covered = dict.fromkeys(WEIGHINGS, 0.0), dict.fromkeys(WEIGHINGS, 0)
    for seed in range(60):
        log, target, truth = random_slates(3_000, seed)
        for method in WEIGHINGS:
            result = estimate_slates(log, target, method).interval
            covered[method] += result.low <= truth <= result.high
            width[method] += result.high - result.low
    assert all(52 <= c <= 60 for c in covered.values()), covered
    assert width["prefix"] < width["whole"]


def test_a_right_model_narrows_and_a_wrong_one_only_widens():
    """One slot, three actions; the model has the true rates, or the true rates in reverse order."""
    rates, logging, target = np.array([0.1, 0.5, 0.9]), np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    covered, width = np.zeros(2, dtype=int), np.zeros(3)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shown, other = rng.choice(3, 2_000, p=logging), rng.choice(3, 2_000, p=target)
        log = SlateLog((rng.random(2_000) < rates[shown]).astype(float)[:, None], logging[shown][:, None])
        probability = target[shown][:, None]
        result = [estimate_beyond_model(log, probability, m[shown], m[other]).interval for m in (rates, rates[::-1])]
        covered += [i.low <= rates @ target <= i.high for i in result]
        width += [i.high - i.low for i in (*result, estimate_slates(log, probability, "whole").interval)]
    assert (covered >= 52).all(), covered
    assert width[0] < width[2] < width[1]


def test_what_a_log_of_slates_cannot_answer_is_refused():
    with pytest.raises(Refused, match="missing or lies outside"):
        SlateLog(REWARD, np.array([[0.5, np.nan], [0.5, 1.0]]))
    with pytest.raises(Refused, match="a reward and a probability"):
        SlateLog(REWARD[:, :1], PROBABILITY)
    log = SlateLog(REWARD, PROBABILITY)
    with pytest.raises(Refused, match="only 2 effective"):
        estimate_slates(log, TARGET, "whole")
    with pytest.raises(Refused, match="of every logged pick"):
        estimate_slates(log, TARGET * 9, "whole")
