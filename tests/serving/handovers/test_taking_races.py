"""Customers race for agents with little room, taken by processes that are killed in between."""

import random
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features.handovers.agents import note_heartbeats
from features.handovers.slots import agent_stream
from features.ledger import Entry, now_us
from serving.brain.runtime import Brain
from serving.people.agents import put
from serving.people.forms import AgentIn
from serving.people.handover_forms import HandoverIn
from serving.people.handovers import listed, open_handover
from serving.people.queue import Queue
from tests.serving.conftest import NewDatabase
from tests.serving.handovers import taker
from tests.serving.handovers.test_agents import held_at_once
from tests.serving.workspaces import small_workspace

AGENT = AgentIn(languages=("nl",), capacity={"chat": 3})


def opened(brain: Brain, count: int) -> list[str]:
    asked = (
        HandoverIn(request_id=f"r-{n}", customer_id=f"c-{n}", conversation_id=f"k-{n}", channel="chat", reason="help")
        for n in range(count)
    )
    return [open_handover(brain, one, "test")["handover_id"] for one in asked]


def run_takers(root: Path, agents: Iterable[str], seed: int, most: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, taker.__file__, str(root)]
    return [
        subprocess.Popen(
            [*command, agent, str(seed + n), str(most)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for n, agent in enumerate(agents)
    ]


@pytest.mark.long
@pytest.mark.promise("routing.room")
def test_processes_that_are_killed_lose_nobody_and_never_overfill_an_agent(
    tmp_path: Path, database: NewDatabase
) -> None:
    """Three processes take for two agents with room for three. All are killed again and again, in the middle of it."""
    root, rng = tmp_path / "shop", random.Random(7)
    brain = Brain(small_workspace(root, database=database()))
    for agent in ("solo", "other"):
        put(brain, agent, AGENT)
    handovers = opened(brain, 32)
    for round_ in range(4):
        processes = run_takers(root, ("solo", "solo", "other"), 10 * round_, 4)
        victim = rng.choice(processes)
        assert victim.stdout is not None
        for _ in range(rng.randint(1, 3)):
            victim.stdout.readline()
        for process in (victim, *processes):
            process.kill()
            process.wait()
    assert listed(brain, "")["handovers"], "some are left for those who come after"
    last = run_takers(root, ("solo", "other"), 99, 10_000)
    assert [process.wait() for process in last] == [0, 0]
    records = {one: list(brain.ledger.records(row_stream(brain, one))) for one in handovers}
    for steps in records.values():
        states = [record.body["state"] for record in steps if record.body is not None]
        assert states == ["opened", "accepted", "resolved"]
    assert max(held_at_once(brain, agent) for agent in ("solo", "other")) == 3
    assert not list(brain.ledger.verify())
    brain.close()


def row_stream(brain: Brain, handover: str) -> str:
    record = brain.ledger.lookup(f"handover:{handover}#0")
    assert record is not None
    return record.stream


@pytest.mark.long
@pytest.mark.promise("routing.offers")
def test_replicas_that_route_at_the_same_time_offer_nobody_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: NewDatabase
) -> None:
    """The claim, by which replicas take turns, is switched off: exactness does not rest on it."""
    monkeypatch.setattr("serving.people.queue._CLAIM_US", 0)
    first = Brain(small_workspace(tmp_path / "shop", "routing: {mode: own, last_new_s: 0}", database()))
    second = Brain(first.workspace)
    agents = [f"a-{n}" for n in range(5)]
    for agent in agents:
        put(first, agent, AGENT)
        first.ledger.append([Entry(agent_stream(first.ledger, agent), "presence", {"state": "available"}, None)])
    note_heartbeats(first.ledger, agents, now_us())
    handovers = opened(first, 30)
    with ThreadPoolExecutor(4) as pool:
        queues = [Queue(brain) for brain in (first, second, first, second)]
        assert list(pool.map(Queue.work, queues)) == [None] * 4
    Queue(first).work()
    offered = [one for one in listed(first, "")["handovers"] if one["state"] == "offered"]
    assert len(offered) == 15
    assert {held_at_once(first, agent) for agent in agents} == {3}
    for one in handovers:
        steps = [record.body for record in first.ledger.records(row_stream(first, one)) if record.body is not None]
        assert [step["state"] for step in steps] in (["opened"], ["opened", "offered"])
    assert not list(first.ledger.verify())
    second.close()
    first.close()
