"""Handovers that nobody takes in time: the customer is told and chooses, and each ends with an owner and a date."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from decisioning.catalogue.people.waiting import HandoverSettings
from decisioning.routing.lapsing import choices_text, ticket_due_us
from features.ledger import now_us
from serving.answers import people
from serving.answers.decisions import DecisionAnswer
from serving.brain.runtime import Brain
from serving.people import lapsing
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, ask, consent, small_workspace

PEOPLE = """\
calendars:
  - {id: desk, channel: agent, hours: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "23:30"}],
     slot_minutes: 30, capacity: 5}
routing:
  skills: [{id: billing, issue: service, promise_s: 300}]
"""
HERO = {"placements": [{"name": "hero"}]}
HOUR_US = 3_600_000_000
TICKET = ("ticket", "lead")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("lapsing") / "shop", PEOPLE, database()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lapsing, "CLAIM_US", 0)  # the tests sweep more often than replicas take turns
        yield Client(brain)
    brain.close()


@contextmanager
def later(client: Client, seconds: float) -> Iterator[None]:
    """Let the brain's clock show a later time, and the sweep of handovers run once."""
    clock, client.brain.ledger.clock = client.brain.ledger.clock, lambda: now_us() + round(seconds * 1e6)
    try:
        lapsing.tend(client.brain)
        yield
    finally:
        client.brain.ledger.clock = clock


def opened(client: Client, name: str, **more: Any) -> str:
    about = {"conversation_id": f"chat-{name}", "channel": "chat", "reason": "asks for a person"}
    asked = {"request_id": f"r-{name}", "customer_id": f"c-{name}", **about, **more}
    return str(client("POST", "/v1/handovers", asked)[1]["handover_id"])


def shown(client: Client, handover: str) -> Json:
    answer = client("GET", f"/v1/handovers/{handover}")[1]
    people.HandoverAnswer.model_validate(answer, strict=True)
    return answer


def chosen(client: Client, handover: str, choice: str, **more: Any) -> tuple[int, Json]:
    status, answer = client.of_scope("decide")("POST", f"/v1/handovers/{handover}/choice", {"choice": choice, **more})
    if status == 200:
        people.ChoiceAnswer.model_validate(answer, strict=True)
    return status, answer


def choices(answer: Json) -> list[str]:
    return [one["choice"] for one in answer.get("choices", ())]


@pytest.mark.promise("handovers.none-unanswered")
def test_who_waits_too_long_is_told_and_then_has_an_owner_and_a_date(client: Client) -> None:
    handover = opened(client, "late", skill="billing", language="en")
    with later(client, 290):
        assert shown(client, handover)["state"] == "opened"
    with later(client, 310):
        told = shown(client, handover)
        assert (told["state"], choices(told)) == ("lapsed", ["call_back", "written", "wait"])
        assert told["reference"] in told["choices_text"]
        listed = client.of_scope("lead")("GET", "/v1/handovers?lapsed=true")[1]["handovers"]
        assert handover in {one["handover_id"] for one in listed}
    with later(client, 600):
        assert shown(client, handover)["state"] == "lapsed", "the second period begins when the customer was told"
    with later(client, 620):
        ticket = shown(client, handover)
        assert (ticket["state"], ticket["agent_id"]) == TICKET
        assert ticket["due_at"] is not None
        assert choices(ticket) == ["call_back"], "it may still be an appointment"
    assert handover not in {h["handover_id"] for h in client("GET", "/v1/handovers?lapsed=true")[1]["handovers"]}
    with later(client, 620 + 25 * 3600):
        overdue = client("GET", "/v1/handovers?lapsed=true")[1]["handovers"]
        assert handover in {one["handover_id"] for one in overdue}, "the lead sees tickets that nobody answered"


