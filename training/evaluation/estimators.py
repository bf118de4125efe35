"""Off-policy value from logged decisions: IPS, SNIPS, DR and DRos with 95% intervals.

Horvitz and Thompson 1952 (IPS); Swaminathan and Joachims 2015 (SNIPS); Dudik, Langford and Li 2011 (DR); Su,
Dimakopoulou, Krishnamurthy and Dudik 2020 (DRos: DR whose largest weights are shrunk).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.fitting.intervals import (
    MIN_EFFECTIVE,
    ConfidenceInterval,
    Resampled,
    effective_size,
    interval_of,
    mean_interval,
    resampled_mean,
)
from training.model.frame import Floats, Ints

Method = Literal["ips", "snips", "dr", "dros"]
METHODS: tuple[Method, ...] = ("ips", "snips", "dr", "dros")
_SUPPORT_ERRORS = 4.0
_SUPPORT_SLACK = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n logged choices among k actions: action (n,), reward (n,), probability (n,) of that choice in (0, 1]."""

    action: Ints
    reward: Floats
    probability: Floats
    n_actions: int

    def __post_init__(self) -> None:
        if len(self.action) == 0:
            raise Refused("off-policy value: the log has no rows")
        if np.isnan(self.probability).any():
            raise Refused("off-policy value: the log does not say with what probability each action was chosen")
        if not (self.probability > 0.0).all() or not (self.probability <= 1.0).all():
            raise Refused("off-policy value: a logged probability lies outside (0, 1]")
        if len(np.unique(self.action)) < 2:
            raise Refused("off-policy value: the log holds one arm only, so there is nothing to compare it with")


Claim = Literal["better", "worse", "cannot tell"]


def claim_of(more: ConfidenceInterval | None) -> Claim:
    """What an interval of a difference lets one say; None: nothing is known of it."""
    if more is None or more.low <= 0.0 <= more.high:
        return "cannot tell"
    return "better" if more.low > 0.0 else "worse"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a policy is worth per decision; `effective` is Kish's sample size of its weights."""

    method: Method
    interval: ConfidenceInterval
    effective: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired difference a - b; `winner` is None unless its interval excludes zero."""

    difference: ConfidenceInterval
    winner: Literal["a", "b"] | None


def estimate(log: Log, target: Floats, method: Method, rewards: Floats | None = None, level: float = 0.95) -> Estimate:
    """Value of a policy whose choice probabilities are `target` (n, k), rows summing to 1.

    `rewards` (n, k) are predictions made without each row's own outcome; needed for DR and DRos. Refused where the log
    does not hold what the policy would do, or too little of it.
    """
    weight = checked_weights(log, target)
    interval = interval_of(_terms(log, target, weight, method, rewards), level)
    return Estimate(method, interval, effective_size(weight))


def compare(
    log: Log, a: Floats, b: Floats, method: Method = "dr", rewards: Floats | None = None, level: float = 0.95
) -> Comparison:
    """Whether policy `a` (n, k) earns more than `b` (n, k) on the same rows; Refused as `estimate` is."""
    of_a = _terms(log, a, checked_weights(log, a), method, rewards)
    of_b = _terms(log, b, checked_weights(log, b), method, rewards)
    difference = interval_of(Resampled(lambda w: of_a.value(w) - of_b.value(w), of_a.influence - of_b.influence), level)
    if difference.low > 0.0:
        return Comparison(difference, "a")
    return Comparison(difference, "b" if difference.high < 0.0 else None)


def gain_over_log(
    log: Log, target: Floats, method: Method = "dr", rewards: Floats | None = None, level: float = 0.95
) -> ConfidenceInterval:
    """What a policy (n, k) earns more than the log's own, on the same rows; Refused as `estimate` is."""
    terms, earned = _terms(log, target, checked_weights(log, target), method, rewards), resampled_mean(log.reward)
    return interval_of(Resampled(lambda w: terms.value(w) - earned.value(w), terms.influence - earned.influence), level)


