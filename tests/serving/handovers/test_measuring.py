"""Waiting and free agents as facts: a channel that nobody can serve in time is not offered."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from serving.events.moments import Watcher
from serving.people.measuring import measure
from tests.serving.handovers.test_agents import add, opened, state
from tests.serving.workspaces import Client, ask, decide_and_send, offers, signal, small_workspace, welcome

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
    assert client.brain.measured.values == {"chat_agents": 0, "chats_waiting": 0}, "nobody is there: no wait is known"
    assert not is_offered(client, "nobody")
    add(client, "m-1")
    measure(client.brain)
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
