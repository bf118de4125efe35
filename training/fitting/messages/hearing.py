"""Fits the model that hears: a logistic regression per kind, calibrated on families that it had not seen."""

import warnings
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from features.messages.hearing.grams import BUCKETS, GROUPS, features
from features.messages.hearing.model import KINDS, HearingModel
from features.messages.text import clean

THRESHOLDS = {"danger": 0.45, "money": 0.45}
"""The probability from which a kind is heard, where that is not `_THRESHOLD`: what is worse to miss is heard sooner."""
_THRESHOLD = 0.5
_FOLDS = 3
_FEWEST_FAMILIES = 3
"""In how many families a feature has to occur."""
_INVERSE_PENALTY = 50.0
_UNPENALISED = 1e6
_TOLERANCE = 0.1
_LARGEST = 127
"""The largest whole number that a weight is stored as."""

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def fit(texts: Sequence[str], kinds: Sequence[str], families: Sequence[str], weights: Sequence[float]) -> HearingModel:
    """Return the model of n messages: their texts, kinds (others than `KINDS` are ordinary), families and weights.

    A family's messages are in one fold, so that probabilities hold for phrasings that are not among these.
    """
    x, labels = _without_rare(design(texts), families), np.asarray(kinds)
    fold = np.array([crc32(family.encode()) % _FOLDS for family in families])
    fitted = [_fit_kind(x, labels == kind, fold, np.asarray(weights)) for kind in KINDS]
    coefficients = np.stack([columns for columns, _ in fitted], 1)
    intercepts, slopes, shifts = np.array([numbers for _, numbers in fitted]).T
    steps = np.maximum(np.abs(coefficients).max(0), 1e-9) / _LARGEST
    limits = np.array([THRESHOLDS.get(kind, _THRESHOLD) for kind in KINDS])
    whole = np.round(coefficients / steps).astype(np.int8)
    return HearingModel(KINDS, whole, steps, intercepts, slopes, shifts, limits)


def design(texts: Sequence[str]) -> csr_matrix:
    """Return the features of whole messages, (n, BUCKETS); each group of features of a message has length 1."""
    values, columns, ends = [], [], [0]
    for text in texts:
        extracted = features(clean(text))
        group = extracted.slots % GROUPS
        values.append(1.0 / np.sqrt(np.maximum(1, np.bincount(group, minlength=GROUPS)))[group])
        columns.append(extracted.buckets)
        ends.append(ends[-1] + len(group))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(len(texts), BUCKETS))


def _without_rare(x: csr_matrix, families: Sequence[str]) -> csr_matrix:
    """Return the features without those that occur in few families, which tell little of others' phrasings."""
    _, family = np.unique(np.asarray(families), return_inverse=True)
    rows = np.repeat(family, np.diff(x.indptr))
    pairs = np.unique(rows.astype(np.int64) * BUCKETS + x.indices)
    common = np.bincount(pairs % BUCKETS, minlength=BUCKETS) >= _FEWEST_FAMILIES
    kept = x.multiply(common[None, :]).tocsr()
    kept.eliminate_zeros()
    return kept


def _fit_kind(
    x: csr_matrix, is_kind: _Bools, fold: NDArray[np.int64], weights: _Floats
) -> tuple[_Floats, tuple[float, float, float]]:
    """Return the coefficients (BUCKETS,) of one kind with its intercept, and slope and shift of its calibration."""
    log_odds = np.zeros(len(is_kind))
    for k in range(_FOLDS):
        rest, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        log_odds[held] = _regression(x[rest], is_kind[rest], weights[rest]).decision_function(x[held])
    calibration = LogisticRegression(C=_UNPENALISED).fit(log_odds[:, None], is_kind)
    whole = _regression(x, is_kind, weights)
    numbers = (float(whole.intercept_[0]), float(calibration.coef_[0, 0]), float(calibration.intercept_[0]))
    return whole.coef_[0], numbers


def _regression(x: csr_matrix, is_kind: _Bools, weights: _Floats) -> LogisticRegression:
    regression = LogisticRegression(
        C=_INVERSE_PENALTY, solver="liblinear", dual=True, tol=_TOLERANCE, max_iter=200, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what counts is what it reaches on unseen families
        return regression.fit(x, is_kind, sample_weight=weights)