def logged_value(log: Log, level: float = 0.95) -> ConfidenceInterval:
    """What the log's own policy earned per decision."""
    return mean_interval(log.reward, level)


def importance_weights(log: Log, target: Floats) -> Floats:
    """Target over logged probability of what was done, shape (n,)."""
    return np.asarray(target[np.arange(len(log.action)), log.action] / log.probability, dtype=np.float64)


def checked_weights(log: Log, target: Floats) -> Floats:
    """Importance weights (n,), Refused where the log cannot carry the policy.

    Weights average one where the log could have taken every action the policy takes. Where it never could, for an
    action or for some customers, they fall short, and no estimator of these would be unbiased.
    """
    if target.shape != (len(log.action), log.n_actions) or not np.allclose(target.sum(axis=1), 1.0, atol=1e-9):
        raise Refused("off-policy value: a policy needs one probability per row and action, rows summing to 1")
    never = np.setdiff1d(np.flatnonzero((target > 0.0).any(axis=0)), log.action)
    if len(never):
        raise Refused(f"off-policy value: the policy takes {len(never)} action(s) that the log never took")
    weight = importance_weights(log, target)
    effective = effective_size(weight)
    if effective < MIN_EFFECTIVE:
        raise Refused(
            f"off-policy value: only {effective:.0f} effective rows support it, {MIN_EFFECTIVE:.0f} are needed"
        )
    check_average(weight)
    return weight


def check_average(weight: Floats) -> None:
    """Refused where weights (n,) do not average one, as far as chance explains."""
    error = float(weight.std()) / len(weight) ** 0.5
    if abs(float(weight.mean()) - 1.0) > _SUPPORT_ERRORS * error + _SUPPORT_SLACK:
        raise Refused(
            f"off-policy value: weights average {weight.mean():.2f} instead of 1, so the log lacks what the policy "
            "would do for part of the customers, or its probabilities are wrong"
        )


def _terms(log: Log, target: Floats, weight: Floats, method: Method, rewards: Floats | None) -> Resampled:
    if method == "ips":
        return resampled_mean(weight * log.reward)
    if method == "snips":
        value = float(np.sum(weight * log.reward) / np.sum(weight))
        influence = weight * (log.reward - value) / float(weight.mean())
        return Resampled(lambda w: float(np.sum(w * weight * log.reward) / np.sum(w * weight)), influence)
    if rewards is None:
        raise Refused("off-policy value: the doubly robust estimate needs predicted rewards")
    rows = np.arange(len(log.action))
    expected = np.sum(target * rewards, axis=1)
    surprise = log.reward - rewards[rows, log.action]
    if method == "dros":
        weight = shrink_weights(weight, shrinkage_limit(expected, weight, surprise))
    return resampled_mean(expected + weight * surprise)


def shrink_weights(weight: Floats, limit: float) -> Floats:
    """Optimistic shrinkage: limit w / (w^2 + limit), shape (n,); the weight itself for limit infinite."""
    return weight if math.isinf(limit) else np.asarray(limit * weight / (weight**2 + limit), dtype=np.float64)


def shrinkage_limit(expected: Floats, weight: Floats, surprise: Floats) -> float:
    """The limit of least estimated squared error; all (n,): model value, weight, reward less its prediction.

    Squared error is variance plus squared bias. What shrinking changes estimates the bias, and two of its standard
    errors are added: a limit is chosen only where the log shows that it does little harm.
    """
    largest = float((weight**2).max())
    limits: list[float] = [math.inf, *(largest * np.geomspace(1e-3, 1e2, 11)).tolist()]
    return min(limits, key=lambda limit: _squared_error(expected, weight, surprise, limit))


def _squared_error(expected: Floats, weight: Floats, surprise: Floats, limit: float) -> float:
    less = shrink_weights(weight, limit)
    change, root = (less - weight) * surprise, math.sqrt(len(weight))
    bias = abs(float(change.mean())) + 2.0 * float(change.std()) / root
    error = float((expected + less * surprise).std()) / root
    return error * error + bias * bias
