"""Logistic regression with a normal prior around given weights, by Newton's method, and how tight that prior is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.model.frame import Bools, Floats, Ints

_CHUNK = 32_768
_STEPS = 40
_MAX_HALVINGS = 20
_TIGHTNESS = (0.3, 3_000.0)


@dataclass(frozen=True, slots=True)
class RidgeProblem:
    """One regression: design (n, d), labels (n,), the prior's mean (d,) and precision (d,), an offset (n,) or None.

    Columns in `pooled` (d,) share one precision that `fit_pooled` learns; the others keep theirs. `signs` (d,): 1 where
    a weight must not be negative, -1 where not positive, 0 where it is free; None: all are.
    """

    design: Floats
    label: Bools
    prior: Floats
    precision: Floats
    pooled: Bools
    offset: Floats | None = None
    weight: Floats | None = None
    signs: Ints | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights (d,), how many of the pooled ones the data determined rather than the prior, and what is known of each.

    `known` (d,): the log-posterior's curvature along each weight alone; one over it is the weight's variance where the
    columns are unrelated, and less than that where they are, so that it does not explode between columns that move
    together.
    """

    weights: Floats
    determined: float
    known: Floats


def sigmoid(logit: Floats) -> Floats:
    """Probabilities for logits of any shape; for fitting, where last bits do not matter."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -35.0, 35.0))), dtype=np.float64)


def log_losses(label: Bools, logit: Floats) -> Floats:
    """Minus the log-likelihood of every row, nats, shape (n,)."""
    return np.asarray(np.logaddexp(0.0, np.where(label, -logit, logit)), dtype=np.float64)


def losses(label: Bools, probability: Floats) -> Floats:
    """Negative log-likelihood of every row, nats, (n,)."""
    return np.asarray(-np.log(np.where(label, probability, 1.0 - probability)), dtype=np.float64)


def fit_ridge(problem: RidgeProblem, start: Floats | None = None) -> Fit:
    """The posterior mode; Newton steps, halved where they overshoot, until they no longer matter.

    A weight of the wrong sign is held at zero, and the others fitted again, until none is wrong.
    """
    fit = _newton(problem, start)
    while problem.signs is not None and (wrong := fit.weights * problem.signs < 0.0).any():
        problem = _without(problem, wrong)
        fit = _newton(problem, np.where(wrong, 0.0, fit.weights))
    return fit


def _without(problem: RidgeProblem, columns: Bools) -> RidgeProblem:
    """The problem in which the weights of some columns (d,) stay exactly zero."""
    return replace(
        problem,
        design=np.where(columns, 0.0, problem.design),
        prior=np.where(columns, 0.0, problem.prior),
        pooled=problem.pooled & ~columns,
    )


def _newton(problem: RidgeProblem, start: Floats | None) -> Fit:
    weights = np.array(problem.prior if start is None else start, dtype=np.float64)
    loss = _objective(problem, weights)
    for _ in range(_STEPS):
        gradient, hessian = _derivatives(problem, weights)
        step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        weights, lower = _descend(problem, weights, step, loss)
        done = loss - lower <= 1e-9 * (1.0 + abs(lower))
        loss = lower
        if done:
            break
    hessian = _derivatives(problem, weights)[1]
    return Fit(weights, _determined(problem, hessian), np.diag(hessian).copy())


def fit_pooled(problems: Sequence[RidgeProblem], tightness: float, rounds: int) -> tuple[list[Fit], float]:
    """The fit of every problem, and the precision of their pooled columns, learnt from all of them together.

    Type-II maximum likelihood (MacKay 1992): precision = determined weights / their squared distance from the prior.
    Where siblings agree it grows and they borrow from each other; where they differ it falls and each goes its own way.
    """
    starts: list[Floats | None] = [None] * len(problems)
    fits: list[Fit] = []
    used = tightness
    for _ in range(rounds):
        used = tightness
        tight = [with_tightness(p, used) for p in problems]
        fits = [fit_ridge(p, s) for p, s in zip(tight, starts, strict=True)]
        starts = [f.weights for f in fits]
        away = sum(float(np.sum((f.weights - p.prior)[p.pooled] ** 2)) for f, p in zip(fits, problems, strict=True))
        tightness = float(np.clip(sum(f.determined for f in fits) / max(away, 1e-12), *_TIGHTNESS))
    return fits, used


def with_tightness(problem: RidgeProblem, tightness: float) -> RidgeProblem:
    """The problem with this precision on its pooled columns."""
    return replace(problem, precision=np.where(problem.pooled, tightness, problem.precision))


def _logit(problem: RidgeProblem, weights: Floats) -> Floats:
    logit = problem.design @ weights
    return np.asarray(logit if problem.offset is None else logit + problem.offset, dtype=np.float64)


def _objective(problem: RidgeProblem, weights: Floats) -> float:
    penalty = 0.5 * float(np.sum(problem.precision * (weights - problem.prior) ** 2))
    losses = log_losses(problem.label, _logit(problem, weights))
    return float((losses if problem.weight is None else losses * problem.weight).sum()) + penalty


def _descend(problem: RidgeProblem, weights: Floats, step: Floats, loss: float) -> tuple[Floats, float]:
    for halving in range(_MAX_HALVINGS):
        tried = weights - step * 0.5**halving
        lower = _objective(problem, tried)
        if lower <= loss:
            return tried, lower
    return weights, loss


def _derivatives(problem: RidgeProblem, weights: Floats) -> tuple[Floats, Floats]:
    """Gradient (d,) and Hessian (d, d); in chunks, so that a million rows need no second copy of the design."""
    p = sigmoid(_logit(problem, weights))
    wrong, curvature = p - problem.label, p * (1.0 - p)
    if problem.weight is not None:
        wrong, curvature = wrong * problem.weight, curvature * problem.weight
    gradient = problem.design.T @ wrong + problem.precision * (weights - problem.prior)
    hessian = np.diag(problem.precision)
    for at in range(0, len(p), _CHUNK):
        rows = problem.design[at : at + _CHUNK]
        hessian = hessian + rows.T @ (rows * curvature[at : at + _CHUNK, None])
    return gradient, hessian


def _determined(problem: RidgeProblem, hessian: Floats) -> float:
    spread = np.diag(np.linalg.inv(hessian))
    return float(np.sum((1.0 - problem.precision * spread)[problem.pooled]))
