"""What people did about suggestions, and what they correct of messages: records with who and when, and no more."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from tests.serving.conftest import NewDatabase
from tests.serving.test_looks import key_id
from tests.serving.test_message_consents import PURPOSE
from tests.serving.workspaces import Client, Json, ask, offers, signal, small_workspace, welcome

FIELDS = """fields: [{name: author, dtype: enum, values: [customer, agent]}, {name: text, dtype: string},
      {name: wants_person, dtype: bool, tags: [request]}, {name: complaint, dtype: bool, tags: [request]},
      {name: needs_care, dtype: bool, tags: [request]}, {name: sentiment,"""
EXAMPLES = {
    "nl": [
        f"{word} pakketje" for word in ["waar", "wanneer", "mijn", "ons", "dat", "dit", "welk", "geen", "elk", "zoek"]
    ],
    "en": [f"{word} parcel" for word in ["where", "when", "my", "our", "that", "this", "which", "no", "any", "find"]],
}
INTENTS = json.dumps(
    {
        "intents": [
            {"id": "where-is-it", "title": {"nl": "Waar", "en": "Where"}, "issue": "service", "risk": "status"}
            | {"examples": EXAMPLES}
        ]
    }
)
NOTE = "Mevrouw vindt het te duur"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    workspace = small_workspace(tmp_path_factory.mktemp("overrides") / "ws", database=database())
    features, rules = workspace.catalogue / "features.yaml", workspace.catalogue / "settings.yaml"
    fields = (
        features.read_text().replace("fields: [{name: sentiment,", FIELDS).replace("max: 1, required: true", "max: 1")
    )
    features.write_text(fields)
    (workspace.catalogue / "intents.yaml").write_text(INTENTS)
    text = rules.read_text().replace("purposes:\n", f"purposes:\n{PURPOSE}", 1)
    rules.write_text(text.replace("settings:\n", "settings:\n  override_reasons: [price, other, lives-abroad]\n", 1))
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def suggested(client: Client, customer: str) -> tuple[str, Json]:
    """Return the id of a decision about a customer, and its first offer."""
    welcome(client, customer)
    answer = client("POST", "/v1/decisions", ask(f"r-{customer}", customer))[1]
    return answer["decision_id"], offers(answer)[0]


def override(client: Client, customer: str, scope: str = "agent", **more: Any) -> tuple[int, Json]:
    decision, offer = suggested(client, customer)
    told = {"override_id": f"ov-{customer}", "decision_id": decision, "offer_id": offer["offer_id"]}
    said = {"kind": "overridden", "reason": "price", "note": NOTE}
    body = {k: v for k, v in {**told, **said, **more}.items() if v is not None}
    return client.of_scope(scope)("POST", "/v1/overrides", body)


def correction(client: Client, customer: str, **more: Any) -> tuple[int, Json]:
    body = {
        "correction_id": f"co-{customer}",
        "event_id": f"m-{customer}",
        "event_source": "/test",
        "field": "sentiment",
        "was": "negative",
        "is": "neutral",
        "note": NOTE,
        **more,
    }
    return client.of_scope("agent")("POST", "/v1/corrections", body)


def wrote(client: Client, customer: str, **data: Any) -> None:
    message = {**signal("message", f"customer:{customer}", text="Nou, geweldig hoor", **data), "id": f"m-{customer}"}
    assert client("POST", "/v1/signals", {**message, "source": "/test"})[1]["accepted"] == 1


def records(client: Client, customer: str, kind: str) -> list[Json]:
    exported = client("GET", f"/v1/customers/{customer}/export")[1]
    return [record for record in exported["records"] if record["kind"] == kind]


@pytest.mark.promise("corrections.recorded")
def test_an_override_is_a_record_of_the_customer_with_who_and_when_and_nothing_else(client: Client) -> None:
    assert override(client, "c-1") == (200, {"recorded": 1, "repeated": 0})
    (record,) = records(client, "c-1", "override")
    assert (record["body"]["verdict"], record["body"]["reason"], record["body"]["role"]) == (
        "overridden",
        "price",
        "agent",
    )
    assert record["body"]["note"] == NOTE
    assert "who" not in record["body"], "an export tells the role, not who"
    (kept,) = [r for r in client.brain.ledger.scan(["override"]) if (r.body or {})["override_id"] == "ov-c-1"]
    assert (kept.body or {})["who"] == key_id(client, "agent")
    customer = client("GET", "/v1/customers/c-1")[1]
    assert customer["outcomes"] == [], "an override is no outcome"
    assert {contact["state"] for contact in customer["contacts"]} == {"reserved"}


@pytest.mark.promise("corrections.recorded")
def test_a_correction_is_a_record_of_whoever_wrote_the_message(client: Client) -> None:
    wrote(client, "c-2")
    assert correction(client, "c-2") == (200, {"recorded": 1, "repeated": 0})
    (record,) = records(client, "c-2", "correction")
    said = ("field", "was", "is", "role", "note")
    assert [record["body"][name] for name in said] == ["sentiment", "negative", "neutral", "agent", NOTE]
    assert "who" not in record["body"]


@pytest.mark.promise("corrections.recorded")
def test_an_id_means_one_thing_said(client: Client) -> None:
    override(client, "c-3")
    assert override(client, "c-3", scope="lead")[1] == {"recorded": 0, "repeated": 1}
    assert override(client, "c-3", override_id="ov-more", reason="lives-abroad")[1]["recorded"] == 1
    status, problem = override(client, "c-3", reason="other")
    assert (status, problem["field"]) == (409, "override_id")
    assert len(records(client, "c-3", "override")) == 2
    wrote(client, "c-4")
    correction(client, "c-4")
    assert correction(client, "c-4")[1] == {"recorded": 0, "repeated": 1}
    status, problem = correction(client, "c-4", **{"is": "positive"})
    assert (status, problem["field"]) == (409, "correction_id")


def test_of_twenty_who_send_the_same_at_once_one_is_recorded(client: Client) -> None:
    decision, offer = suggested(client, "c-9")
    said = {
        "override_id": "ov-9",
        "decision_id": decision,
        "offer_id": offer["offer_id"],
        "kind": "accepted_suggestion",
    }

    async def at_once() -> list[tuple[int, Json]]:
        return await asyncio.gather(*(client.ask("POST", "/v1/overrides", said) for _ in range(20)))

    answers = asyncio.run(at_once())
    assert {status for status, _ in answers} == {200}
    assert sum(answer["recorded"] for _, answer in answers) == 1
    assert len(records(client, "c-9", "override")) == 1


@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"reason": "because"}, 422, "reason"),
        ({"reason": "not_suitable"}, 422, "reason"),  # which the catalogue has where it lists no reasons of its own
        ({"reason": None}, 422, "reason"),
        ({"instead": "no-such-action"}, 422, "instead"),
        ({"kind": "regretted", "instead": "tv-bundle"}, 422, "instead"),
        ({"kind": "ignored"}, 422, "kind"),
        ({"decision_id": "d-nowhere"}, 404, "decision_id"),
        ({"offer_id": "d-nowhere.0"}, 422, "offer_id"),
        ({"action": "tv-bundle"}, 422, "offer_id"),
        ({"offer_id": None, "action": "no-such-action"}, 422, "action"),
        ({"note": "x" * 2001}, 422, "note"),
        ({"emotion": "angry"}, 422, "emotion"),
    ],
)
def test_what_is_wrong_with_an_override_is_named(client: Client, wrong: Json, status: int, field: str) -> None:
    answer = override(client, "c-5", **{"override_id": "ov-wrong", **wrong})
    assert (answer[0], answer[1].get("field")) == (status, field), answer


@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"field": "grief"}, 422, "field"),
        ({"field": "danger", "was": False, "is": True}, 422, "field"),
        ({"is": "furious"}, 422, "is"),
        ({"is": "negative"}, 422, "is"),
        ({"field": "wish", "was": "no", "is": True}, 422, "was"),
        ({"field": "wish", "was": False, "is": 1}, 422, "is"),
        ({"field": "intent", "was": None, "is": "no-such-intent"}, 422, "is"),
        ({"field": "intent", "was": None, "is": "Two words"}, 422, "is"),
        ({"event_id": "m-nowhere"}, 404, "event_id"),
        ({"event_source": "/elsewhere"}, 404, "event_id"),
    ],
)
def test_what_is_wrong_with_a_correction_is_named(client: Client, wrong: Json, status: int, field: str) -> None:
    if not records(client, "c-6", "correction"):
        wrote(client, "c-6")
        correction(client, "c-6")
    answer = correction(client, "c-6", **{"correction_id": "co-wrong", **wrong})
    assert (answer[0], answer[1].get("field")) == (status, field), answer


def test_what_an_agent_wrote_cannot_be_corrected(client: Client) -> None:
    wrote(client, "c-7", author="agent")
    status, problem = correction(client, "c-7")
    assert (status, problem["field"]) == (404, "event_id")


@pytest.mark.promise("corrections.recorded")
def test_both_go_with_the_customer_and_verify_sees_them(client: Client) -> None:
    override(client, "c-8")
    wrote(client, "c-8")
    correction(client, "c-8")
    checked = verify(client.brain.workspace, None)
    assert checked["flaws"] == checked["different"] == []
    assert client("DELETE", "/v1/customers/c-8")[0] == 200
    kept = [r for r in client.brain.ledger.scan(["override", "correction"]) if r.body and NOTE in json.dumps(r.body)]
    assert all(r.stream != client.brain.ledger.stream_of("person", "c-8") for r in kept)
    decision = client.brain.ledger.scan(["decision"])[-1]
    assert decision.body is None
    assert correction(client, "c-8")[0] == 410
    assert verify(client.brain.workspace, None)["flaws"] == []
