"""Off-policy value of slates, from the conditional probability that is recorded for every slot.

The probability of a slate is the product of its slots', each given the picks before it, so weights are exact.
`whole` weighs everything a slate earned by the whole slate (Swaminathan et al. 2017, there called IPS): no assumption.
`prefix` weighs what each slot earned by the slots up to it (McInerney et al. 2020, RIPS): narrower, and right as long
as what a slot earns does not depend on what comes after it.
`doubly robust` weighs by the whole slate what was earned beyond what a model expects of it (Dudík, Langford and Li
2011): no assumption either, however wrong the model, and narrower where it is right.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.evaluation.estimators import Claim, claim_of
from training.fitting.intervals import MIN_EFFECTIVE, ConfidenceInterval, effective_size, mean_interval
from training.model.frame import Floats

Weighing = Literal["whole", "prefix"]
SlateMethod = Weighing | Literal["doubly robust"]
WEIGHINGS: tuple[Weighing, ...] = ("whole", "prefix")


@dataclass(frozen=True, slots=True, eq=False)
class SlateLog:
    """n logged slates of up to m slots: what each slot earned and its conditional probability, both (n, m).

    A slot that a slate does not have earned 0 with probability 1.
    """

    reward: Floats
    probability: Floats

    def __post_init__(self) -> None:
        if self.reward.shape != self.probability.shape or self.reward.ndim != 2 or not len(self.reward):
            raise Refused("value of slates: the log needs rows, and a reward and a probability for every slot")
        if not ((self.probability > 0.0) & (self.probability <= 1.0)).all():  # NaN is neither
            raise Refused("value of slates: a slot's probability is missing or lies outside (0, 1]")


@dataclass(frozen=True, slots=True)
class SlateEstimate:
    """What a policy's slates earn per decision, and `more` than those logged, on the same decisions.

    `effective` is Kish's sample size of the weights of whole slates, `average` their mean: near 1 where the log could
    hold whatever the policy does.
    """

    method: SlateMethod
    interval: ConfidenceInterval
    effective: float
    more: ConfidenceInterval
    average: float

    @property
    def claim(self) -> Claim:
        """Against what was logged."""
        return claim_of(self.more)


def estimate_slates(log: SlateLog, target: Floats, method: Weighing, level: float = 0.95) -> SlateEstimate:
    """Value of a policy that picks what was logged, given the picks before, with probabilities `target` (n, m).

    Refused where fewer effective slates than MIN_EFFECTIVE support it.
    """
    upto = _weights(log, target)
    weight = upto if method == "prefix" else upto[:, -1:]
    return _estimate(method, log, upto[:, -1], np.sum(weight * log.reward, axis=1), level)


def estimate_beyond_model(
    log: SlateLog, target: Floats, logged: Floats, drawn: Floats, level: float = 0.95
) -> SlateEstimate:
    """As `estimate_slates`, doubly robust: a model expects `logged` (n,) of the slates of the log, and `drawn` (n,) of
    slates that the policy drew for the same decisions."""
    whole = _weights(log, target)[:, -1]
    return _estimate("doubly robust", log, whole, drawn + whole * (np.sum(log.reward, axis=1) - logged), level)


def _weights(log: SlateLog, target: Floats) -> Floats:
    """Of every slate up to each slot, (n, m)."""
    if target.shape != log.probability.shape or not ((target >= 0.0) & (target <= 1.0)).all():
        raise Refused("value of slates: a policy needs the probability of every logged pick, between 0 and 1")
    upto = np.asarray(np.cumprod(target / log.probability, axis=1), dtype=np.float64)
    effective = effective_size(upto[:, -1])
    if effective < MIN_EFFECTIVE:
        raise Refused(
            f"value of slates: only {effective:.0f} effective slates support it, {MIN_EFFECTIVE:.0f} are needed"
        )
    return upto


def _estimate(method: SlateMethod, log: SlateLog, weight: Floats, worth: Floats, level: float) -> SlateEstimate:
    """Of what each decision is `worth` (n,), where a slate counts `weight` (n,) times."""
    more = mean_interval(worth - np.sum(log.reward, axis=1), level)
    return SlateEstimate(method, mean_interval(worth, level), effective_size(weight), more, float(weight.mean()))
