"""Arithmetic whose bits do not depend on what is computed together: sums in one order, exponentials one by one."""

import math

import numpy as np

from training.model.frame import Floats, Ints

_MAX_LOGIT = 35.0
_NUMBERS_AT_A_TIME = 1024
_ROWS_AT_A_TIME = 8
"""As many as keep what is computed of a hundred actions in the processor's cache."""


def exp(x: Floats) -> Floats:
    """Return e^x, of any shape.

    Uses `math.exp` because numpy's may round differently from lane to lane and machine to machine.
    """
    flat = x.ravel()
    powers = np.empty(len(flat))
    for at in range(0, len(flat), _NUMBERS_AT_A_TIME):
        part = flat[at : at + _NUMBERS_AT_A_TIME].tolist()
        powers[at : at + _NUMBERS_AT_A_TIME] = np.fromiter(map(math.exp, part), np.float64, len(part))
    return powers.reshape(x.shape)


def probability(logit: Floats) -> Floats:
    """Return the probabilities of logits, of any shape, never 0 or 1."""
    bounded = np.minimum(np.maximum(logit, -_MAX_LOGIT), _MAX_LOGIT)  # several times as fast as `clip`
    return np.asarray(1.0 / (1.0 + exp(-bounded)), dtype=np.float64)


def shift_logits(propensity: Floats, by: Floats) -> Floats:
    """Return propensities whose logits are higher by `by`, of the same shape, or lower where it is negative.

    A shift is NaN where it is unknown. A 95% interval reaches 1.96 standard deviations either way.
    """
    odds = propensity * exp(by)
    return np.asarray(odds / (1.0 - propensity + odds), dtype=np.float64)


def summed(parts: Floats) -> Floats:
    """Return the sums (n,) of columns (width, n), each added from the first row to the last, whatever n is.

    numpy adds the rows of several columns in their order, but a single column in pairs.
    """
    one = parts.shape[1] == 1
    total: Floats = np.add.accumulate(parts, axis=0)[-1] if one else np.add.reduce(parts, axis=0)
    return total


def summed_rows(by_input: Floats, inputs: Floats, actions: Ints) -> Floats:
    """Return the sums (rows, n) of the terms of actions (n,) over inputs (width, rows), each as by `summed`.

    :param by_input: the terms of all actions (width, k)
    """
    terms, rows = by_input.take(actions, axis=1), inputs.shape[1]
    total = np.empty((rows, len(actions)))
    for at in range(0, rows, _ROWS_AT_A_TIME):
        parts = inputs[:, at : at + _ROWS_AT_A_TIME, None] * terms[:, None, :]
        total[at : at + _ROWS_AT_A_TIME] = summed(parts.reshape(len(terms), -1)).reshape(parts.shape[1:])
    return total
