"""Filters only narrow, and unknown denies."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.actions import full_id
from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.errors import SealBroken
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Consent
from tests import strategies as world
from tests.examples import examples

EXAMPLES = examples(100)


def with_policies(*extra: str) -> Release:
    files = {**world.SMALL_FILES, "extra.yaml": "policies:\n" + "\n".join(f"  - {p}" for p in extra)}
    return Release.from_bytes(pack(files))


STRICTER = tuple(
    with_policies(f"{{id: extra, level: {level}, attach: {attach}, {rule}}}")
    for level, attach, rule in [
        ("eligibility", "all", 'permit: "age >= 30"'),
        ("applicability", "{issue: service}", 'deny: "has_tv"'),
        ("suitability", "{group: tv}", 'deny: "tenure_months < 12.0"'),
        ("contact", "{action: fix-router}", 'permit: "page == \\"help\\""'),
    ]
)


@pytest.mark.promise("filters.only-take-out")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.sampled_from(STRICTER))
def test_one_more_policy_never_adds_a_candidate(ask: Ask, customer: Known, stricter: Release) -> None:
    assert world.permitted(ask, customer, stricter) <= world.permitted(ask, customer)


@pytest.mark.promise("filters.only-take-out")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.data())
def test_forgetting_a_consent_never_adds_a_candidate_that_needs_it(
    ask: Ask, customer: Known, data: st.DataObject
) -> None:
    granted = [c for c in customer.person.consents if c.status == "granted"]
    removed = data.draw(st.sampled_from(granted)) if granted else None
    less = replace(
        customer,
        person=replace(customer.person, consents=tuple(c for c in customer.person.consents if c is not removed)),
    )
    assert world.permitted(ask, less) <= world.permitted(ask, customer)


@pytest.mark.promise("consent.withdrawal-binds")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.sampled_from(sorted(world.SMALL.purposes)), st.sampled_from(["*", "web"]))
def test_a_withdrawal_never_adds_a_candidate(ask: Ask, customer: Known, purpose: str, channel: str) -> None:
    withdrawal = Consent(purpose, channel, "withdrawn", "test", "2026-01", world.NOW_US, None, 99)
    others = tuple(c for c in customer.person.consents if (c.purpose, c.channel) != (purpose, channel))
    assert world.permitted(
        ask, replace(customer, person=replace(customer.person, consents=(*others, withdrawal)))
    ) <= world.permitted(ask, customer)


@pytest.mark.promise("filters.only-take-out")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.sampled_from(sorted(f.name for f in world.SMALL.catalogue.features)))
def test_an_unknown_fact_never_adds_a_candidate(ask: Ask, customer: Known, name: str) -> None:
    """Three features are left out: the small catalogue's expressions state a default for them."""
    if name in ("hardship", "arrears_eur", "churn_risk"):
        return
    less = replace(customer, facts={k: v for k, v in customer.facts.items() if k != name})
    assert world.permitted(ask, less) <= world.permitted(ask, customer)


@pytest.mark.promise("filters.offers-passed-all")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known())
def test_what_is_offered_passed_every_filter(ask: Ask, customer: Known) -> None:
    offered = [o["treatment"] for p in world.run(ask, customer).answer["placements"] for o in p["offers"]]
    assert set(offered) <= world.permitted(ask, customer)
    assert len({t.partition(".")[0] for t in offered}) == len(offered)


@pytest.mark.promise("consent.no-marketing-without-consent")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known())
def test_only_who_passed_is_scored(ask: Ask, customer: Known) -> None:
    score = world.CountingScorer()
    world.run(ask, customer, score=score)
    scored = {full_id(*world.SMALL.candidates[c]) for c in score.scored}
    assert scored <= world.permitted(ask, customer)


@pytest.mark.promise("consent.no-marketing-without-consent")
def test_without_consent_marketing_is_neither_shown_nor_scored() -> None:
    score = world.CountingScorer()
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=3),))
    decision = world.run(ask, world.without_consents(world.permissive()), score=score)
    offers = decision.answer["placements"][0]["offers"]
    assert {o["issue"] for o in offers} == {"service"}
    assert score.scored == []


@pytest.mark.promise("consent.no-profiling-without-permission")
def test_marketing_without_profiling_uses_the_catalogues_prior_alone() -> None:
    customer = world.permissive()
    less = replace(
        customer,
        person=replace(
            customer.person, consents=tuple(c for c in customer.person.consents if c.purpose != "profiling")
        ),
    )
    score = world.CountingScorer()
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=5),))
    decision = world.run(ask, less, score=score)
    assert score.scored == []
    for offer in decision.answer["placements"][0]["offers"]:
        assert offer["propensity"] == world.SMALL.catalogue.prior(world.SMALL.actions[offer["action"]])
        assert not any(r["code"].startswith("propensity.monthly") for r in offer["reasons"])
    assert decision.answer["model"] == "prior@0"


@pytest.mark.promise("protection.sales-out-help-in")
@pytest.mark.parametrize("flag", ["hardship", "vulnerable", "open_complaint"])
@pytest.mark.parametrize("value", [True, None])
def test_need_of_protection_removes_sales_and_lets_help_through(flag: str, value: bool | None) -> None:
    customer = world.permissive()
    if flag == "hardship" and value is None:
        value = True  # the small catalogue states a default for this one
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=5),))
    decision = world.run(ask, replace(customer, facts={**customer.facts, flag: value}))
    issues = [o["issue"] for o in decision.answer["placements"][0]["offers"]]
    assert issues
    assert not {"grow", "retain", "nurture"} & set(issues)


def test_a_scorer_that_answers_nonsense_decides_nothing() -> None:
    score = world.CountingScorer(of=lambda c, f: 1.5)
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))
    with pytest.raises(SealBroken):
        decide(
            ask,
            world.permissive(),
            world.SMALL,
            score,
            DecisionContext(assigned_model="m", now_us=world.NOW_US, decision_id="d"),
        )


def test_paused_actions_are_out() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=5),))
    offered = {o["action"] for o in world.run(ask, world.permissive()).answer["placements"][0]["offers"]}
    paused = frozenset({sorted(offered)[0]})
    again = world.run(ask, world.permissive(), paused=paused)
    assert not paused & {o["action"] for o in again.answer["placements"][0]["offers"]}
