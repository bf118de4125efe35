"""AUC, log-loss and the calibration table against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import Refused
from tests.training.risk_help import cross_validated_auc
from training.evaluation.metrics import auc, calibration_table, log_loss

few = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(y for y, _ in rows) < len(rows)
)


@given(few)
def test_auc_is_the_share_of_pairs_ranked_right(rows):
    label, score = np.array([y for y, _ in rows]), np.array([s for _, s in rows], dtype=float)
    pairs = [(p > n) + 0.5 * (p == n) for p in score[label] for n in score[~label]]
    assert auc(label, score) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_auc_of_one_label_is_refused():
    with pytest.raises(Refused, match="both outcomes"):
        auc(np.array([True, True]), np.array([0.1, 0.2]))


def test_log_loss_by_hand():
    assert log_loss(np.array([True, False]), np.array([0.5, 0.2])) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)


def test_the_calibration_table_holds_every_row_once_by_rising_prediction():
    rng = np.random.default_rng(0)
    p = rng.random(5_003)
    table = calibration_table(rng.random(5_003) < p, p)
    assert sum(b.rows for b in table) == 5_003
    assert [b.predicted for b in table] == sorted(b.predicted for b in table)
    assert all(abs(b.predicted - b.observed) < 4 * b.error for b in table)


def test_cross_validation_scores_only_rows_it_did_not_train_on():
    """A score that looks up training rows is perfect on them and knows nothing about others."""
    rng = np.random.default_rng(1)
    x, label = rng.normal(size=(600, 1)), rng.random(600) < 0.4

    def memory(x_train, label_train, x_held_out):
        labels = dict(zip(x_train[:, 0].tolist(), label_train.tolist(), strict=True))
        return np.array([float(labels.get(v, 0.5)) for v in x_held_out[:, 0].tolist()])

    scores = cross_validated_auc(x, label, memory, folds=5, seeds=(0, 1))
    np.testing.assert_array_equal(scores, np.full((2, 5), 0.5))
