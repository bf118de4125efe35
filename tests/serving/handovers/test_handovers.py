"""Handovers over HTTP: opened once, silent for sales, taken by one agent, exported and erased."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from serving.brain.runtime import Brain
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, ask, signal, small_workspace, welcome

HERO = {"placements": [{"name": "hero"}, {"name": "sidebar", "limit": 2}]}
CHAT = {"conversation_id": "chat-1", "channel": "chat", "reason": "asks for a person"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("handovers") / "shop", database=database()))
    yield Client(brain)
    brain.close()


def opened(client: Client, customer: str, **more: Any) -> Json:
    asked = {"request_id": f"r-{customer}", "customer_id": customer, **CHAT, **more}
    status, answer = client("POST", "/v1/handovers", asked)
    assert status == 200, answer
    return answer


def stepped(client: Client, handover: str, state: str, **more: Any) -> tuple[int, Json]:
    return client("POST", f"/v1/handovers/{handover}/steps", {"state": state, **more})


def sold(client: Client, customer: str, name: str, channel: str = "web", **more: Any) -> list[str]:
    asked = ask(name, customer, **{**HERO, "channel": channel, **more})
    placements = client("POST", "/v1/decisions", asked)[1]["placements"]
    return [o["action"] for p in placements for o in p["offers"] if o["issue"] in ("grow", "retain", "nurture")]


@pytest.mark.promise("handovers.no-sale-while-open")
def test_nothing_is_sold_while_a_handover_is_open(client: Client) -> None:
    welcome(client, "c-1")
    assert sold(client, "c-1", "before")
    handover = opened(client, "c-1")
    assert not sold(client, "c-1", "during")
    stepped(client, handover["handover_id"], "accepted", agent_id="a-1")
    assert not sold(client, "c-1", "held")
    gates = client("GET", f"/v1/decisions/{decision_of(client, 'held', 'c-1')}")[1]
    assert "handover:open" in {c.get("gate") for c in gates["candidates"]}
    assert stepped(client, handover["handover_id"], "resolved")[1]["state"] == "resolved"
    assert sold(client, "c-1", "after")


def decision_of(client: Client, name: str, customer: str) -> str:
    return str(client("POST", "/v1/decisions", ask(name, customer, **HERO))[1]["decision_id"])


@pytest.mark.promise("handovers.one-open")
def test_a_decision_within_a_conversation_opens_one_handover(client: Client) -> None:
    welcome(client, "c-2")
    angry = signal("message", "customer:c-2", text="This is outrageous, the worst service ever, I am furious!")
    assert client("POST", "/v1/signals", angry)[1]["accepted"] == 1
    rung = list[str]()
    client.brain.routed.wakes(partial(rung.append, "routed"))
    first = client("POST", "/v1/decisions", ask("d-1", "c-2", **HERO, conversation_id="chat-2"))[1]
    assert rung, "the queue does not wait for its next look"
    again = client("POST", "/v1/decisions", ask("d-1", "c-2", **HERO, conversation_id="chat-2"))[1]
    later = client("POST", "/v1/decisions", ask("d-2", "c-2", **HERO, conversation_id="chat-2"))[1]
    asked = opened(client, "c-2", conversation_id="chat-2")
    names = {a["handover"]["handover_id"] for a in (first, again, later)} | {asked["handover_id"]}
    assert len(names) == 1
    assert asked["status"] == "already_open"
    preview = client("POST", "/v1/decisions", ask("d-3", "c-2", **HERO, conversation_id="chat-9", mode="preview"))[1]
    assert preview["handover"] == {"reason": "wants a person"}
    open_now = [h["conversation_id"] for h in client("GET", "/v1/handovers")[1]["handovers"]]
    assert open_now.count("chat-2") == 1
    assert "chat-9" not in open_now


@pytest.mark.promise("handovers.one-taker")
def test_one_of_many_agents_takes_a_handover(client: Client) -> None:
    handover = opened(client, "c-3", conversation_id="chat-3")["handover_id"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: stepped(client, handover, "accepted", agent_id=f"t-{n}"), range(16)))
    assert sorted(status for status, _ in answers) == [200, *[409] * 15]
    (taker,) = {answer["agent_id"] for status, answer in answers if status == 200}
    held = client.brain.ledger.read(client.brain.ledger.names.stream_of("agent", taker))[0]
    assert [one.handover for one in held.work.held] == [handover]


def test_a_repeated_request_is_answered_as_before(client: Client) -> None:
    first, again = (opened(client, "c-4", conversation_id="chat-4") for _ in range(2))
    assert (first["status"], again["status"]) == ("opened", "repeated")
    assert first["handover_id"] == again["handover_id"]
    other = {"request_id": "r-c-4", "customer_id": "c-4", **CHAT, "reason": "something else"}
    assert client("POST", "/v1/handovers", other)[0] == 409


def test_what_follows_from_no_state_is_refused(client: Client) -> None:
    handover = opened(client, "c-5", conversation_id="chat-5")["handover_id"]
    assert stepped(client, handover, "transferred", note="was angry")[0] == 409, "nobody has it yet"
    for n in range(2):
        assert stepped(client, handover, "accepted", agent_id=f"x-{n}")[0] == 200
        assert stepped(client, handover, "transferred", note="needs billing", skill="bill")[0] == 200
    assert stepped(client, handover, "accepted", agent_id="x-9")[0] == 200
    status, problem = stepped(client, handover, "transferred", note="once more")
    assert (status, problem["field"]) == (409, "state")
    assert stepped(client, handover, "accepted")[1]["field"] == "agent_id"


@pytest.mark.promise("handovers.exported-and-erased")
def test_handovers_are_exported_erased_and_verified(client: Client) -> None:
    handover = opened(client, "c-6", conversation_id="chat-6")["handover_id"]
    stepped(client, handover, "accepted", agent_id="e-1")
    records = client("GET", "/v1/customers/c-6/export")[1]["records"]
    assert [r["body"]["state"] for r in records if r["kind"] == "handover"] == ["opened", "accepted"]
    assert not list(client.brain.ledger.verify())
    assert client("DELETE", "/v1/customers/c-6")[0] == 200
    assert client("GET", f"/v1/handovers/{handover}")[0] == 404
    assert stepped(client, handover, "resolved")[0] == 404
    assert not list(client.brain.ledger.verify())


CARE = """
emotion:
  - id: cannot-wait
    when: "urgent_now == true"
    silence_sales: true
    handover: "needs help now"
    kind: care
    needs: [vulnerable]
    first: true
    text: {nl: "Bel 113.", en: "Call 113."}
  - {id: access, when: "asks_access == true", silence_sales: true, handover: "asks for their data", kind: access}
