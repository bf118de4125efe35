"""The interval of a difference of two AUCs, compared with resampling, and in edge cases."""

import numpy as np
import pytest

from decisioning.errors import Refused
from training.evaluation.comparison import auc_gain
from training.evaluation.metrics import auc


def test_the_interval_is_that_of_resampled_rows():
    rng = np.random.default_rng(0)
    label = rng.random(600) < 0.3
    signal = label + rng.normal(0, 1, 600)
    better, worse = signal + rng.normal(0, 0.3, 600), np.round(signal + rng.normal(0, 1.5, 600))
    gain = auc_gain(label, better, worse)
    assert gain.value == pytest.approx(auc(label, better) - auc(label, worse))
    resampled = []
    for _ in range(400):
        rows = rng.integers(0, 600, 600)
        resampled.append(auc(label[rows], better[rows]) - auc(label[rows], worse[rows]))
    assert (gain.high - gain.low) / (2 * 1.96) == pytest.approx(np.std(resampled), rel=0.15)


def test_a_score_gains_nothing_over_itself():
    label, score = np.array([True, False, True, False]), np.array([0.1, 0.2, 0.2, 0.9])
    gain = auc_gain(label, score, score)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_one_label_compares_nothing():
    with pytest.raises(Refused):
        auc_gain(np.ones(5, dtype=bool), np.zeros(5), np.zeros(5))