@pytest.mark.promise("handovers.choices")
def test_a_decision_in_the_conversation_carries_the_choices(client: Client) -> None:
    opened(client, "asks", skill="billing", language="en")
    with later(client, 310):
        asked = ask("d-asks", "c-asks", **HERO, conversation_id="chat-asks")
        answer = client("POST", "/v1/decisions", asked)[1]
        DecisionAnswer.model_validate(answer, strict=True)
        other = client("POST", "/v1/decisions", ask("d-other", "c-asks", **HERO, conversation_id="chat-2"))[1]
        told = client.of_scope("decide")("POST", "/v1/decisions", {**asked, "request_id": "d-told"})[1]
    assert choices(answer["handover"]) == choices(told["handover"]) == ["call_back", "written", "wait"]
    assert answer["handover"]["reason"] == "asks for a person"
    assert told["handover"]["reason"] is None
    assert other["handover"] is None


def test_each_choice_is_kept(client: Client) -> None:
    written, waits, called, early = (opened(client, name, skill="billing") for name in ("w", "x", "y", "z"))
    assert chosen(client, early, "written")[0] == 409, "its time is not over"
    with later(client, 310):
        assert chosen(client, written, "written")[1]["state"] == "ticket"
        waiting = chosen(client, waits, "wait")[1]
        assert chosen(client, waits, "wait")[1] == waiting, "the same again changes nothing"
        booked = chosen(client, called, "call_back")[1]
        assert (booked["state"], booked["due_at"] is None) == ("call_back", False)
        assert chosen(client, called, "wait")[0] == 409
    with later(client, 620):
        again = shown(client, waits)
        assert (again["state"], choices(again)) == ("lapsed", ["call_back", "written", "wait"])
    with later(client, 930):
        assert (shown(client, waits)["state"], shown(client, waits)["agent_id"]) == TICKET
    overdue = datetime.fromisoformat(booked["due_at"]).timestamp() + 1000 - now_us() / 1e6
    with later(client, overdue):
        assert (shown(client, called)["state"], shown(client, called)["agent_id"]) == TICKET, "nobody called"


@pytest.mark.promise("handovers.no-voice")
def test_who_cannot_phone_is_never_offered_a_call(client: Client) -> None:
    deaf = opened(client, "deaf", skill="billing", call=False)
    refuses = opened(client, "refuses", skill="billing")
    body = consent("c-refuses", "marketing", "objected", channel="agent")
    assert client("POST", "/v1/consents", body)[0] == 200
    with later(client, 310):
        assert choices(shown(client, deaf)) == choices(shown(client, refuses)) == ["written", "wait"]
        assert chosen(client, deaf, "call_back")[0] == 409
    with later(client, 620):
        assert choices(shown(client, deaf)) == []


def test_an_agent_may_still_take_what_lapsed_and_who_is_given_on_waits_anew(client: Client) -> None:
    handover = opened(client, "taken", skill="billing")
    with later(client, 310):
        steps = f"/v1/handovers/{handover}/steps"
        assert client("POST", steps, {"state": "accepted", "agent_id": "a-1"})[0] == 200
        assert lapsing.tend(client.brain) == 0
        assert client("POST", steps, {"state": "transferred", "note": "needs billing"})[0] == 200
        assert shown(client, handover)["waits_since"] > shown(client, handover)["opened_at"]
    with later(client, 290):
        assert shown(client, handover)["state"] == "transferred", "the promise holds anew"


def test_a_ticket_is_due_by_what_the_law_asks_and_texts_are_those_of_the_catalogue(client: Client) -> None:
    catalogue = client.brain.snapshot.release.catalogue
    assert ticket_due_us(catalogue, {}, 0) == 24 * HOUR_US
    assert ticket_due_us(catalogue, {"due_us": 5 * HOUR_US}, 0) == 5 * HOUR_US
    stated = {"text": {"en": "Choose, {reference}, by {time}"}, "choices": {"wait": {"en": "Hold on"}}}
    settings = HandoverSettings.model_validate(stated)
    own = catalogue.model_copy(update={"settings": catalogue.settings.model_copy(update={"handover": settings})})
    words = choices_text(own, "lapsed", {"language": "en-GB", "no_voice": True}, HOUR_US, "AB12CD34", ())
    assert words["choices_text"] == "Choose, AB12CD34, by 02:00 (01-01)"
    assert [one["text"] for one in words["choices"]] == ["Write me an answer", "Hold on"]
    dutch = choices_text(own, "lapsed", {"language": "nl"}, HOUR_US, "AB12CD34", ())
    assert dutch["choices_text"].startswith("Er is nog geen medewerker vrij.")
