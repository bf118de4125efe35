"""Waiting and free agents as facts: a channel that nobody can serve in time is not offered."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from serving.people.measuring import measure
from tests.serving.handovers.test_agents import add, opened, state
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome

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
    treatments: [{id: web, channel: web, placements: [hero], content_ref: cms/1}]
"""

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
