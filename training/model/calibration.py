"""Maps from a model's logit to a better calibrated one. A map is kept only if it improves held-out rows.

Every map is a logistic regression on a small basis of the logit, with the identity as its prior. Isotonic regression
is left out on purpose: over many data sets its worst case is far worse than no calibration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from training.model.frame import Bools, Floats, Units, mean_error, rarer_label, units_with
from training.model.logistic import RidgeProblem, fit_ridge, log_losses

Kind = Literal["identity", "platt", "beta", "spline"]
KINDS: tuple[Kind, ...] = ("platt", "beta", "spline")
MIN_CUSTOMERS = 2_000
"""With rows of fewer customers no map helps much."""
MIN_EVENTS = 100
"""Customers who must have a row of each label before a map is tried."""
_FOLDS = 5
_PRIOR_PRECISION = 1.0
_QUANTILES = (0.05, 0.35, 0.65, 0.95)

Number = TypeVar("Number", float, Floats)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One fitted, increasing map.

    `weights`: the intercept, then one weight per term of the basis of `kind`. `knots`: logits, for the spline only.
    """

    kind: Kind = "identity"
    weights: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()

    def one(self, logit: float) -> float:
        """Return the calibrated logit of one logit. The bits equal those of `column`: the steps are the same."""
        if self.kind == "identity":
            return logit
        return self._sum(_basis(self.kind, self.knots, logit))

    def column(self, logit: Floats) -> Floats:
        """Return the calibrated logits (n,) of logits (n,)."""
        return logit if self.kind == "identity" else self._sum(_basis(self.kind, self.knots, logit))

    def of_design(self, design: Floats) -> Floats:
        """Return the calibrated logits (n,) of rows of `_design` (n, d), which has this map's kind and knots."""
        return self._sum(list(design[:, 1:].T))

    def _sum(self, terms: "list[Number]") -> "Number":
        total = self.weights[0] + terms[0] * self.weights[1]
        for weight, term in zip(self.weights[2:], terms[1:], strict=True):
            total = total + term * weight
        return total

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Calibration":
        """Return the calibration whose `dataclasses.asdict` was stored as this JSON object."""
        return cls(document["kind"], tuple(document["weights"]), tuple(document["knots"]))


IDENTITY = Calibration()


def choose(logit: Floats, label: Bools, seed: int, unit: Units = None, *, everywhere: bool = False) -> Calibration:
    """Return the map with the lowest cross-validated log-loss over held-out logits (n,) and labels (n,).

    The identity is returned unless a map beats it by more than one standard error of the paired difference per row.

    :param unit: (n,), codes of the customers
    :param everywhere: the map must increase for every logit, not only around those given; this excludes the spline
    """
    customers = units_with(np.ones(len(logit), dtype=np.bool_), unit)
    if customers < MIN_CUSTOMERS or rarer_label(label, unit) < MIN_EVENTS:
        return IDENTITY
    identity_losses = log_losses(label, logit)
    best, best_gain = IDENTITY, 0.0
    for kind in KINDS[:-1] if everywhere else KINDS:
        gains = identity_losses - log_losses(label, held_out(kind, logit, label, seed, unit))
        gain = float(gains.mean())
        if gain > max(best_gain, mean_error(gains, unit)):
            fitted = fit(kind, logit, label)
            increasing = min(fitted.weights[1:]) >= 0.0 if everywhere else _is_increasing(fitted, logit)
            best, best_gain = (fitted, gain) if increasing else (best, best_gain)
    return best


def fit(kind: Kind, logit: Floats, label: Bools) -> Calibration:
    """Return a map of this kind, fitted to held-out logits (n,) and labels (n,)."""
    knots = tuple(float(q) for q in np.quantile(logit, _QUANTILES)) if kind == "spline" else ()
    if kind == "spline" and knots[-1] - knots[0] < 1e-6:
        return IDENTITY
    return _fit_to_design(kind, knots, _design(kind, knots, logit), label)