features:
  - {name: urgent_now, dtype: bool, source: context, tags: [request], description: cannot wait}
  - {name: asks_access, dtype: bool, source: context, tags: [request], description: asks for their data}
"""


@pytest.mark.promise("handovers.terms")
def test_a_handover_says_what_it_is_about_and_by_when_it_must_be_answered(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop", CARE))
    client = Client(brain)
    context = {"page": "help", "urgent_now": True}
    urgent = ask("u-1", "c-1", **HERO, conversation_id="chat-1", context=context, locale="en")
    answer = client("POST", "/v1/decisions", urgent)[1]["handover"]
    again = client("POST", "/v1/decisions", urgent)[1]["handover"]
    assert answer == again
    assert (answer["text"], answer["reference"]) == ("Call 113.", answer["handover_id"][2:10].upper())
    shown = client("GET", f"/v1/handovers/{answer['handover_id']}")[1]
    assert (shown["kind"], shown["needs"], shown["first"], shown["helps"]) == ("care", ["vulnerable"], True, True)
    told = client.of_scope("decide")("POST", "/v1/decisions", {**urgent, "request_id": "u-2"})[1]["handover"]
    assert told == {**answer, "reason": None}, "a customer's channel is not told why"
    access = ask("a-1", "c-2", **HERO, conversation_id="chat-2", context={"page": "help", "asks_access": True})
    due = client("POST", "/v1/decisions", access)[1]
    handover = client("GET", f"/v1/handovers/{due['handover']['handover_id']}")[1]
    days = datetime.fromisoformat(handover["due_at"]) - datetime.fromisoformat(due["decided_at"])
    assert days == timedelta(days=28)
    brain.close()
