"""Waiting and free agents as facts: a channel that nobody can serve in time is not offered."""

from collections.abc import Iterator
from typing import Any

import pytest

from decisioning.catalogue.people.routing import Routing, Skill
from decisioning.errors import OutOfScope
from decisioning.facts.schema import RoutingMeasure
from decisioning.routing.staffing import ANY
from decisioning.times import iso
from features.handovers.queues import QueueState
from features.ledger import now_us
from serving.access.callers import Caller
from serving.brain.runtime import Brain
from serving.events.moments import Watcher
from serving.people.agent_events import record
from serving.people.forms import AgentEventIn
from serving.people.measuring import _reported, _skills, measure
from tests.serving.conftest import NewDatabase
from tests.serving.handovers.test_agents import add, opened, state
from tests.serving.workspaces import Client, Json, ask, decide_and_send, offers, signal, small_workspace, welcome

CHAT = """
routing:
  mode: own
  heartbeat_s: 3600
  skills: [{id: bill, issue: service}]
features:
  - {name: chat_agents, dtype: int, source: routing, routing: {measure: free_agents, skill: bill, channel: chat},
     max_age_s: 60, description: agents who are free for a chat}
  - {name: chat_wait_s, dtype: float, source: routing, routing: {measure: wait_s, channel: chat}, max_age_s: 60,
     description: how long customers wait for a chat}
  - {name: chats_waiting, dtype: int, source: routing, routing: {measure: waiting}, max_age_s: 60,
     description: customers who wait}
  - {name: help_agents, dtype: int, source: routing, routing: {measure: free_agents, issue: service}, max_age_s: 60,
     description: agents who are free to help}
policies:
  - {id: somebody-is-there, level: applicability, attach: {action: chat-now},
     permit: "chat_agents >= 1 && chat_wait_s < 120"}
actions:
  - id: chat-now
    issue: service
    group: people
    tier: service
    value: 500
    purposes: [service]
    treatments:
      - {id: web, channel: web, placements: [hero], content_ref: cms/1}
      - {id: invite, channel: proactive-chat, placements: [window], content_ref: cms/2}
channels:
  - {id: proactive-chat, direction: inbound, placements: [window]}
bases:
  - {id: help-by-chat, purpose: service, basis: contract, channels: [proactive-chat], text: "Art. 6(1)(b) GDPR"}
caps:
  - {id: one-invitation, count: channel, limit: 1, window_days: 7, channels: [proactive-chat], tiers: [service]}
signals:
  - {id: help-view, retention_days: 30}
moments:
  - id: looks-for-help
    description: Somebody looks at page after page of help, and an agent is free.
    on: help-view
    when: "help_views >= 3 && chat_agents >= 1"
    channel: proactive-chat
    placements: [window]
    every_h: 0
    deliver: stream
"""
VIEWS = "  - {name: help_views, dtype: int, source: signal, signal: {of: help-view, compute: count, window: 10min}}\n"
CHAT = CHAT.replace("features:\n", "features:\n" + VIEWS)

HERO = {"placements": [{"name": "hero", "limit": 5}]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("measuring") / "shop", CHAT))
    yield Client(brain)
    brain.close()


def is_offered(client: Client, name: str) -> bool:
    answer = client("POST", "/v1/decisions", ask(name, **HERO, mode="preview"))[1]
    return "chat-now" in [offer["action"] for offer in offers(answer)]