def _design(kind: Kind, knots: tuple[float, ...], logit: Floats) -> Floats:
    """Return a one and the terms of the kind's basis for each logit, (n, d)."""
    return np.column_stack([np.ones_like(logit), *_basis(kind, knots, logit)])


def _fit_to_design(kind: Kind, knots: tuple[float, ...], design: Floats, label: Bools) -> Calibration:
    prior = np.zeros(design.shape[1])
    prior[1] = 1.0
    if kind == "beta":
        prior[2] = 1.0
    precision = np.full(len(prior), _PRIOR_PRECISION)
    pooled = np.zeros(len(prior), dtype=np.bool_)
    weights = fit_ridge(RidgeProblem(design, label, prior, precision, pooled)).weights
    return Calibration(kind, tuple(float(w) for w in weights), knots)


def held_out(kind: Kind, logit: Floats, label: Bools, seed: int, unit: Units = None) -> Floats:
    """Return the calibrated logit (n,) of each row by a map of this kind that was fitted without the row's fold.

    :param unit: (n,), codes of the customers, whose rows are all in one fold
    """
    if kind == "identity":
        return logit
    of_row = np.arange(len(logit)) if unit is None else np.unique(unit, return_inverse=True)[1]
    fold = (np.random.default_rng([seed, 71]).permutation(int(of_row.max()) + 1) % _FOLDS)[of_row]
    calibrated = np.empty(len(logit))
    design = None if kind == "spline" else _design(kind, (), logit)  # a spline's knots depend on the other folds
    for k in range(_FOLDS):
        rows = fold == k
        if design is None:
            calibrated[rows] = fit(kind, logit[~rows], label[~rows]).column(logit[rows])
        else:
            calibrated[rows] = _fit_to_design(kind, (), design[~rows], label[~rows]).of_design(design[rows])
    return calibrated


def _is_increasing(fitted: Calibration, logit: Floats) -> bool:
    """Tell whether the map increases over the range of the logits (n,), widened by 2 on either side."""
    grid = np.linspace(logit.min() - 2.0, logit.max() + 2.0, 200)
    return bool(np.all(np.diff(fitted.column(grid)) >= 0.0))


def _basis(kind: Kind, knots: tuple[float, ...], logit: Number) -> list[Number]:
    """Return the terms of the kind's basis at `logit`, without the constant."""
    if kind == "platt":
        return [logit]
    if kind == "beta":
        size = abs(logit)
        tail = _softplus_tail(size)  # of both log(1 + e^-logit) and log(1 + e^logit)
        return [-((size - logit) * 0.5 + tail), (logit + size) * 0.5 + tail]
    return _natural_cubic(knots, logit)


def _natural_cubic(knots: tuple[float, ...], logit: Number) -> list[Number]:
    """Return the natural cubic spline basis (Hastie, Tibshirani, Friedman 2009, 5.2.1), linear outside the knots."""
    scale = 1.0 / (knots[-1] - knots[0]) ** 2
    last = _hinge_slope(knots, len(knots) - 2, logit)
    terms = [logit]
    terms.extend((_hinge_slope(knots, k, logit) - last) * scale for k in range(len(knots) - 2))
    return terms


def _hinge_slope(knots: tuple[float, ...], k: int, logit: Number) -> Number:
    return (_cubed_hinge(logit - knots[k]) - _cubed_hinge(logit - knots[-1])) * (1.0 / (knots[-1] - knots[k]))


def _cubed_hinge(distance: Number) -> Number:
    above = (distance + abs(distance)) * 0.5
    return above * above * above


def _softplus_tail(size: Number) -> Number:
    """Return log(1 + e^-size), computed row by row because numpy's exp may round differently inside a vector."""
    if isinstance(size, float):
        return math.log1p(math.exp(-size))
    return np.asarray([math.log1p(math.exp(-v)) for v in size.tolist()], dtype=np.float64)
