"""Values of slates against hand-computed numbers and known truth."""

import numpy as np
import pytest

from decisioning.errors import Refused
from training.evaluation import slates
from training.evaluation.slates import SLATE_METHODS, SlateLog, estimate_slates

REWARD = np.array([[1.0, 0.0], [0.0, 2.0]])
PROBABILITY = np.array([[0.5, 0.4], [0.25, 1.0]])
TARGET = np.array([[0.25, 0.8], [0.5, 1.0]])
# slots: .25/.5 = .5 and .8/.4 = 2; .5/.25 = 2 and 1. Whole slates weigh 1 and 2; first slots .5 and 2.
BY_HAND = {"whole": (1.0 * 1.0 + 2.0 * 2.0) / 2, "prefix": (0.5 * 1.0 + 2.0 * 2.0) / 2}


@pytest.mark.parametrize("method", SLATE_METHODS)
def test_values_equal_those_computed_by_hand(method, monkeypatch):
    monkeypatch.setattr(slates, "MIN_EFFECTIVE", 1.0)
    found = estimate_slates(SlateLog(REWARD, PROBABILITY), TARGET, method)
    assert found.interval.value == pytest.approx(BY_HAND[method], abs=1e-12)
    assert found.effective == pytest.approx(9 / 5, abs=1e-12)
    assert found.more.value == pytest.approx(BY_HAND[method] - 1.5, abs=1e-12)
    assert found.average == pytest.approx(1.5, abs=1e-12)


def drawn(n: int, seed: int) -> tuple[SlateLog, np.ndarray, float]:
    """Two slots without replacement from three actions; the second earns less after a good first one."""
    rng = np.random.default_rng(seed)
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    rates = np.array([0.1, 0.3, 0.5])
    first = rng.choice(3, n, p=logging)
    rest = np.where(np.arange(3) == first[:, None], 0.0, logging)
    rest /= rest.sum(1, keepdims=True)
    second = (rest.cumsum(1) < rng.random(n)[:, None]).sum(1)
    gone = np.where(np.arange(3) == first[:, None], 0.0, target)
    gone /= gone.sum(1, keepdims=True)
    rows = np.arange(n)
    chance = np.column_stack([rates[first], rates[second] * (1.0 - rates[first])])
    log = SlateLog((rng.random((n, 2)) < chance).astype(float), np.column_stack([logging[first], rest[rows, second]]))
    truth = sum(
        target[a] * target[b] / (1.0 - target[a]) * (rates[a] + rates[b] * (1.0 - rates[a]))
        for a in range(3)
        for b in range(3)
        if a != b
    )
    return log, np.column_stack([target[first], gone[rows, second]]), float(truth)


def test_both_find_the_truth_and_prefixes_find_it_closer():
    width, covered = dict.fromkeys(SLATE_METHODS, 0.0), dict.fromkeys(SLATE_METHODS, 0)
    for seed in range(60):
        log, target, truth = drawn(3_000, seed)
        for method in SLATE_METHODS:
            found = estimate_slates(log, target, method).interval
            covered[method] += found.low <= truth <= found.high
            width[method] += found.high - found.low
    assert all(52 <= c <= 60 for c in covered.values()), covered
    assert width["prefix"] < width["whole"]


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