@pytest.mark.promise("routing.facts")
def test_a_chat_is_offered_while_somebody_can_serve_it_in_time(client: Client) -> None:
    welcome(client, "c-1")
    assert not is_offered(client, "nothing-measured"), "what is unknown denies"
    measure(client.brain)
    assert client.brain.measured.values == {"chat_agents": 0, "help_agents": 0, "chats_waiting": 0}, (
        "nobody is there: no wait is known"
    )
    assert not is_offered(client, "nobody")
    add(client, "m-1")
    measure(client.brain)
    assert client.brain.measured.values["help_agents"] == 1
    assert is_offered(client, "free")
    for name in ("a", "b", "c"):
        opened(client, f"measured-{name}")
    for handover in client("GET", "/v1/handovers")[1]["handovers"][:2]:
        step = {"state": "accepted", "agent_id": "m-1"}
        assert client("POST", f"/v1/handovers/{handover['handover_id']}/steps", step)[0] == 200
    measure(client.brain)
    values = client.brain.measured.values
    assert (values["chat_agents"], values["chats_waiting"]) == (0, 1)
    assert isinstance(values["chat_wait_s"], float)
    assert not is_offered(client, "busy"), "who is there has no room"
    another = Brain(client.brain.workspace)
    measure(another)
    counted = {name: value for name, value in another.measured.values.items() if name != "chat_wait_s"}
    assert counted == {"chat_agents": 0, "help_agents": 0, "chats_waiting": 1}, "a second replica measures the same"
    assert float(another.measured.values["chat_wait_s"]) - values["chat_wait_s"] < 60
    another.close()


def test_what_is_older_than_stated_is_unknown_and_what_served_is_recorded(client: Client) -> None:
    add(client, "m-2")
    measure(client.brain)
    assert is_offered(client, "fresh")
    decision = client("POST", "/v1/decisions", ask("fresh", **HERO))[1]
    explained = client("GET", f"/v1/decisions/{decision['decision_id']}")[1]
    assert explained["facts"]["chat_agents"] == client.brain.measured.values["chat_agents"]
    later = client.brain.ledger.clock() - 61_000_000
    client.brain.measured = type(client.brain.measured)(client.brain.measured.values, later)
    assert not is_offered(client, "old")
    state(client, "m-2", "off")
    measure(client.brain)
    assert not is_offered(client, "off")


def invited(client: Client, customer: str) -> list[str]:
    """Let the customer look at help three times, and return the states of what was delivered to them."""
    events = [signal("help-view", f"customer:{customer}") for _ in range(3)]
    assert client("POST", "/v1/signals", events)[1]["accepted"] == 3
    decide_and_send(Watcher(client.brain))
    held = client("GET", f"/v1/customers/{customer}/export")[1]["moments"]["deliveries"]
    return [delivery["state"] for delivery in held]


@pytest.mark.promise("routing.facts")
def test_a_proactive_chat_is_opened_by_browsing_while_an_agent_is_free_and_within_its_cap(client: Client) -> None:
    welcome(client, "c-7")
    welcome(client, "c-8")
    measure(client.brain)
    assert invited(client, "c-7") == [], "nobody is free"
    add(client, "m-3")
    measure(client.brain)
    assert len(invited(client, "c-8")) == 1
    assert len(invited(client, "c-8")) == 1, "one invitation a week"


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    more = CHAT.replace("mode: own", "mode: advise")
    brain = Brain(small_workspace(tmp_path_factory.mktemp("advised") / "shop", more, database()))
    yield Client(brain)
    brain.close()


def queue_event(at_us: int, *queues: Json) -> Json:
    about = {"specversion": "1.0", "id": f"q-{at_us}", "source": "/telephony", "type": "queue.state"}
    return {**about, "subject": "queue", "time": iso(at_us), "data": {"queues": [*queues]}}


def tell_queue(client: Client, age_s: float = 0.0, **told: Any) -> None:
    event = queue_event(
        now_us() - round(age_s * 1e6), {"channel": "chat", **told}, {"skill": "bill", **told, "channel": "chat"}
    )
    assert client("POST", "/v1/agent-events", event)[1] == {"recorded": 1, "repeated": 0}
    measure(client.brain)


