"""For whom the figures and reasons of an answer are written: the customer, the agent or the company.

Each audience gets what is written for it and for those before it. What has no line here is the company's.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

Audience = Literal["customer", "agent", "company"]
AUDIENCES: Final[tuple[Audience, ...]] = ("customer", "agent", "company")
REASONS: Final[Mapping[str, Audience]] = {
    "tier.mandatory": "customer",
    "tier.service": "customer",
    "context": "customer",
    "propensity": "agent",
    "asserted": "agent",
    "uplift": "company",
    "lever": "company",
    "value.expected": "company",
}
"""Kind of reason -> for whom. A kind that is about a feature has its name behind a dot: `propensity.age`."""
FIGURES: Final[Mapping[str, Audience]] = {
    "propensity": "agent",
    "confidence": "agent",
    "uplift": "company",
    "evidence": "company",
    "value_eur": "company",
    "cost_eur": "company",
    "context_weight": "company",
    "lever": "company",
    "priority": "company",
    "probability": "company",
}
"""Figure of an offer or a candidate -> for whom; every other field of theirs is for all."""
_FIGURES_OF_REASONS: Final[Mapping[str, Audience]] = {
    "use": "agent",
    "direction": "agent",
    "strength": "agent",
    "figure": "company",
}
_USES: Final[Mapping[Audience, tuple[str, ...]]] = {"customer": ("shown",), "agent": ("shown", "said")}
"""Audience -> the uses of the reasons that it gets with an offer; the company gets all."""


def sees(audience: Audience, written_for: Audience) -> bool:
    """Tell whether an audience gets what is written for another."""
    return AUDIENCES.index(written_for) <= AUDIENCES.index(audience)


def is_reason_for(audience: Audience, code: str) -> bool:
    """Tell whether an audience gets the reason of this code."""
    return sees(audience, REASONS.get(code) or REASONS.get(code.partition(".")[0], "company"))


def with_offer(audience: Audience, reason: Mapping[str, Any]) -> bool:
    """Tell whether an audience gets a reason with an offer; of those about features, a customer only what is for it."""
    if "use" not in reason:
        return is_reason_for(audience, reason["code"])
    if audience == "company":
        return True
    return reason["use"] in _USES[audience] and (audience != "customer" or reason["direction"] == "for")


def on_request(audience: Audience, reason: Mapping[str, Any]) -> bool:
    """Tell whether an audience gets a reason in an explanation that it asked for."""
    if "use" not in reason:
        return is_reason_for(audience, reason["code"])
    return audience == "company" or reason["use"] is not None


def _reason_for(audience: Audience, reason: Mapping[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in reason.items() if sees(audience, _FIGURES_OF_REASONS.get(k, "customer"))}


def figures_for(audience: Audience, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an offer or a candidate with the figures that an audience gets."""
    return {name: value for name, value in item.items() if sees(audience, FIGURES.get(name, "customer"))}


def answer_for(audience: Audience, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as an audience gets it. A customer learns that a person is called, and not why."""
    if audience == "company":
        return answer
    placements = [{**p, "offers": [_offer_for(audience, offer) for offer in p["offers"]]} for p in answer["placements"]]
    handover = answer["handover"]
    if handover is not None and audience == "customer":
        handover = {**handover, "reason": None}
    return {**answer, "placements": placements, "handover": handover}


def _offer_for(audience: Audience, offer: Mapping[str, Any]) -> dict[str, Any]:
    reasons = [_reason_for(audience, reason) for reason in offer["reasons"] if with_offer(audience, reason)]
    return {**figures_for(audience, offer), "reasons": reasons}
