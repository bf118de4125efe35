"""Agents over HTTP: stated, told of in any order, advised on, offered what waits, exported and erased."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decisioning.errors import OutOfScope
from decisioning.times import iso
from features.handovers.slots import agent_stream
from features.ledger import now_us
from serving.access.callers import Caller
from serving.brain.runtime import Brain
from serving.http.document.operations import OPERATIONS
from serving.http.people.news import people_sources
from serving.people.agents import check_own, forget_presence
from serving.people.queue import Queue
from serving.people.routing import LATE
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, small_workspace

ROUTING = """
routing:
  mode: own
  offer_s: 5
  last_new_s: 0
  voice: [phone]
  skills:
  - id: bill
    issue: service
    wrap_up_s: 30
    rings: [{after_s: 0, min_proficiency: 0.5}, {after_s: 600, min_proficiency: 0}]
  - {id: fault, issue: service}
"""
STATED = {"languages": ["nl"], "proficiency": {"bill": 0.9}, "capacity": {"chat": 2, "phone": 1}}
CHAT: Json = {"channel": "chat", "skill": "bill", "language": "nl", "reason": "asks for a person"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("agents") / "shop", ROUTING, database()))
    yield Client(brain)
    brain.close()


def state(client: Client, agent: str, name: str = "available", **data: Any) -> None:
    assert tell(client, agent, "agent.state", state=name, **data)["recorded"] == 1


def tell(client: Client, agent: str, kind: str, at: str | None = None, id_: str | None = None, **data: Any) -> Json:
    time = at or iso(now_us())
    event = {"specversion": "1.0", "id": id_ or f"{kind}-{now_us()}", "source": "/telephony", "type": kind}
    status, answer = client(
        "POST", "/v1/agent-events", [{**event, "subject": f"agent:{agent}", "time": time, "data": data}]
    )
    assert status in (200, 422), answer
    return answer


def add(client: Client, agent: str, **more: Any) -> Json:
    status, answer = client("PUT", f"/v1/agents/{agent}", {**STATED, **more})
    assert status == 200, answer
    state(client, agent)
    return shown(client, agent)


def shown(client: Client, agent: str) -> Json:
    status, answer = client("GET", f"/v1/agents/{agent}")
    assert status == 200, answer
    return answer


def opened(client: Client, name: str, **more: Any) -> str:
    asked = {"request_id": f"r-{name}", "customer_id": f"c-{name}", "conversation_id": f"chat-{name}", **CHAT, **more}
    status, answer = client("POST", "/v1/handovers", asked)
    assert status == 200, answer
    return str(answer["handover_id"])


def step(client: Client, handover: str, name: str, **more: Any) -> tuple[int, Json]:
    return client("POST", f"/v1/handovers/{handover}/steps", {"state": name, **more})


def of(client: Client, handover: str) -> Json:
    return client("GET", f"/v1/handovers/{handover}")[1]


def ended(client: Client, *handovers: str) -> None:
    for handover in handovers:
        step(client, handover, "cancelled")


def gone(client: Client, *agents: str) -> None:
    for agent in agents:
        assert client("DELETE", f"/v1/agents/{agent}")[0] == 200


def test_an_agent_is_stated_seen_and_told_of_in_any_order(client: Client) -> None:
    assert add(client, "order")["state"] == "available"
    example, _ = OPERATIONS["POST /v1/agent-events"].examples.values()
    assert client("POST", "/v1/agent-events", {**example, "subject": "agent:order"})[1]["recorded"] == 1
    assert tell(client, "nobody", "agent.heartbeat")["field"] == "0.subject"
    assert client("PUT", "/v1/agents/order", {**STATED, "proficiency": {"bil": 1.0}})[1]["field"] == "proficiency"
    early = iso(now_us() - 60_000_000)
    assert tell(client, "order", "conversation.ended", conversation_id="k-1", channel="chat")["recorded"] == 1
    started = {"conversation_id": "k-1", "channel": "chat"}
    assert tell(client, "order", "conversation.started", at=early, id_="s-1", **started)["recorded"] == 1
    assert tell(client, "order", "conversation.started", at=early, id_="s-1", **started)["repeated"] == 1
    assert shown(client, "order")["conversations"] == {}
    tell(client, "order", "agent.state", at=early, state="break")
    assert shown(client, "order")["state"] == "available"
    tell(client, "order", "conversation.started", conversation_id="k-2", channel="phone")
    assert (shown(client, "order")["state"], shown(client, "order")["conversations"]) == ("busy", {"phone": 1})
    tell(client, "order", "agent.conversations", held={"chat": ["k-3", "k-4"]})
    assert shown(client, "order")["conversations"] == {"chat": 2}
    too_old = tell(client, "order", "conversation.ended", at=iso(now_us() - 3_600_000_000), **started)
    assert (too_old["refused"], too_old["field"]) == (1, "0.time")
    gone(client, "order")


@pytest.mark.promise("routing.advice")
def test_advice_ranks_agents_and_says_why_not_the_others(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    add(client, "good")
    add(client, "new", proficiency={"bill": 0.3})
    add(client, "other", languages=["en"], trained=["vulnerable"])
    asked = {"waiting": {"conversation_id": "call-1", "channel": "phone", "skill": "bill", "language": "nl"}}
    status, advice = client("POST", "/v1/routing", asked)
    assert (status, advice["in_time"], [r["agent_id"] for r in advice["ranked"]]) == (200, True, ["good"])
    assert advice["urgency_s"] == advice["ranked"][0]["score_s"]
    assert advice["ranked"][0]["reasons"][0] == "proficient in this skill: +99 s"
    assert {f["agent_id"]: f["requirement"] for f in advice["failed"]} == {"new": "proficiency", "other": "language"}
    assert 599 < advice["relaxes_in_s"] <= 600
    handover = opened(client, "advice", needs=["vulnerable"])
    failed = client("POST", "/v1/routing", {"handover_id": handover})[1]["failed"]
    assert {f["agent_id"]: f["requirement"] for f in failed}["good"] == "training"
    known = {"waiting": {**asked["waiting"], "knows": "good"}}
    assert client("POST", "/v1/routing", known)[1]["held_for"] == "good"
    deaf = {"waiting": {**asked["waiting"], "call": False}}
    assert {f["requirement"] for f in client("POST", "/v1/routing", deaf)[1]["failed"]} == {"cannot_phone"}
    assert advice["most_upset"] == []
    assert client("POST", "/v1/routing", {})[1]["field"] == "handover_id"
    with monkeypatch.context() as late:
        late.setattr("serving.http.people.agents.ADVICE_S", 0.0)
        assert client("POST", "/v1/routing", asked) == (200, {**LATE, "relaxes_in_s": None})
    ended(client, handover)
    gone(client, "good", "new", "other")


def test_who_signed_in_reaches_themselves_alone_and_a_lead_all() -> None:
    agent = Caller("person", "p1", "Anna", "root", frozenset(["agent"]), "agent")
    for name in ("p1", "person:p1"):
        check_own(name, agent)
    with pytest.raises(OutOfScope):
        check_own("p2", agent)
    for other in (None, replace(agent, scopes=frozenset(["lead"])), replace(agent, kind="key")):
        check_own("p2", other)


@pytest.mark.promise("routing.room")
def test_nobody_gets_more_than_they_have_room_for_or_may_not_take(client: Client) -> None:
    add(client, "room")
    chats = [opened(client, f"room-{n}") for n in range(3)]
    taken = [step(client, chat, "accepted", agent_id="room")[0] for chat in chats]
    assert taken == [200, 200, 409]
    call = opened(client, "room-call", channel="phone")
    assert step(client, call, "accepted", agent_id="room")[0] == 409
    fault = opened(client, "room-fault", skill="fault")
    assert "not proficient" in step(client, fault, "accepted", agent_id="room")[1]["detail"]
    step(client, chats[0], "transferred", note="about the router", skill="fault")
    assert step(client, chats[0], "accepted", agent_id="room")[0] == 409
    step(client, chats[1], "resolved")
    assert shown(client, "room")["state"] == "wrap_up"
    ended(client, *chats, call, fault)
    gone(client, "room")


def held_at_once(brain: Brain, agent: str) -> int:
    """Return the most that an agent ever held, by every record of the agent's stream."""
    held, most = set[Any](), 0
    for record in brain.ledger.records(agent_stream(brain.ledger, agent)):
        assert record.body is not None
        if record.kind == "presence":
            continue
        name = record.body["handover_id"]
        held = held - {name} if record.body["held"] == "ended" else held | {name}
        most = max(most, len(held))
    return most


