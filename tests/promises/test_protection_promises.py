"""Special data, minors and vulnerability: one test for each promise."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.facts.forms import Ask, Known, canonical
from decisioning.rules import Direction, compile_rule, directions
from features.matrix import FeatureMatrix
from tests import strategies as world
from tests.examples import examples
from tests.promises.larger_world import (
    EXAMPLES,
    RELEASE,
    ask_on,
    asks,
    check_errors,
    customers,
    offers_in,
    permitted,
    screening,
    selling,
    willing,
    with_more,
)

SECRET = ("illness", "postcode")
FLAGS: dict[str, Any] = {
    "hardship": True,
    "vulnerable": True,
    "bereaved": True,
    "arrears_eur": 250.0,
    "open_complaint": True,
}
SALE = "actions: [{{id: new, issue: grow, group: tv, tier: commercial, {}}}]"
PLACES = (
    "value: {{expression: '{0} * 2.0', typical: 1}}",
    "value: 1, cost: {{expression: '{0} * 2.0', typical: 1}}",
    "value: 1, context_weights: [{{when: '{0} > 3', factor: 2}}]",
)


@pytest.mark.promise("protection.special-categories")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.integers(0, 9999), st.booleans())
def test_special_categories_and_proxies_never_reach_a_model(
    ask: Ask, customer: Known, postcode: int, ill: bool
) -> None:
    def decided(**facts: Any) -> dict[str, Any]:
        record = world.run(ask, replace(customer, facts={**customer.facts, **facts}), RELEASE, score=by_inputs()).record
        return {k: v for k, v in record.items() if k not in ("facts",)}

    bare = {k: v for k, v in customer.facts.items() if k not in SECRET}
    customer = replace(customer, facts=bare)
    assert canonical(decided(postcode=postcode, illness=ill)) == canonical(decided())


def by_inputs() -> world.CountingScorer:
    """Return a scorer that depends on everything that a model may read."""
    matrix = FeatureMatrix(RELEASE.schema)
    return world.CountingScorer(of=lambda c, facts: (hash((matrix.row(facts).tobytes(), c)) % 97 + 1) / 200)


@pytest.mark.promise("protection.special-categories")
@pytest.mark.parametrize("name", SECRET)
def test_special_categories_and_proxies_are_refused_wherever_they_would_sell(name: str) -> None:
    assert not RELEASE.schema[name].learnable
    assert not any(name in column for column in FeatureMatrix(RELEASE.schema).names)
    number = "postcode" if name == "postcode" else "(illness ? 1 : 0)"
    expected = "a proxy for `ethnic-origin`" if name == "postcode" else "tagged `special-category`"
    for place in PLACES:
        assert expected in check_errors(SALE.format(place.format(number)))
    rule = f"{{id: new, level: eligibility, attach: {{group: tv}}, permit: '{number} > 3'}}"
    assert expected in check_errors(f"policies: [{rule}]")


@pytest.mark.promise("protection.age")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from([None, 0, 12, 17, 17.99, "old", True]))
def test_nobody_of_unknown_age_or_under_it_is_profiled(ask: Ask, customer: Known, age: Any) -> None:
    score = world.CountingScorer()
    young = replace(customer, facts={**customer.facts, "age": age})
    decision = world.run(ask, young, RELEASE, score=score)
    assert score.scored == []
    for offer in offers_in(decision.answer):
        assert offer["propensity"] == RELEASE.catalogue.prior(RELEASE.actions[offer["action"]])
    assert "loyalty-discount.agent" not in permitted(ask_on("agent"), replace(willing(), facts=young.facts))


@pytest.mark.promise("protection.age")
def test_the_age_that_counts_is_data() -> None:
    score = world.CountingScorer()
    world.run(ask_on("web"), willing(age=19), with_more(adult_age=21), score=score)
    assert score.scored == []
    world.run(ask_on("web"), willing(age=21), with_more(adult_age=21), score=score)
    assert score.scored
    with pytest.raises(Exception, match="nothing says which feature is the age"):
        with_more(age_feature="null")


@pytest.mark.promise("protection.need-helped-first")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from(["hardship", "vulnerable", "bereaved", "arrears_eur"]))
def test_who_is_in_need_is_sold_nothing_lent_nothing_and_helped_first(ask: Ask, customer: Known, flag: str) -> None:
    in_need = replace(customer, facts={**customer.facts, flag: FLAGS[flag]})
    assert not selling(permitted(ask, in_need))
    offers = offers_in(world.run(ask, in_need, RELEASE).answer)
    assert all(o["tier"] in ("mandatory", "service") for o in offers)
    unknown = replace(customer, facts={**customer.facts, "vulnerable": None})
    assert not selling(permitted(ask, unknown)), "not known is not no"


@pytest.mark.promise("protection.need-helped-first")
@pytest.mark.parametrize("flag", sorted(FLAGS))
def test_help_is_there_when_sales_go(flag: str) -> None:
    usual, in_need = permitted(ask_on("web"), willing()), permitted(ask_on("web"), willing(**{flag: FLAGS[flag]}))
    assert selling(usual)
    assert in_need == usual - selling(usual)
    assert in_need


@pytest.mark.promise("protection.flags-only-protect")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from(sorted(FLAGS)))
def test_a_flag_only_removes_sales_or_adds_help(ask: Ask, customer: Known, flag: str) -> None:
    calm = {"hardship": False, "vulnerable": False, "bereaved": False, "arrears_eur": 0.0, "open_complaint": False}
    without, flagged = (
        screening(ask, replace(customer, facts={**customer.facts, flag: v})) for v in (calm[flag], FLAGS[flag])
    )
    names = without.view.ids
    before = {n for n, in_ in zip(names, without.permitted, strict=True) if in_}
    after = {n for n, in_ in zip(names, flagged.permitted, strict=True) if in_}
    assert selling(after) <= selling(before)
    assert before - selling(before) <= after - selling(after)
    for column in ("value_eur", "cost_eur", "weight", "lever"):
        one, two = getattr(without.worth, column), getattr(flagged.worth, column)
        both = without.permitted & flagged.permitted
        assert (one[both] == two[both]).all()


@pytest.mark.promise("protection.flags-only-protect")
@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("policies: [{id: n, level: eligibility, attach: {group: tv}, permit: vulnerable}]", "only take sales away"),
        ("policies: [{id: n, level: contact, attach: {group: tv}, deny: '!vulnerable'}]", "only take sales away"),
        ("policies: [{id: n, level: contact, attach: {group: tv}, permit: arrears_eur > 9}]", "only take sales away"),
        ("policies: [{id: n, level: contact, attach: {issue: service}, permit: '!vulnerable'}]", "only add help"),
        ("policies: [{id: n, level: contact, attach: all, deny: 'arrears_eur > 9'}]", "only add help"),
        (SALE.format("value: {expression: arrears_eur * 2.0, typical: 1}"), "what a sale is worth"),
        (SALE.format("value: 1, cost: {expression: arrears_eur * 2.0, typical: 1}"), "what a sale is worth"),
        (SALE.format("value: 1, context_weights: [{when: '!vulnerable', factor: 2}]"), "what a sale is worth"),
        ("protections: [{id: n, kind: arrears, when: tenure_months > 3}]", "a model may read it"),
    ],
)
def test_a_flag_that_would_sell_or_deny_help_is_refused(sections: str, expected: str) -> None:
    assert expected in check_errors(sections)


@pytest.mark.parametrize(
    "sections",
    [
        "policies: [{id: n, level: eligibility, attach: {group: tv}, deny: vulnerable}]",
        "policies: [{id: n, level: eligibility, attach: {group: tv}, permit: arrears_eur <= 9}]",
        "policies: [{id: n, level: contact, attach: {issue: hardship}, permit: 'vulnerable || arrears_eur > 9'}]",
    ],
)
def test_a_flag_that_protects_is_accepted(sections: str) -> None:
    assert check_errors(sections) == ""


RULES = st.recursive(
    st.sampled_from(["vulnerable", "arrears_eur > 9.0", "arrears_eur <= 3.0", "age >= 18", 'contract == "monthly"']),
    lambda below: st.one_of(
        below.map(lambda r: f"!({r})"),
        st.tuples(below, st.sampled_from(["&&", "||"]), below).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        st.tuples(below, below, below).map(lambda t: f"(({t[0]}) ? ({t[1]}) : ({t[2]}))"),
    ),
    max_leaves=5,
)


@pytest.mark.promise("protection.flags-only-protect")
@settings(max_examples=examples(200), deadline=None)
@given(RULES, st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.booleans())
def test_which_way_a_fact_moves_a_rule_is_told_truly(rule: str, one: int, two: int, age: int, monthly: bool) -> None:
    compiled = compile_rule(rule, RELEASE.schema.features)
    way = directions(compiled.node).get(("arrears_eur", None), Direction.NONE)
    rest = {"age": age, "contract": "monthly" if monthly else "yearly", "vulnerable": monthly}
    low, high = (compiled.truth({**rest, "arrears_eur": float(v)}, lambda *_: 0) is True for v in sorted((one, two)))
    assert way is not Direction.UP or low <= high
    assert way is not Direction.DOWN or low >= high
    assert way is not Direction.NONE or low == high


@pytest.mark.promise("protection.complaint-leads-with-service")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from([True, None]))
def test_an_open_complaint_or_unsolved_issue_removes_sales_and_leads_with_service(
    ask: Ask, customer: Known, open_issue: bool | None
) -> None:
    waiting = replace(customer, facts={**customer.facts, "open_complaint": open_issue})
    assert not selling(permitted(ask, waiting))
    offers = offers_in(world.run(ask, waiting, RELEASE).answer)
    assert all(o["tier"] != "commercial" for o in offers)
    kinds = {k for p in RELEASE.catalogue.protections if p.id == "complaint" for k in p.kind}
    assert kinds == {"complaint", "service-issue"}
