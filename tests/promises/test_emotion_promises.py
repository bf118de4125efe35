"""Emotion and manipulation: one test for each promise."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.wording import claims, pretended_feeling
from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, Known
from decisioning.facts.signals import MOOD_FIELDS, REQUEST_FIELDS
from features.messages.event import FIELDS, message_fields
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

SALE = "actions: [{{id: new, issue: grow, group: tv, tier: commercial, {}}}]"
MOODS = st.sampled_from([-1.0, -0.6, 0.0, 1.0, None])


@pytest.mark.promise("emotion.never-sells")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), MOODS, MOODS)
def test_emotion_never_sells(ask: Ask, customer: Known, one: float | None, two: float | None) -> None:
    def computed(mood: float | None) -> list[bytes]:
        customer_in_mood = replace(customer, facts={**customer.facts, "sentiment": mood})
        screened = screening(ask, customer_in_mood)
        scores = world.run(ask, customer_in_mood, RELEASE).record["scores"]["propensity"]
        worth = screened.worth
        columns = (screened.permitted, worth.value_eur, worth.cost_eur, worth.weight, worth.lever)
        return [*(c.tobytes() for c in columns), repr(scores).encode()]

    assert computed(one) == computed(two)


@pytest.mark.promise("emotion.never-sells")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers())
def test_who_is_upset_is_sold_nothing_and_lent_nothing(ask: Ask, customer: Known) -> None:
    upset = replace(willing(**customer.facts), facts={**willing().facts, "sentiment": -0.9})
    offered = {o["treatment"] for o in offers_in(world.run(ask, upset, RELEASE).answer)}
    assert not selling(offered)


@pytest.mark.promise("emotion.never-sells")
@pytest.mark.parametrize(
    "sections",
    [
        SALE.format("value: {expression: sentiment * 2.0, typical: 1}"),
        SALE.format("value: 1, cost: {expression: sentiment * 2.0, typical: 1}"),
        SALE.format("value: 1, context_weights: [{when: sentiment < 0.0, factor: 2}]"),
        "policies: [{id: n, level: eligibility, attach: {group: tv}, permit: sentiment > 0.0}]",
        "policies: [{id: n, level: contact, attach: {issue: service}, permit: sentiment > 0.0}]",
        "protections: [{id: n, kind: complaint, when: sentiment < 0.0}]",
    ],
)
def test_emotion_is_refused_wherever_it_would_decide(sections: str) -> None:
    assert "`sentiment` is tagged `emotion`" in check_errors(sections)


WISH = "features: [{name: wish, dtype: bool, tags: [request]}, {name: sulks, dtype: int, tags: [request]}]\n"


@pytest.mark.promise("requests.never-sell")
@pytest.mark.parametrize(
    "sections",
    [
        SALE.format("value: {expression: sulks * 2, typical: 1}"),
        SALE.format("value: 1, cost: {expression: sulks * 2, typical: 1}"),
        SALE.format("value: 1, context_weights: [{when: wish, factor: 2}]"),
        "policies: [{id: n, level: eligibility, attach: {group: tv}, permit: wish}]",
        "policies: [{id: n, level: contact, attach: {issue: service}, deny: wish}]",
        "protections: [{id: n, kind: complaint, when: wish}]",
    ],
)
def test_a_request_is_refused_wherever_it_would_decide_a_sale_or_a_worth(sections: str) -> None:
    assert "is tagged `request`" in check_errors(WISH + sections)


@pytest.mark.promise("requests.never-sell")
def test_a_request_reaches_no_model_and_no_counterfactual() -> None:
    for feature in (with_more(WISH).schema[name] for name in ("wish", "sulks")):
        assert not feature.learnable
        assert not feature.may_sell
        assert feature.why_not_changeable == "tagged `request`"


SCORED = """signals: [{{id: call, retention_days: 1, fields: [
  {{name: sentiment, dtype: float{}}}, {{name: {}, dtype: {}{}}}]}}]"""


@pytest.mark.promise("requests.never-sell")
@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_what_is_heard_in_messages_is_refused_without_its_tag(name: str) -> None:
    """Features have the tags of the fields that they read, so an untagged field would reach models and sales."""
    mood = ", tags: [emotion]"
    untagged = check_errors(SCORED.format(mood, name, "bool", ""))
    assert f"`{name}` says what the customer asks for, and is not tagged `request`" in untagged
    for tag in ("request", "emotion"):
        assert not check_errors(SCORED.format(mood, name, "bool", f", tags: [{tag}]"))


@pytest.mark.promise("emotion.never-sells")
def test_the_mood_of_messages_is_refused_without_its_tag() -> None:
    assert tuple(f.name for f in FIELDS if "emotion" in f.tags and f.dtype != "string") == MOOD_FIELDS
    for name in MOOD_FIELDS[1:]:
        untagged = check_errors(SCORED.format("", name, "float", ""))
        assert "`sentiment` says how the customer feels, and is not tagged `emotion`" in untagged
        assert f"`{name}` says how the customer feels, and is not tagged `emotion`" in untagged
    assert not check_errors(SCORED.format("", "level", "int", "").replace("sentiment", "seconds"))  # no message


@pytest.mark.promise("emotion.voice-and-face")
@pytest.mark.parametrize("basis", ["voice", "face"])
def test_voice_and_face_need_explicit_consent_and_workers_are_never_scored(basis: str) -> None:
    score = {"sentiment": -0.5, "model": "m", "basis": basis}
    with pytest.raises(RequestError, match="explicit consent"):
        message_fields({"text": "hello", "score": score}, keep_text=False)
    assert message_fields({"text": "hello", "score": score}, keep_text=False, voice_allowed=True)["sentiment"] == -0.5
    for anything in (score, {**score, "basis": "text"}):
        with pytest.raises(RequestError, match="about a worker"):
            message_fields({"text": "hi", "author": "agent", "score": anything}, keep_text=False, voice_allowed=True)
    assert "sentiment" not in message_fields({"text": "I am furious", "author": "agent"}, keep_text=False)


@pytest.mark.promise("wording.scarcity-needs-a-fact")
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from([None, 0, 1, 3, -1, "some", True, float("nan")]),
    st.sampled_from([None, world.NOW_US - 1, world.NOW_US, world.NOW_US + 1, "soon", True]),
)
def test_claims_of_scarcity_and_deadlines_need_a_fact_that_proves_them(stock: Any, ends: Any) -> None:
    customer = willing()
    customer = replace(customer, facts={**customer.facts, "stock_left": stock, "offer_ends_at": ends})
    proven = stock in (1, 3) and stock is not True and ends == world.NOW_US + 1
    assert ("match-pass.web" in permitted(ask_on("web"), customer)) is proven


PRESSURE = [
    ("scarcity", "Only 3 left!"),
    ("scarcity", "Only {stock_left} left"),
    ("scarcity", "While stocks last"),
    ("scarcity", "Nog maar 3 op voorraad"),
    ("scarcity", "Nog slechts\nenkele plekken"),
    ("scarcity", "OP = OP"),
    ("scarcity", "Zolang de voorraad strekt"),
    ("deadline", "Ends tonight"),
    ("deadline", "Last chance"),
    ("deadline", "Don’t miss out"),
    ("deadline", "Only 2 days left"),
    ("deadline", "Laatste kans"),
    ("deadline", "Alleen vandaag"),
    ("deadline", "Nog maar 30 dagen"),
    ("deadline", "Eindigt vanavond"),
]


@pytest.mark.promise("wording.scarcity-needs-a-fact")
@pytest.mark.parametrize(("kind", "text"), PRESSURE)
def test_words_that_press_are_found_in_both_languages(kind: str, text: str) -> None:
    assert [k for k, _ in claims(text)] == [kind]
    quoted = text.replace("\n", " ").replace('"', "'")
    content = f'content: {{nl: {{title: "{quoted}"}}, en: {{title: "{quoted}"}}}}'
    treatment = f"treatments: [{{id: x, channel: web, placements: [hero], {content}}}]"
    errors = check_errors(SALE.format(f"value: 1, {treatment}"))
    assert f"presses with a {kind} that no fact proves" in errors


FEELINGS = [
    "I understand how you feel",
    "We truly understand what you are going through",
    "We feel your frustration",
    "I know how frustrating this is",
    "We share your disappointment",
    "I feel for you",
    "We are as upset as you are",
    "That must be really difficult",
    "Wij begrijpen hoe u zich voelt",
    "We snappen heel goed hoe je je voelt",
    "Ik begrijp je boosheid",
    "Wij voelen met u mee",
    "We leven met je mee",
    "We weten hoe vervelend dit voor u is",
    "Dat moet heel moeilijk voor je zijn",
    "Wij zijn net zo teleurgesteld als u",
    "I under\u00adstand **how** you\u00a0feel",
]
HONEST = [
    "We are sorry this took so long. We call you back today.",
    "Tell us how we can help; we listen.",
    "We understand your bill is hard to read: here is what each line means.",
    "Condoleer, en neem de tijd.",
    "Vraag wat er misging en luister.",
    "Wij begrijpen uw vraag en zoeken het uit.",
    "Je contract loopt bijna af.",
    "Your contract is nearly over.",
    "For now only 10 euros.",
]


@pytest.mark.promise("wording.no-pretended-feelings")
@pytest.mark.parametrize("text", FEELINGS)
def test_pretending_to_feel_is_refused_with_the_words_that_caused_it(text: str) -> None:
    words = pretended_feeling(text)
    assert words
    title = f'{{title: "{text}"}}'
    for spoken in ("content: {{nl: {0}, en: {{title: a}}}}", "content_ref: a, tone: {{calm: {{en: {0}}}}}"):
        treatment = f"treatments: [{{id: x, channel: web, placements: [hero], {spoken.format(title)}}}]"
        assert f"claims to feel what the customer feels: `{words}`" in check_errors(
            SALE.format(f"value: 1, {treatment}")
        )


@pytest.mark.promise("wording.no-pretended-feelings")
@pytest.mark.parametrize("text", HONEST)
def test_honest_words_are_left_alone(text: str) -> None:
    assert pretended_feeling(text) is None
    assert list(claims(text)) == []


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(FEELINGS), st.sampled_from([str.upper, str.lower]), st.sampled_from([" ", "  ", "\n"]))
def test_neither_case_nor_spacing_hides_them(text: str, case: Any, gap: str) -> None:
    assert pretended_feeling(case(text).replace(" ", gap))