@pytest.mark.promise("routing.room")
def test_of_many_customers_who_race_for_one_agent_as_many_are_taken_as_there_is_room_for(client: Client) -> None:
    add(client, "solo", capacity={"chat": 3})
    handovers = [opened(client, f"race-{n}") for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: step(client, one, "accepted", agent_id="solo")[0], handovers))
    assert sorted(answers) == [200] * 3 + [409] * 9
    assert held_at_once(client.brain, "solo") == 3
    ended(client, *handovers)
    gone(client, "solo")


@pytest.mark.promise("routing.offers")
def test_who_waits_is_offered_and_an_unanswered_offer_goes_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    add(client, "first")
    handover = opened(client, "offer")
    Queue(client.brain).work()
    assert (of(client, handover)["state"], of(client, handover)["agent_id"]) == ("offered", "first")
    assert shown(client, "first")["state"] == "offered"
    add(client, "second")
    later = now_us() + 6_000_000
    monkeypatch.setattr("serving.people.queue.now_us", lambda: later)
    Queue(client.brain).work()
    assert shown(client, "first")["state"] == "not_responding"
    assert (of(client, handover)["state"], of(client, handover)["agent_id"]) == ("offered", "second")
    assert step(client, handover, "accepted", agent_id="first")[0] == 409
    assert step(client, handover, "opened", reason="my screen is broken")[0] == 200
    assert step(client, handover, "accepted", agent_id="first")[0] == 200
    assert shown(client, "first")["state"] == "busy", "who accepts responds again"
    (source, _) = people_sources(client.brain.ledger)
    news = [one.content for one in source.page(0, frozenset(["agent:first"]), 1000) if one.kind == "presence"]
    assert news == [{"agent_id": "first", "state": "not_responding"}]
    ended(client, handover)
    gone(client, "first", "second")


