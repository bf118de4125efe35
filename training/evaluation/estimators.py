"""Off-policy value from logged decisions: IPS, SNIPS, DR and DRos, with 95% intervals.

The unit of value is the decision, however many slots it filled: its reward is that of all of them, and its weight the
product of those of its picks, each given the picks before it. The unit of evidence is the customer, however many
decisions were made for one.

Horvitz and Thompson 1952 (IPS); Swaminathan and Joachims 2015 (SNIPS); Dudik, Langford and Li 2011 (DR); Su,
Dimakopoulou, Krishnamurthy and Dudik 2020 (DRos: DR whose largest weights are shrunk).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.fitting.intervals import (
    MIN_CUSTOMERS,
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
    """n logged choices among k actions: action (n,), reward (n,), probability (n,) of that choice in (0, 1].

    `decision` (n,): the number of the decision that made each choice, from 0 on without gaps; one decision's choices
    come in the order of its slots, and the probability of each is given those before. None: each is a decision.
    `unit` (d,): codes of the customers whose the d decisions are; None: all decisions are independent.

    :raises Refused: there are no rows, a probability is missing or outside (0, 1], or only one action was taken
    """

    action: Ints
    reward: Floats
    probability: Floats
    n_actions: int
    decision: Ints | None = None
    unit: Ints | None = None

    def __post_init__(self) -> None:
        if len(self.action) == 0:
            raise Refused("off-policy value: the log has no rows")
        if np.isnan(self.probability).any():
            raise Refused("off-policy value: the log does not say with what probability each action was chosen")
        if not (self.probability > 0.0).all() or not (self.probability <= 1.0).all():
            raise Refused("off-policy value: a logged probability lies outside (0, 1]")
        if len(np.unique(self.action)) < 2:
            raise Refused("off-policy value: the log holds one arm only, so there is nothing to compare it with")

    def per_decision(self, column: Floats) -> Floats:
        """Return the sums (d,) over each decision's choices of a column (n,)."""
        return column if self.decision is None else np.asarray(np.bincount(self.decision, column), dtype=np.float64)

    @property
    def earned(self) -> Floats:
        """The reward of each decision, (d,)."""
        return self.per_decision(self.reward)


Claim = Literal["better", "worse", "cannot tell"]


def claim_of(difference: ConfidenceInterval | None) -> Claim:
    """Return what the interval of a difference supports; None if the difference is unknown."""
    if difference is None or difference.low <= 0.0 <= difference.high:
        return "cannot tell"
    return "better" if difference.low > 0.0 else "worse"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The value of a policy per decision; `effective` is Kish's sample size of its weights."""

    method: Method
    interval: ConfidenceInterval
    effective: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired difference a - b; `winner` is None unless its interval excludes zero."""

    difference: ConfidenceInterval
    winner: Literal["a", "b"] | None


def estimate(log: Log, target: Floats, method: Method, rewards: Floats | None = None, level: float = 0.95) -> Estimate:
    """Return the value of a policy whose choice probabilities are `target` (n, k), rows summing to 1.

    :param rewards: predictions (n, k) made without each row's own outcome; needed for DR and DRos
    :raises Refused: the log does not hold what the policy would do, or too little of it
    """
    weight = checked_weights(log, target)
    interval = interval_of(_terms(log, target, weight, method, rewards), level, log.unit)
    return Estimate(method, interval, effective_size(weight))


def compare(
    log: Log, a: Floats, b: Floats, method: Method = "dr", rewards: Floats | None = None, level: float = 0.95
) -> Comparison:
    """Return how much more policy `a` (n, k) earns than `b` (n, k) on the same rows; raises as `estimate`."""
    of_a = _terms(log, a, checked_weights(log, a), method, rewards)
    of_b = _terms(log, b, checked_weights(log, b), method, rewards)
    difference = interval_of(_difference(of_a, of_b), level, log.unit)
    if difference.low > 0.0:
        return Comparison(difference, "a")
    return Comparison(difference, "b" if difference.high < 0.0 else None)


def gain_over_log(
    log: Log, target: Floats, method: Method = "dr", rewards: Floats | None = None, level: float = 0.95
) -> ConfidenceInterval:
    """Return how much more a policy (n, k) earns than the log's own, on the same rows; raises as `estimate`."""
    terms, logged = _terms(log, target, checked_weights(log, target), method, rewards), resampled_mean(log.earned)
    return interval_of(_difference(terms, logged), level, log.unit)


def _difference(a: Resampled, b: Resampled) -> Resampled:
    return Resampled(lambda w: a.value(w) - b.value(w), a.influence - b.influence)


def logged_value(log: Log, level: float = 0.95) -> ConfidenceInterval:
    """Return what the log's own policy earned per decision."""
    return mean_interval(log.earned, level, log.unit)


def importance_weights(log: Log, target: Floats) -> Floats:
    """Return the target's over the logged probability of what each decision chose, (d,)."""
    upto = weights_upto(log, target)
    return upto if log.decision is None else upto[np.flatnonzero(np.diff(log.decision, append=-1))]


def weights_upto(log: Log, target: Floats) -> Floats:
    """Return the weight of each choice together with those before it in its decision, (n,)."""
    ratio = np.asarray(target[np.arange(len(log.action)), log.action] / log.probability, dtype=np.float64)
    if log.decision is None:
        return ratio
    first = np.flatnonzero(np.diff(log.decision, prepend=-1))
    place = np.arange(len(ratio)) - first[log.decision]
    for nth in range(1, int(place.max(initial=0)) + 1):
        at = np.flatnonzero(place == nth)
        ratio[at] *= ratio[at - 1]
    return ratio


