"""How a lead gives conversations to others: in one transaction, and only to agents who may have them."""

from collections.abc import Iterator

import pytest

from decisioning.errors import WrongState
from serving.brain.runtime import Brain
from serving.people.giving import ChangedMeanwhile, give
from tests.serving.handovers.test_handovers import opened, stepped
from tests.serving.workspaces import Client, small_workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("giving") / "shop"))
    yield Client(brain)
    brain.close()


def agent(client: Client, name: str, room: int) -> None:
    stated = {"languages": ["nl"], "capacity": {"chat": room}}
    assert client("PUT", f"/v1/agents/{name}", stated)[0] == 200


def held_by(client: Client, name: str) -> list[str]:
    return list(client("GET", f"/v1/agents/{name}")[1]["handovers"])


@pytest.mark.promise("lead.gives")
def test_a_conversation_that_an_agent_has_goes_to_another_without_waiting_between(client: Client) -> None:
    agent(client, "a-1", 1)
    agent(client, "a-2", 1)
    handover = opened(client, "c-1")["handover_id"]
    stepped(client, handover, "accepted", agent_id="a-1")
    given = give(client.brain, handover, "a-2", "accepted", "person:lead")
    assert (given["state"], given["agent_id"]) == ("accepted", "a-2")
    assert (held_by(client, "a-1"), held_by(client, "a-2")) == ([], [handover])
    back, last = (client.brain.ledger.lookup(f"handover:{handover}#{step}") for step in (2, 3))
    assert back is not None
    assert last is not None
    assert (back.body or {})["by"] == (last.body or {})["by"] == "person:lead"
    assert last.version == back.version + 1
    assert give(client.brain, handover, "a-2", "accepted", "person:lead") == given, "again changes nothing"
    assert client.brain.ledger.lookup(f"handover:{handover}#4") is None


@pytest.mark.promise("lead.gives")
def test_nobody_gets_more_than_they_have_room_for_and_nothing_changes(client: Client) -> None:
    agent(client, "a-3", 1)
    give(client.brain, opened(client, "c-3", conversation_id="chat-3")["handover_id"], "a-3", "offered", "person:lead")
    agent(client, "a-4", 1)
    handover = opened(client, "c-2", conversation_id="chat-2")["handover_id"]
    with pytest.raises(WrongState, match="no room"):
        give(client.brain, handover, "a-3", "offered", "person:lead")
    give(client.brain, handover, "a-4", "offered", "person:lead")
    with pytest.raises(WrongState, match="no room"):
        give(client.brain, handover, "a-3", "accepted", "person:lead")
    shown = client("GET", f"/v1/handovers/{handover}")[1]
    assert (shown["state"], shown["agent_id"], held_by(client, "a-4")) == ("offered", "a-4", [handover])


@pytest.mark.promise("lead.two")
def test_of_two_leads_who_saw_the_same_the_second_takes_nothing_back(client: Client) -> None:
    for name in ("a-5", "a-6"):
        agent(client, name, 1)
    handover = opened(client, "c-5", conversation_id="chat-5")["handover_id"]
    give(client.brain, handover, "a-5", "offered", "person:first", seen=0)
    with pytest.raises(ChangedMeanwhile):
        give(client.brain, handover, "a-6", "offered", "person:second", seen=0)
    assert held_by(client, "a-5") == [handover]
    assert give(client.brain, handover, "a-6", "offered", "person:second", seen=1)["agent_id"] == "a-6"