@pytest.mark.promise("routing.heartbeats")
def test_a_lost_heartbeat_ends_offers_moves_chats_after_the_grace_and_never_calls(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("talks", "chats", "is-offered"):
        add(client, name)
    call, chat, offer = opened(client, "hb-1", channel="phone"), opened(client, "hb-2"), opened(client, "hb-3")
    assert step(client, call, "accepted", agent_id="talks")[0] == 200
    assert step(client, chat, "accepted", agent_id="chats")[0] == 200
    due = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    assert step(client, offer, "offered", agent_id="is-offered", due_at=due)[0] == 200
    assert client("PUT", "/v1/agents/has-no-screen", STATED)[0] == 200
    other = opened(client, "hb-4")
    assert step(client, other, "accepted", agent_id="has-no-screen")[0] == 200
    for seconds, states in ((31, ("accepted", "accepted", "opened")), (120, ("accepted", "opened", "opened"))):
        at_us = now_us() + seconds * 1_000_000
        monkeypatch.setattr("serving.people.queue.now_us", lambda at_us=at_us: at_us)
        Queue(client.brain).work()
        assert tuple(of(client, one)["state"] for one in (call, chat, offer)) == states
        assert of(client, other)["state"] == "accepted"
    ended(client, call, chat, offer, other)
    gone(client, "talks", "chats", "is-offered", "has-no-screen")


@pytest.mark.promise("routing.agents-own-data")
def test_an_agent_is_exported_and_erased_and_what_they_hold_waits_again(client: Client) -> None:
    add(client, "leaves")
    handover = opened(client, "leaves")
    step(client, handover, "accepted", agent_id="leaves")
    export = client("GET", "/v1/agents/leaves/export")[1]
    assert [record["kind"] for record in export["records"]] == ["presence", "assignment"]
    assert export["why"][0].startswith("You get customers who speak nl")
    listed = client("GET", "/v1/agents")[1]["agents"]
    assert [agent["agent_id"] for agent in listed] == ["leaves"]
    gone(client, "leaves")
    assert (of(client, handover)["state"], of(client, handover)["agent_id"]) == ("opened", None)
    assert client("GET", "/v1/agents/leaves")[0] == 404
    assert client("PUT", "/v1/agents/leaves", STATED)[0] == 410
    assert client("DELETE", "/v1/agents/nobody")[0] == 404
    assert not list(client.brain.ledger.verify())
    ended(client, handover)


@pytest.mark.promise("routing.presence-days")
def test_what_an_agent_did_is_forgotten_when_its_time_is_over(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    add(client, "was-here")
    handover = opened(client, "was-here")
    step(client, handover, "accepted", agent_id="was-here")
    day_us = 86_400_000_000
    for days, kept in ((89, 2), (91, 0)):
        monkeypatch.setattr("serving.people.agents.now_us", lambda days=days: now_us() + days * day_us)
        forget_presence(client.brain)
        records = client("GET", "/v1/agents/was-here/export")[1]["records"]
        assert (len(records), sum(record["body"] is not None for record in records)) == (2, kept)
    monkeypatch.undo()
    assert forget_presence(client.brain) == 0
    assert not list(client.brain.ledger.verify())
    assert shown(client, "was-here")["handovers"] == [handover]
    step(client, handover, "resolved")
    assert not list(client.brain.ledger.verify())
    assert step(client, handover, "accepted", agent_id="was-here")[0] == 409
    gone(client, "was-here")
    assert not list(client.brain.ledger.verify())
    opened(client, "kept")
    client.brain.ledger.erasures.forget(
        client.brain.ledger.stream_of("person", "c-kept"), ["handover"], now_us() + day_us
    )
    flaws = [flaw.message for flaw in client.brain.ledger.verify()]
    assert "the bodies of 1 records are gone, and nobody erased the subject" in flaws
