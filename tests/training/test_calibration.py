"""Calibration maps: the same bits by row and by column, and chosen only if they help."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.examples import examples
from training.model.calibration import IDENTITY, KINDS, Calibration, choose, fit
from training.model.logistic import log_losses

logits = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-30, 30))


def random_labels(true_logit: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(len(true_logit)) < 1 / (1 + np.exp(-true_logit))


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> Calibration:
    logit = np.random.default_rng(0).normal(-2, 1.5, 4_000)
    return fit(request.param, logit, random_labels(0.6 * logit - 0.3, 1))


@given(logit=logits)
@settings(max_examples=examples(60), deadline=None)
def test_one_number_and_a_column_give_the_same_bits(fitted, logit):
    np.testing.assert_array_equal(fitted.column(logit), [fitted.one(v) for v in logit.tolist()])


def test_identity_changes_no_bit():
    logit = np.array([-3.0, 0.1, 7.25])
    np.testing.assert_array_equal(IDENTITY.column(logit), logit)
    assert IDENTITY.one(0.1) == 0.1


def test_an_overconfident_score_is_mended_and_ranks_stay():
    logit = np.random.default_rng(2).normal(-1, 2, 8_000)
    label = random_labels(0.4 * logit, 3)
    calibration = choose(logit, label, seed=0)
    assert calibration.kind != "identity"
    fresh = np.sort(np.random.default_rng(4).normal(-1, 2, 8_000))
    truth = random_labels(0.4 * fresh, 5)
    assert log_losses(truth, calibration.column(fresh)).mean() < log_losses(truth, fresh).mean() - 0.05
    assert np.all(np.diff(calibration.column(fresh)) >= 0)


def test_a_calibrated_score_is_left_alone():
    logit = np.random.default_rng(6).normal(-1, 1.5, 6_000)
    assert choose(logit, random_labels(logit, 7), seed=0) == IDENTITY


@pytest.mark.parametrize(("n", "shift"), [(1_500, 0.0), (3_000, -9.0)], ids=["few rows", "few positives"])
def test_without_evidence_it_is_left_alone(n, shift):
    logit = np.random.default_rng(8).normal(-1, 2, n)
    assert choose(logit, random_labels(0.4 * logit + shift, 9), seed=0) == IDENTITY
