"""The demo operator's catalogue: complete, consistent, and suitable for customers."""

import re

import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.policies import REQUIRED_PROTECTIONS
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.ethics import mood
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Consent, Standing
from training.simulator.telecom import AS_OF_US, CHANNELS, catalogue_files

FILES = catalogue_files()
CATALOGUE = load(FILES, "prod")
RELEASE = Release.from_bytes(pack(FILES))
TREATMENTS = [(a, t) for a in CATALOGUE.actions for t in a.treatments]
CALLED_BACK = {calendar.channel for calendar in CATALOGUE.calendars}
"""Channels of appointments alone."""
POP_UP = "pop-up"
"""The channel that moments alone open."""
PRICE = {"nl": re.compile(r"€ (\d+(?:,\d\d)?)"), "en": re.compile(r"€(\d+(?:\.\d\d)?)")}
NEVER_SAID = re.compile(
    r"\b(laatste kans|nog maar|alleen vandaag|op=op|zolang de voorraad|mis het niet|haast|"
    r"last chance|only today|hurry|while stocks last|don't miss|limited time|"
    r"wij voelen|we voelen|wij begrijpen hoe|we begrijpen hoe|ik voel|we feel|i feel|"
    r"we understand how|we know how you)\b",
    re.IGNORECASE,
)


def texts():
    for action, treatment in TREATMENTS:
        for content in (treatment.content, *treatment.tone.values()):
            for locale, fields in content.items():
                yield action, f"{action.id}.{treatment.id}", locale, " ".join(fields.values())


def test_the_whole_world_is_there():
    assert len(CATALOGUE.features) >= 22
    assert len(CATALOGUE.actions) >= 24
    assert {a.issue for a in CATALOGUE.actions} == {"grow", "retain", "service", "nurture", "hardship"}
    assert {a.tier for a in CATALOGUE.actions} == {"mandatory", "service", "commercial"}
    assert len({a.group for a in CATALOGUE.actions}) >= 8
    assert sorted(c.id for c in CATALOGUE.channels) == sorted([*CHANNELS, *CALLED_BACK, POP_UP])
    assert {p.level for p in CATALOGUE.policies} == {"eligibility", "applicability", "suitability", "contact"}
    assert {kind for p in CATALOGUE.protections for kind in p.kind} == set(REQUIRED_PROTECTIONS)


def test_every_channel_and_placement_is_used():
    used = {(t.channel, p) for _, t in TREATMENTS for p in t.placements}
    assert used == {(c.id, p) for c in CATALOGUE.channels if c.id not in CALLED_BACK for p in c.placements}


def test_every_treatment_speaks_both_languages_with_the_same_fields():
    for _, treatment in TREATMENTS:
        for content in (treatment.content, *treatment.tone.values()):
            assert set(content) == {"nl", "en"}
            assert set(content["nl"]) == set(content["en"])


def test_a_price_in_a_text_is_the_price_of_the_action():
    for action, treatment, locale, text in texts():
        for price in PRICE[locale].findall(text):
            assert float(price.replace(",", ".")) == action.price_eur, (treatment, text)


def test_no_pressure_and_no_pretended_feelings():
    assert [(t, text) for _, t, _, text in texts() if NEVER_SAID.search(text)] == []


def test_text_messages_that_sell_say_how_to_stop():
    for action, treatment, _, text in texts():
        if action.commercial and ".text" in treatment:
            assert "STOP" in text


def test_files_are_short_enough_to_read():
    assert all(len(text.splitlines()) < 400 and max(map(len, text.splitlines())) <= 180 for text in FILES.values())


def prior(_facts, candidates):
    raise AssertionError("nobody of the personas allowed profiling")


@pytest.mark.parametrize("persona", CATALOGUE.personas, ids=lambda p: p.id)
def test_persona(persona):
    now_us = persona.as_of_us or AS_OF_US
    consents = tuple(
        Consent(c.purpose, c.channel, c.status, "test", "2026-01", now_us - 1, None, n)
        for n, c in enumerate(persona.consents)
    )
    placements = tuple(PlacementAsk(name=p) for p in persona.placements)
    ask = Ask(request_id="r", customer_id="c", account_id="a", channel=persona.channel, placements=placements)
    customer = Known(persona.facts, Standing("p", 1, consents), Standing("a", 1))
    decision = decide(
        ask, customer, RELEASE, prior, DecisionContext(assigned_model="prior@0", now_us=now_us, decision_id="d-1")
    )
    offered = [o["action"] for p in decision.answer["placements"] for o in p["offers"]]
    assert persona.expect.action is None or offered[0] == persona.expect.action
    assert not persona.expect.none or offered == []
    withheld = {
        (w.treatment.split(".")[0], w.gate) for w in screened_for(ask, customer, RELEASE, now_us=now_us).withheld
    }
    assert set(persona.expect.withheld.items()) <= withheld


@pytest.mark.promise("messages.handover-terms")
def test_every_handover_says_what_it_is_about_and_requests_say_by_when() -> None:
    rules = [rule for rule in CATALOGUE.emotion if rule.handover]
    assert all(rule.kind and rule.silence_sales for rule in rules)
    due = {rule.kind: rule.within_days or CATALOGUE.settings.days_to_answer(rule.kind) for rule in rules}
    assert {kind: days for kind, days in due.items() if days} == {
        "access": 28,
        "erasure": 28,
        "objection": 28,
        "complaint": 21,
    }
    assert all(set(rule.text) in (set(), {"nl", "en"}) for rule in rules)


@pytest.mark.promise("messages.handover-terms")
def test_danger_comes_first_with_the_crisis_line_and_someone_trained_for_it() -> None:
    everything = dict.fromkeys(("complaints_24h", "asks_for_person_1h", "needs_care_24h", "urgent_care_24h"), 1)
    call = mood(RELEASE, everything, lambda *_: 0, {}).call
    assert call is not None
    assert (call.kind, call.first, call.needs) == ("care", True, ("vulnerable",))
    assert "113" in call.text["nl"]
    assert mood(RELEASE, {**everything, "urgent_care_24h": 0}, lambda *_: 0, {}).handover == "needs care"


@pytest.mark.promise("requests.never-sell")
def test_what_is_inferred_of_a_message_names_no_need_and_reaches_no_model_and_no_sale() -> None:
    needs = {"bereavement", "money", "danger", "violence"}
    fields = {field.name for field in RELEASE.signals["message"].fields}
    values = {value for field in RELEASE.signals["message"].fields for value in field.values}
    assert needs.isdisjoint(fields | values | {feature.name for feature in CATALOGUE.features})
    assert needs.isdisjoint(word for rule in CATALOGUE.emotion for word in (rule.handover or "").split())
    of_messages = [f for f in CATALOGUE.features if f.signal and "message" in f.signal.of]
    assert of_messages
    assert [f.name for f in of_messages if f.learnable or f.may_sell] == []


@pytest.mark.promise("messages.objections")
def test_what_may_be_an_objection_silences_sales_and_asks_a_person() -> None:
    asked = mood(RELEASE, {"perhaps_objections_24h": 1}, lambda *_: 0, {})
    assert asked.silence_sales
    assert asked.call is not None
    assert asked.call.kind == "objection"
