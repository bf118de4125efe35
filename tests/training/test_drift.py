"""Rows from before a change, of all actions or one, are left out once it is certain; without a change none are."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.logs import random_log
from training.fitting.drift import strongest_change
from training.fitting.propensity import Recipe, fit
from training.model.frame import Bools, TrainingSet

BASE = Recipe(growth=None)
N, CHANGE = 8_000, 6_000


def changed(seed: int, which: Bools) -> TrainingSet:
    """Return a log in which `which` rows (n,) respond from CHANGE on like customers with opposite features before."""
    before, after = random_log(N, seed=seed, missing=0.0), random_log(N, seed=seed, missing=0.0)
    rows = which & (before.at_us >= CHANGE)
    return replace(before, x=np.where(rows[:, None], -after.x, before.x))


@pytest.mark.promise("learning.change")
@pytest.mark.parametrize("seed", [0, 1])
def test_what_held_before_a_change_is_forgotten(seed):
    log = changed(seed, np.ones(N, dtype=np.bool_))
    model = fit(log, BASE)
    assert N - CHANGE - 200 <= model.evidence.sum() <= N - CHANGE + 100, "found to within a few moments"
    fresh = fit(log.take(log.at_us >= CHANGE), BASE)
    np.testing.assert_allclose(model.weights[:4], fresh.weights[:4], atol=0.25)


@pytest.mark.promise("learning.change")
def test_where_nothing_changes_nothing_is_forgotten():
    for seed in range(6):
        log = random_log(N, seed=seed)
        assert fit(log, BASE).content_hash == fit(log, replace(BASE, forget=False)).content_hash


@pytest.mark.promise("learning.change")
def test_one_action_that_changes_loses_its_own_past_alone():
    log = changed(2, random_log(N, seed=2).action == 3)
    evidence, counts = fit(log, BASE).evidence[:4], np.bincount(log.action)
    assert evidence[:3].tolist() == counts[:3].tolist()
    assert evidence[3] == pytest.approx((N - CHANGE) / 4, rel=0.25)


def test_a_change_once_found_stays_found():
    log = changed(3, np.ones(N, dtype=np.bool_))
    evidence = []
    for n in (6_500, 7_000, 8_000):
        rows = log.take(log.at_us < n)
        moment, nats = strongest_change(rows, fit(rows, replace(BASE, forget=False)))
        assert abs(moment - CHANGE) < 150
        evidence.append(nats)
    assert evidence == sorted(evidence)


def test_rows_of_one_moment_are_never_parted():
    log = changed(4, np.ones(N, dtype=np.bool_))
    same = replace(log, at_us=np.zeros(N, dtype=np.int64))
    assert fit(same, BASE).evidence.sum() == N
    days = replace(log, at_us=log.at_us // 1_000)
    assert fit(days, BASE).evidence.sum() in (1_000, 2_000)


def test_the_order_of_rows_does_not_matter_to_what_is_forgotten():
    log = changed(5, np.ones(N, dtype=np.bool_))
    shuffled = log.take(np.random.default_rng(0).permutation(N))
    assert fit(shuffled, BASE).evidence.sum() == fit(log, BASE).evidence.sum()
