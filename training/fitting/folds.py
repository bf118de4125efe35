"""Folds of rows for cross-validation."""

import numpy as np

from training.model.frame import Bools, Floats, Ints, Units


def stratified_folds(label: Bools, folds: int, seed: int, unit: Units = None) -> Ints:
    """Return a fold number (n,) per row: shuffled, with both labels spread evenly over the folds.

    All rows of a customer are in one fold, so that what is known of a customer by heart does not look like skill.

    :param unit: (n,), codes of the customers
    """
    if unit is None:
        return _stratified(label, np.ones(len(label)), folds, seed)
    _, of_row = np.unique(unit, return_inverse=True)
    any_positive = np.bincount(of_row, label) > 0
    return _stratified(any_positive, np.bincount(of_row).astype(np.float64), folds, seed)[of_row]


def _stratified(label: Bools, size: Floats, folds: int, seed: int) -> Ints:
    """Return a fold per unit (u,); those of either label are dealt from the largest `size` (u,) down."""
    fold = np.empty(len(label), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for value in (False, True):
        shuffled = rng.permutation(np.flatnonzero(label == value))
        fold[shuffled[np.argsort(-size[shuffled], kind="stable")]] = np.arange(len(shuffled)) % folds
    return fold