@pytest.mark.promise("routing.queue-state")
def test_a_telephone_system_tells_its_queue_and_what_it_told_is_decided_with_and_recorded(advised: Client) -> None:
    welcome(advised, "c-1")
    measure(advised.brain)
    assert not is_offered(advised, "q-untold"), "the wait is unknown"
    tell_queue(advised, waiting=3, wait_s=40, free_agents=2)
    assert is_offered(advised, "q-free")
    decision = advised("POST", "/v1/decisions", ask("q-live", **HERO))[1]
    facts = advised("GET", f"/v1/decisions/{decision['decision_id']}")[1]["facts"]
    assert [facts[name] for name in ("chat_agents", "chat_wait_s", "chats_waiting")] == [2, 40.0, 3]
    tell_queue(advised, waiting=30, wait_s=400, free_agents=2)
    assert not is_offered(advised, "q-long"), "nobody can serve it in time"
    tell_queue(advised, age_s=30, waiting=0, wait_s=0, free_agents=9)
    assert not is_offered(advised, "q-late"), "what is told late changes nothing"
    tell_queue(advised, waiting=0, wait_s=0, free_agents=1)
    assert is_offered(advised, "q-again")


def test_what_was_told_is_unknown_once_it_is_older_than_the_feature_states(advised: Client) -> None:
    welcome(advised, "c-1")
    advised.brain.ledger.transact(
        lambda connection: connection.exec_driver_sql("DELETE FROM queue_states") and None
    ).result()
    tell_queue(advised, age_s=59, waiting=0, wait_s=0, free_agents=1)
    told = advised.brain.measured
    features = advised.brain.snapshot.release.schema.of_routing
    assert told.facts(features, now_us())["chat_wait_s"] == 0.0
    assert "chat_wait_s" not in told.facts(features, now_us() + 1_500_000)
    measure(advised.brain)
    assert is_offered(advised, "q-young")
    advised.brain.measured = type(told)(
        told.values, told.at_us, {name: at - 2_000_000 for name, at in told.told_us.items()}
    )
    assert not is_offered(advised, "q-old")


def test_a_queue_of_several_is_added_up_of_its_parts_and_of_others_nothing_is_guessed() -> None:
    routing = Routing(skills=(Skill(id="bill", issue="service"), Skill(id="moving", issue="service")))
    parts = [QueueState("bill", "chat", 5, 2, 30.0, 1), QueueState("bill", "phone", 3, 4, 10.0, 2)]

    def of(measure: str, **about: str) -> tuple[float, int] | None:
        asked = RoutingMeasure.model_validate({"measure": measure, **about})
        return _reported(asked, _skills(asked, routing), parts)

    assert of("waiting", skill="bill", channel="chat") == (2, 5)
    assert (of("waiting"), of("wait_s", skill="bill"), of("free_agents")) == ((6, 3), (30.0, 3), (2, 3))
    assert of("waiting", skill="moving") is None
    assert of("waiting", channel="video") is None
    assert of("waiting", issue="service") is None, "of one of its skills nothing was told"
    parts.append(QueueState("moving", "chat", 9, None, 5.0, 1))
    assert of("waiting") is None, "one part is unknown"
    assert (of("wait_s", issue="service", channel="chat"), of("wait_s", issue="service", channel="phone")) == (
        (30.0, 5),
        None,
    )
    parts.append(QueueState(ANY, ANY, 9, 50, None, None))
    assert (of("waiting"), of("wait_s")) == ((50, 9), None)
    assert of("wait_s", issue="service") == (30.0, 3)


def test_a_queue_event_is_of_its_form_and_no_agent_tells_it(advised: Client) -> None:
    event = queue_event(now_us(), {"channel": "chat", "waiting": 1})
    for wrong, field in (
        ({"subject": "agent:a-1"}, "subject"),
        ({"type": "agent.heartbeat"}, "subject"),
        ({"data": {"queues": []}}, "data.queues"),
        ({"data": {"queues": [{"waiting": -1}]}}, "data.queues.0.waiting"),
        ({"data": {"queues": [{}, {}]}}, "data.queues"),
        ({"time": iso(now_us() + 60_000_000)}, "time"),
    ):
        assert advised("POST", "/v1/agent-events", {**event, **wrong})[1]["field"] == field, wrong
    agent = Caller("person", "p-1", "Ann", "north", frozenset(("agent",)), "agent")
    with pytest.raises(OutOfScope):
        record(advised.brain, AgentEventIn.model_validate_json(str(event).replace("'", '"')), agent)