def checked_weights(log: Log, target: Floats) -> Floats:
    """Return the importance weights of the decisions (d,).

    They average one if the log could have taken every action that the policy takes. If it could not, for an action or
    for some customers, they average less, and none of the estimators is unbiased.

    :raises Refused: the target has no valid probabilities, or the log does not support the policy
    """
    if target.shape != (len(log.action), log.n_actions) or not np.allclose(target.sum(axis=1), 1.0, atol=1e-9):
        raise Refused("off-policy value: a policy needs one probability per row and action, rows summing to 1")
    never = np.setdiff1d(np.flatnonzero((target > 0.0).any(axis=0)), log.action)
    if len(never):
        raise Refused(f"off-policy value: the policy takes {len(never)} action(s) that the log never took")
    weight = importance_weights(log, target)
    check_customers(log.unit, weight)
    effective = effective_size(weight)
    if effective < MIN_EFFECTIVE:
        raise Refused(
            f"off-policy value: only {effective:.0f} effective rows support it, {MIN_EFFECTIVE:.0f} are needed"
        )
    check_average(weight)
    return weight


def check_customers(unit: Ints | None, weight: Floats) -> None:
    """Refuse decisions of too few customers: those with a `weight` (d,) above 0 count."""
    if unit is not None and (customers := len(np.unique(unit[weight > 0.0]))) < MIN_CUSTOMERS:
        raise Refused(f"off-policy value: only {customers} customers support it, {MIN_CUSTOMERS} are needed to tell")


def check_average(weight: Floats) -> None:
    """Refuse weights (n,) whose average differs from one by more than chance explains."""
    error = float(weight.std()) / len(weight) ** 0.5
    if abs(float(weight.mean()) - 1.0) > _SUPPORT_ERRORS * error + _SUPPORT_SLACK:
        raise Refused(
            f"off-policy value: weights average {weight.mean():.2f} instead of 1, so the log lacks what the policy "
            "would do for part of the customers, or its probabilities are wrong"
        )


def _terms(log: Log, target: Floats, weight: Floats, method: Method, rewards: Floats | None) -> Resampled:
    """Return the method's estimate as a statistic of the decisions."""
    earned = log.earned
    if method == "ips":
        return resampled_mean(weight * earned)
    if method == "snips":
        value = float(np.sum(weight * earned) / np.sum(weight))
        influence = weight * (earned - value) / float(weight.mean())
        return Resampled(lambda w: float(np.sum(w * weight * earned) / np.sum(w * weight)), influence)
    if rewards is None:
        raise Refused("off-policy value: the doubly robust estimate needs predicted rewards")
    if method == "dros":
        expected, residual = _expected_and_residual(log, target, rewards)
        weight = shrink_weights(weight, shrinkage_limit(expected, weight, residual))
    return resampled_mean(doubly_robust_terms(log, target, weight, rewards))


def doubly_robust_terms(log: Log, target: Floats, weight: Floats, rewards: Floats) -> Floats:
    """Return each decision's term (d,) of the doubly robust value, its mean; `weight` (d,), `rewards` (n, k)."""
    expected, residual = _expected_and_residual(log, target, rewards)
    return np.asarray(expected + weight * residual, dtype=np.float64)


def _expected_and_residual(log: Log, target: Floats, rewards: Floats) -> tuple[Floats, Floats]:
    """Return the predicted reward of the policy (d,), and the logged reward less its prediction (d,).

    Of several slots, what each is predicted to earn under the policy is weighted by the picks before it (Jiang and Li
    2016), and what its pick is predicted to earn by how much the later picks change its weight. So a wrong prediction
    only widens the interval.
    """
    expected = np.asarray(np.sum(target * rewards, axis=1), dtype=np.float64)
    predicted = rewards[np.arange(len(log.action)), log.action]
    if log.decision is not None:
        upto = weights_upto(log, target)
        is_first = np.diff(log.decision, prepend=-1) > 0
        before = np.where(is_first, 1.0, np.concatenate(([1.0], upto[:-1])))
        expected = before * expected + (importance_weights(log, target)[log.decision] - upto) * predicted
    return log.per_decision(expected), log.earned - log.per_decision(predicted)


def shrink_weights(weight: Floats, limit: float) -> Floats:
    """Return optimistically shrunk weights, limit w / (w^2 + limit), (n,); the weights themselves if it is infinite."""
    return weight if math.isinf(limit) else np.asarray(limit * weight / (weight**2 + limit), dtype=np.float64)


def shrinkage_limit(expected: Floats, weight: Floats, residual: Floats) -> float:
    """Return the limit of least estimated squared error.

    All (n,): predicted reward of the policy, weight, logged reward less its prediction. Squared error is variance plus
    squared bias. The change by shrinking estimates the bias, and two of its standard errors are added, so that a limit
    is chosen only if the log shows that it does little harm.
    """
    largest = float((weight**2).max())
    limits: list[float] = [math.inf, *(largest * np.geomspace(1e-3, 1e2, 11)).tolist()]
    return min(limits, key=lambda limit: _squared_error(expected, weight, residual, limit))


def _squared_error(expected: Floats, weight: Floats, residual: Floats, limit: float) -> float:
    shrunk = shrink_weights(weight, limit)
    change, root = (shrunk - weight) * residual, math.sqrt(len(weight))
    bias = abs(float(change.mean())) + 2.0 * float(change.std()) / root
    error = float((expected + shrunk * residual).std()) / root
    return error * error + bias * bias
