"""Off-policy value of slates, from the conditional probability that is recorded for every slot.

The probability of a slate is the product of those of its slots, each given the picks before it, so weights are exact.
`whole` weights all that a slate earned by the whole slate (Swaminathan et al. 2017, there called IPS). It makes no
assumption. `prefix` weights what each slot earned by the slots up to it (McInerney et al. 2020, RIPS). Its intervals
are narrower, and it is valid if what a slot earns does not depend on later slots. `doubly robust` weights by the whole
slate what was earned beyond a model's expectation (Dudík, Langford and Li 2011). It makes no assumption either, however
wrong the model is, and is narrower if the model is right.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.evaluation.estimators import Claim, claim_of
from training.fitting.intervals import (
    MIN_CUSTOMERS,
    MIN_EFFECTIVE,
    ConfidenceInterval,
    effective_size,
    mean_interval,
)
from training.model.frame import Floats, Ints

Weighing = Literal["whole", "prefix"]
SlateMethod = Weighing | Literal["doubly robust"]
WEIGHINGS: tuple[Weighing, ...] = ("whole", "prefix")


@dataclass(frozen=True, slots=True, eq=False)
class SlateLog:
    """n logged slates of up to m slots: each slot's reward and conditional probability, both (n, m).

    A slot that a slate does not have has reward 0 and probability 1. `unit` (n,): codes of the customers, whose slates
    may depend on each other; None: all slates are independent.

    :raises Refused: there are no rows, the shapes differ, or a probability is missing or outside (0, 1]
    """

    reward: Floats
    probability: Floats
    unit: Ints | None = None

    def __post_init__(self) -> None:
        if self.reward.shape != self.probability.shape or self.reward.ndim != 2 or not len(self.reward):
            raise Refused("value of slates: the log needs rows, and a reward and a probability for every slot")
        if not ((self.probability > 0.0) & (self.probability <= 1.0)).all():  # NaN is neither
            raise Refused("value of slates: a slot's probability is missing or lies outside (0, 1]")


@dataclass(frozen=True, slots=True)
class SlateEstimate:
    """The value of a policy's slates per decision, and how much `more` they earn than those logged for the same ones.

    `effective`: Kish's sample size of the weights of whole slates. `average`: their mean, which is near 1 if the log
    could hold all that the policy does.
    """

    method: SlateMethod
    interval: ConfidenceInterval
    effective: float
    more: ConfidenceInterval
    average: float

    @property
    def claim(self) -> Claim:
        """The claim against the logged slates that the interval of `more` supports."""
        return claim_of(self.more)


def estimate_slates(log: SlateLog, target: Floats, method: Weighing, level: float = 0.95) -> SlateEstimate:
    """Return the value of a policy whose probabilities of the logged picks are `target` (n, m).

    Each is the probability of a pick given the picks before it.

    :raises Refused: fewer effective slates than MIN_EFFECTIVE support it, or a probability lies outside [0, 1]
    """
    prefix = _prefix_weights(log, target)
    weight = prefix if method == "prefix" else prefix[:, -1:]
    return _estimate(method, log, prefix[:, -1], np.sum(weight * log.reward, axis=1), level)


def estimate_beyond_model(
    log: SlateLog, target: Floats, expected_logged: Floats, expected_target: Floats, level: float = 0.95
) -> SlateEstimate:
    """Return the doubly robust value of a policy; `target` and errors as for `estimate_slates`.

    :param expected_logged: a model's expected rewards (n,) of the logged slates
    :param expected_target: its expected rewards (n,) of slates that the policy drew for the same decisions
    """
    weight = _prefix_weights(log, target)[:, -1]
    terms = expected_target + weight * (np.sum(log.reward, axis=1) - expected_logged)
    return _estimate("doubly robust", log, weight, terms, level)


def _prefix_weights(log: SlateLog, target: Floats) -> Floats:
    """Return the weight of every slate up to each slot, (n, m)."""
    if target.shape != log.probability.shape or not ((target >= 0.0) & (target <= 1.0)).all():
        raise Refused("value of slates: a policy needs the probability of every logged pick, between 0 and 1")
    prefix = np.asarray(np.cumprod(target / log.probability, axis=1), dtype=np.float64)
    if log.unit is not None and (customers := len(np.unique(log.unit))) < MIN_CUSTOMERS:
        raise Refused(f"value of slates: the log holds {customers} customers, {MIN_CUSTOMERS} are needed to tell")
    effective = effective_size(prefix[:, -1])
    if effective < MIN_EFFECTIVE:
        raise Refused(
            f"value of slates: only {effective:.0f} effective slates support it, {MIN_EFFECTIVE:.0f} are needed"
        )
    return prefix


def _estimate(method: SlateMethod, log: SlateLog, weight: Floats, terms: Floats, level: float) -> SlateEstimate:
    """Return the estimate whose value is the mean of `terms` (n,); `weight` (n,) are those of whole slates."""
    value, more = (mean_interval(t, level, log.unit) for t in (terms, terms - np.sum(log.reward, axis=1)))
    return SlateEstimate(method, value, effective_size(weight), more, float(weight.mean()))
