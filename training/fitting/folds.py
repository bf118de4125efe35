"""Folds of rows for cross-validation."""

import numpy as np

from training.model.frame import Bools, Ints


def stratified_folds(label: Bools, folds: int, seed: int) -> Ints:
    """Return a fold number (n,) per row: shuffled, with both labels spread evenly over the folds."""
    fold = np.empty(len(label), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for value in (False, True):
        rows = np.flatnonzero(label == value)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % folds
    return fold
