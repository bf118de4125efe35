"""Intents: what the catalogue says of them, which rules may read them, and what their limits hold back."""

import json
from dataclasses import replace

import pytest

from decisioning.catalogue.files import load, pack, read
from decisioning.catalogue.intents import CEILINGS, Intent, is_above
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import screened_for
from decisioning.errors import ConfigError
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.review.removed_gates import removed_gates
from tests import strategies as world

COUNT = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def intent(name: str, risk: str, extra: str = "") -> str:
    said = {language: [f"{language} {name} {word}" for word in COUNT] for language in ("nl", "en")}
    about = f"id: {name}, title: {{nl: X, en: X}}, issue: service, risk: {risk}{extra}"
    return f"  - {{{about}, examples: {json.dumps(said)}}}\n"


INTENTS = "intents:\n" + intent("bill", "status") + intent("pay", "money") + intent("leave", "leaving")
MESSAGES = """
signals:
  - id: call
    retention_days: 30
    fields:
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
      - {name: intent, dtype: FIELD, tags: [request]}
      - {name: wants_person, dtype: bool, tags: [request]}
features:
  - {name: wanted, dtype: string, source: signal, tags: [request], max_age_s: 86400,
     signal: {of: call, compute: last, field: intent}}
  - {name: asks_person, dtype: int, source: signal, tags: [request],
     signal: {of: call, where: {wants_person: true}, compute: count, window: 1h}}
""".replace("FIELD", "string")
HELP = """
actions:
  - id: answer
    issue: service
    group: answer
    tier: service
    value: 1
    purposes: [service]
    intent: [bill]
    treatments:
      - {id: web, channel: web, placements: [hero], content_ref: a}
      - {id: desk, channel: agent, placements: [suggestion], content_ref: a}
"""
WEB = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))
DESK = Ask(request_id="r", customer_id="c", channel="agent", placements=(PlacementAsk(name="suggestion"),))


def files(*more: str) -> dict[str, str]:
    return {**world.SMALL_FILES, **{f"x{n}.yaml": text for n, text in enumerate((INTENTS, MESSAGES, HELP, *more))}}


def release(*more: str) -> Release:
    return Release.from_bytes(pack(files(*more)))


def mistakes(*more: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(files(*more))
    return [problem.message for problem in caught.value.problems]


def test_what_names_no_intents_is_what_it_was() -> None:
    assert read(world.SMALL_FILES).intents == ()
    assert not any(world.SMALL.view(channel).intent_limits for channel in world.SMALL.channels)


def test_a_limit_is_that_of_the_risk_or_lower() -> None:
    assert [CEILINGS[risk] for risk in ("status", "change", "money", "leaving")] == [
        "automatic",
        "automatic",
        "suggest",
        "human_only",
    ]
    lowered = read({"a.yaml": "intents:\n" + intent("new", "money", ", automation: human_only")}).intents[0]
    assert (lowered.ceiling, lowered.needs_skill) == ("human_only", "new")
    assert is_above("automatic", "suggest")
    assert not is_above("human_only", "suggest")
    assert isinstance(lowered, Intent)


@pytest.mark.parametrize(
    ("ask", "wanted", "passes"),
    [
        (WEB, None, True),
        (WEB, "unknown", True),
        (WEB, "bill", True),
        (WEB, "pay", False),
        (WEB, "leave", False),
        (DESK, "leave", True),
    ],
)
def test_help_is_held_back_while_a_conversation_needs_a_person(ask: Ask, wanted: str | None, passes: bool) -> None:
    of = world.permissive()
    of = replace(of, facts={**of.facts, **({} if wanted is None else {"wanted": wanted})})
    screened = screened_for(ask, of, release(), now_us=world.NOW_US)
    held = {w.treatment: (w.gate, dict(w.facts)) for w in screened.withheld if w.treatment.startswith("answer.")}
    gate = ("action:automation", {"wanted": wanted})
    assert held == ({} if passes else {"answer.web": gate})


def test_what_answers_no_intent_and_what_sells_is_not_held_back() -> None:
    sells = HELP.replace("id: answer", "id: sale").replace("issue: service", "issue: grow")
    sells = sells.replace("tier: service", "tier: commercial").replace("[service]", "[marketing]")
    plain = HELP.replace("id: answer", "id: plain").replace("    intent: [bill]\n", "")
    of = world.permissive()
    leaving = replace(of, facts={**of.facts, "wanted": "leave"})
    screened = screened_for(WEB, leaving, release(sells, plain), now_us=world.NOW_US)
    assert {w.treatment for w in screened.withheld if w.gate == "action:automation"} == {"answer.web"}


POLICY = "policies: [{{id: new, level: applicability, permit: '{rule}', attach: {{action: {of}}}}}]"


def test_a_rule_about_help_may_read_the_intent_and_no_other_request() -> None:
    assert load(files(POLICY.format(rule='wanted == "bill"', of="answer"))).policies
    assert mistakes(POLICY.format(rule="asks_person == 0", of="answer")) == [
        "policy `new`: `permit`: `asks_person` is tagged `request`, and must not decide who is helped"
    ]


def test_a_rule_about_sales_may_not_read_the_intent() -> None:
    assert mistakes(POLICY.format(rule='wanted == "bill"', of="tv-bundle")) == [
        "policy `new`: `permit`: `wanted` is tagged `request`, and must not decide who is sold to"
    ]


@pytest.mark.parametrize(
    ("dtype", "says"),
    [
        ("int", ["an intent is a text, and `intent` is `int`"]),
        ("enum, values: [bill, pay, leave]", ["`unknown` is an intent, and no value of `intent`"]),
        ("enum, values: [bill, leave, unknown]", ["`pay` is an intent, and no value of `intent`"]),
    ],
)
def test_the_field_of_a_message_holds_every_intent(dtype: str, says: list[str]) -> None:
    wrong = {**files(), "x1.yaml": MESSAGES.replace("intent, dtype: string", f"intent, dtype: {dtype}")}
    with pytest.raises(ConfigError) as caught:
        load(wrong)
    messages = [problem.message.partition(": ")[2] for problem in caught.value.problems]
    assert [message for message in messages if "intent" in message and "feature" not in message][: len(says)] == says


def test_the_intent_of_a_conversation_ages() -> None:
    for_ever = {**files(), "x1.yaml": MESSAGES.replace(" max_age_s: 86400,", "")}
    with pytest.raises(ConfigError) as caught:
        load(for_ever)
    messages = [problem.message for problem in caught.value.problems]
    assert messages == ["feature `wanted`: it is the intent of a conversation, and never ages"]


def test_an_untagged_intent_is_refused() -> None:
    untagged = {**files(), "x1.yaml": MESSAGES.replace("dtype: string, tags: [request]}", "dtype: string}", 1)}
    with pytest.raises(ConfigError) as caught:
        load(untagged)
    assert any("`intent` says what the customer asks for, and is not tagged" in str(p) for p in caught.value.problems)


def test_a_limit_that_is_gone_is_told() -> None:
    def serving(help_: str) -> Release:
        return Release.from_bytes(pack({**files(), "x2.yaml": help_}))

    free = HELP.replace("    intent: [bill]\n", "")
    assert removed_gates(serving(HELP), serving(free)) == ["action:automation"]
    assert removed_gates(serving(free), serving(HELP)) == []
