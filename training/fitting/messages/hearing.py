"""Fits the model that hears: a logistic regression per kind, calibrated on families that it had not seen.

The threshold of a kind is the probability that a stated share of ordinary messages reaches (split conformal
prediction): these are hard to tell apart on purpose, so that fewer of a company's own messages reach it.
"""

import warnings
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from features.messages.hearing.grams import BUCKETS, GROUPS, features_together
from features.messages.hearing.model import KINDS, HearingModel
from features.messages.text import clean

FALSE_ALARMS = {
    "wish": 0.021,
    "objection": 0.011,
    "access": 0.005,
    "erasure": 0.013,
    "complaint": 0.004,
    "bereavement": 0.011,
    "money": 0.022,
    "danger": 0.014,
    "violence": 0.016,
}
"""The share of ordinary messages of held-out families that may reach the threshold of a kind.

It is larger for the kinds that many of the ordinary messages of training were written to sound like.
"""
_LOWEST, _HIGHEST = 0.05, 0.8
"""Between which probabilities every threshold lies, however few messages there are."""
_HELD_OUT = 3
"""One of how many families is held out to calibrate."""
_TOGETHER = 500
"""Of how many messages features are found at a time."""
_FEWEST_FAMILIES = 5
"""In how many families a feature has to occur."""
_LEFT_OUT = 0.4
"""The share of features that the second copy of each message lacks, so that each kind is learned by many of them."""
_INVERSE_PENALTY = 20.0
_UNPENALISED = 1e6
_TOLERANCE = 0.1
_LARGEST = 63
"""The largest whole number that a weight is stored as."""

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def fit(texts: Sequence[str], kinds: Sequence[str], families: Sequence[str], weights: Sequence[float]) -> HearingModel:
    """Return the model of n messages: their texts, kinds (others than `KINDS` are ordinary), families and weights.

    A family's messages are held out together, so that probabilities hold for phrasings that are not among these.
    """
    x, labels = _without_rare(design(texts), families), np.asarray(kinds)
    both = vstack([x, _thinned(x)], format="csr")
    held = np.array([crc32(family.encode()) % _HELD_OUT == 0 for family in families])
    ordinary = ~np.isin(labels, KINDS)
    fitted = [
        _fit_kind(both, labels == kind, held, np.asarray(weights), ordinary, FALSE_ALARMS[kind]) for kind in KINDS
    ]
    coefficients = np.stack([columns for columns, _ in fitted], 1)
    intercepts, slopes, shifts, limits = np.array([numbers for _, numbers in fitted]).T
    steps = np.maximum(np.abs(coefficients).max(0), 1e-9) / _LARGEST
    whole = np.round(coefficients / steps).astype(np.int8)
    return HearingModel(KINDS, whole, steps, intercepts, slopes, shifts, limits)


def design(texts: Sequence[str]) -> csr_matrix:
    """Return the features of whole messages, (n, BUCKETS); each group of features of a message has length 1."""
    return vstack([_design(texts[at : at + _TOGETHER]) for at in range(0, len(texts), _TOGETHER)], format="csr")


def _design(texts: Sequence[str]) -> csr_matrix:
    extracted, text_of = features_together([clean(text) for text in texts])
    piece, group = np.divmod(extracted.slots, GROUPS)
    row = text_of[piece]
    counts = np.bincount(row * GROUPS + group, minlength=len(texts) * GROUPS)
    values = 1.0 / np.sqrt(counts[row * GROUPS + group])
    return csr_matrix((values, (row, extracted.buckets)), shape=(len(texts), BUCKETS))


def _without_rare(x: csr_matrix, families: Sequence[str]) -> csr_matrix:
    """Return the features without those that occur in few families, which tell little of others' phrasings."""
    _, family = np.unique(np.asarray(families), return_inverse=True)
    rows = np.repeat(family, np.diff(x.indptr))
    pairs = np.unique(rows.astype(np.int64) * BUCKETS + x.indices)
    common = np.bincount(pairs % BUCKETS, minlength=BUCKETS) >= _FEWEST_FAMILIES
    kept = x.multiply(common[None, :]).tocsr()
    kept.eliminate_zeros()
    return kept


def _thinned(x: csr_matrix) -> csr_matrix:
    """Return the messages without some of their features, drawn for each, and with the others larger instead."""
    kept = np.random.default_rng(0).random(x.nnz) >= _LEFT_OUT
    thinned = csr_matrix((x.data * kept / (1.0 - _LEFT_OUT), x.indices.copy(), x.indptr.copy()), shape=x.shape)
    thinned.eliminate_zeros()
    return thinned


def _fit_kind(
    both: csr_matrix, is_kind: _Bools, held: _Bools, weights: _Floats, ordinary: _Bools, false_alarms: float
) -> tuple[_Floats, tuple[float, ...]]:
    """Return the coefficients (BUCKETS,) of one kind with its intercept, slope and shift, and its threshold.

    :param both: the features of all messages, and below them those of their thinned copies
    """
    twice, weight, taught = np.tile(is_kind, 2), np.tile(weights, 2), np.tile(~held, 2)
    part = _regression(both[taught], twice[taught], weight[taught])
    log_odds = part.decision_function(both[: len(held)][held])
    calibration = LogisticRegression(C=_UNPENALISED).fit(log_odds[:, None], is_kind[held])
    whole = _regression(both, twice, weight)
    slope, shift = float(calibration.coef_[0, 0]), float(calibration.intercept_[0])
    limit = _threshold(expit(log_odds[ordinary[held]] * slope + shift), false_alarms)
    return whole.coef_[0], (float(whole.intercept_[0]), slope, shift, limit)


def _threshold(probabilities: _Floats, share: float) -> float:
    """Return the probability that a share of ordinary messages reaches, given those of some of them."""
    reached = np.quantile(probabilities, 1.0 - share, method="higher") if len(probabilities) else _HIGHEST
    return float(np.clip(reached, _LOWEST, _HIGHEST))


def _regression(x: csr_matrix, is_kind: _Bools, weights: _Floats) -> LogisticRegression:
    regression = LogisticRegression(
        C=_INVERSE_PENALTY, solver="liblinear", dual=True, tol=_TOLERANCE, max_iter=200, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what counts is what it reaches on unseen families
        return regression.fit(x, is_kind, sample_weight=weights)
