"""The actions that a record is attached to, and the rule of a policy."""

import pytest
from pydantic import ValidationError

from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.policies import EVERYTHING, Attach, Cap, Persona, Policy


def covered(small: Catalogue, attach: object) -> set[str]:
    return {action.id for action in small.actions if Attach.model_validate(attach).covers(action)}


def test_attached_to_all_or_to_some(small: Catalogue) -> None:
    everything = {action.id for action in small.actions}
    assert covered(small, "all") == covered(small, {"all": True}) == everything
    assert covered(small, {"issue": "hardship"}) == {"payment-plan"}
    assert covered(small, {"group": ("tv", "mobile")}) == {"tv-bundle", "sports-channel", "family-data"}
    assert covered(small, {"action": ("fix-router",)}) == {"fix-router"}


@pytest.mark.parametrize(
    "attach", [{}, {"all": False}, {"issue": "grow", "group": "tv"}, {"issue": ()}, {"all": True, "action": "x"}]
)
def test_attached_to_exactly_one_kind(attach: object) -> None:
    with pytest.raises(ValidationError):
        Attach.model_validate(attach)


def test_the_rule_of_a_policy_is_whichever_it_has(small: Catalogue) -> None:
    rules = {policy.id: policy.rule for policy in small.policies}
    assert rules["adults-only"] == "age >= 18"
    assert rules["has-no-tv"] == "has_tv"
    assert Policy(id="new", level="contact", permit="age > 3").attach == EVERYTHING


def test_a_cap_is_for_sales_unless_it_says_more() -> None:
    cap = Cap(id="new", count="action", limit=1, window_days=0.5)
    assert cap.tiers == ("commercial",)
    assert cap.window_us == 43_200_000_000


def test_a_persona_lives_at_its_time(small: Catalogue) -> None:
    by_id = {persona.id: persona for persona in small.personas}
    assert by_id["tv-fan"].as_of_us == 1_794_312_000_000_000
    anybody = {"id": "new", "channel": "web", "placements": ("hero",), "expect": {"none": True}}
    assert Persona.model_validate(anybody).as_of_us is None
    assert [consent.channel for consent in by_id["tv-fan"].consents] == ["*", "*"]
