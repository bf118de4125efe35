"""Logistic regression with a normal prior, fitted by Newton's method, and the learning of the prior's precision."""

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
    """One regression: design (n, d), labels (n,), the prior's mean (d,) and precision (d,).

    Columns in `pooled` (d,) share one precision, which `fit_pooled` learns; the others keep theirs. `offset` (n,) is
    added to the logit and `weight` (n,) multiplies each row's loss, if given. `signs` (d,): 1 where a weight must not
    be negative, -1 where it must not be positive, 0 where it is free; None if all are free.
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
    """`weights` (d,), and `determined`: how many of the pooled weights the data determined rather than the prior.

    `curvature` (d,): of the log-posterior along each weight alone. Its inverse is the weight's variance if the columns
    are unrelated, and less than the variance otherwise, so that it stays small for columns that move together.
    """

    weights: Floats
    determined: float
    curvature: Floats


def sigmoid(logit: Floats) -> Floats:
    """Return the probabilities of logits of any shape. For fitting only, where the last bits do not matter."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -35.0, 35.0))), dtype=np.float64)


def log_losses(label: Bools, logit: Floats) -> Floats:
    """Return the negative log-likelihood (n,) of each row's logit, in nats."""
    return np.asarray(np.logaddexp(0.0, np.where(label, -logit, logit)), dtype=np.float64)


def probability_log_losses(label: Bools, probability: Floats) -> Floats:
    """Return the negative log-likelihood (n,) of each row's probability, in nats."""
    return np.asarray(-np.log(np.where(label, probability, 1.0 - probability)), dtype=np.float64)


def fit_ridge(problem: RidgeProblem, start: Floats | None = None) -> Fit:
    """Return the posterior mode, by Newton steps that are halved where they overshoot, until they change nothing.

    A weight of the wrong sign is held at zero and the others are fitted again, until no sign is wrong.
    """
    fit = _newton(problem, start)
    while problem.signs is not None and (wrong_sign := fit.weights * problem.signs < 0.0).any():
        problem = _without_columns(problem, wrong_sign)
        fit = _newton(problem, np.where(wrong_sign, 0.0, fit.weights))
    return fit


def _without_columns(problem: RidgeProblem, columns: Bools) -> RidgeProblem:
    """Return the problem in which the weights of these columns (d,) stay exactly zero."""
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
        weights, new_loss = _descend(problem, weights, step, loss)
        converged = loss - new_loss <= 1e-9 * (1.0 + abs(new_loss))
        loss = new_loss
        if converged:
            break
    hessian = _derivatives(problem, weights)[1]
    return Fit(weights, _determined(problem, hessian), np.diag(hessian).copy())


def fit_pooled(problems: Sequence[RidgeProblem], tightness: float, rounds: int) -> tuple[list[Fit], float]:
    """Return the fit of every problem, and the precision of their pooled columns, learnt from all of them together.

    `tightness` is the precision to begin with. Type-II maximum likelihood (MacKay 1992): precision = number of
    determined weights / their squared distance from the prior. It grows where the problems agree, so that they share
    their evidence, and falls where they differ.
    """
    starts: list[Floats | None] = [None] * len(problems)
    fits: list[Fit] = []
    fitted_tightness = tightness
    for _ in range(rounds):
        fitted_tightness = tightness
        tightened = [with_tightness(p, fitted_tightness) for p in problems]
        fits = [fit_ridge(p, s) for p, s in zip(tightened, starts, strict=True)]
        starts = [f.weights for f in fits]
        distance = sum(float(np.sum((f.weights - p.prior)[p.pooled] ** 2)) for f, p in zip(fits, problems, strict=True))
        tightness = float(np.clip(sum(f.determined for f in fits) / max(distance, 1e-12), *_TIGHTNESS))
    return fits, fitted_tightness


def with_tightness(problem: RidgeProblem, tightness: float) -> RidgeProblem:
    """Return the problem with this precision on its pooled columns."""
    return replace(problem, precision=np.where(problem.pooled, tightness, problem.precision))


def _logit(problem: RidgeProblem, weights: Floats) -> Floats:
    logit = problem.design @ weights
    return np.asarray(logit if problem.offset is None else logit + problem.offset, dtype=np.float64)


def _objective(problem: RidgeProblem, weights: Floats) -> float:
    """Return the negative log-posterior of the weights (d,), up to a constant."""
    penalty = 0.5 * float(np.sum(problem.precision * (weights - problem.prior) ** 2))
    losses = log_losses(problem.label, _logit(problem, weights))
    return float((losses if problem.weight is None else losses * problem.weight).sum()) + penalty


def _descend(problem: RidgeProblem, weights: Floats, step: Floats, loss: float) -> tuple[Floats, float]:
    """Return the weights after the longest halved step that does not raise the loss, and their loss."""
    for halving in range(_MAX_HALVINGS):
        candidate = weights - step * 0.5**halving
        candidate_loss = _objective(problem, candidate)
        if candidate_loss <= loss:
            return candidate, candidate_loss
    return weights, loss


def _derivatives(problem: RidgeProblem, weights: Floats) -> tuple[Floats, Floats]:
    """Return gradient (d,) and Hessian (d, d), summed in chunks so that a million rows need no copy of the design."""
    p = sigmoid(_logit(problem, weights))
    error, curvature = p - problem.label, p * (1.0 - p)
    if problem.weight is not None:
        error, curvature = error * problem.weight, curvature * problem.weight
    gradient = problem.design.T @ error + problem.precision * (weights - problem.prior)
    hessian = np.diag(problem.precision)
    for at in range(0, len(p), _CHUNK):
        rows = problem.design[at : at + _CHUNK]
        hessian = hessian + rows.T @ (rows * curvature[at : at + _CHUNK, None])
    return gradient, hessian


def _determined(problem: RidgeProblem, hessian: Floats) -> float:
    """Return the effective number of pooled weights that the data determined."""
    variance = np.diag(np.linalg.inv(hessian))
    return float(np.sum((1.0 - problem.precision * variance)[problem.pooled]))
