"""Customers race for agents with little room: from threads, and from processes that are killed in between."""

import random
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from features.handovers.slots import agent_stream
from serving.brain.runtime import Brain
from serving.contract import HandoverIn
from serving.people.agents import put
from serving.people.forms import AgentIn
from serving.people.handovers import listed, open_handover
from tests.serving.handovers import taker
from tests.serving.workspaces import Client, small_workspace

AGENT = AgentIn(languages=("nl",), capacity={"chat": 3})


def opened(brain: Brain, count: int) -> list[str]:
    asked = (
        HandoverIn(request_id=f"r-{n}", customer_id=f"c-{n}", conversation_id=f"k-{n}", channel="chat", reason="help")
        for n in range(count)
    )
    return [open_handover(brain, one, "test")["handover_id"] for one in asked]


def held_at_once(brain: Brain, agent: str) -> int:
    """Return the most that an agent ever held, by every record of the agent's stream."""
    held, most = set[Any](), 0
    for record in brain.ledger.records(agent_stream(brain.ledger, agent)):
        assert record.body is not None
        name = record.body["handover_id"]
        held = held - {name} if record.body["held"] == "ended" else held | {name}
        most = max(most, len(held))
    return most


@pytest.mark.promise("routing.room")
def test_of_many_customers_who_race_for_one_agent_as_many_are_taken_as_there_is_room_for(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop"))
    client = Client(brain)
    put(brain, "solo", AGENT)
    handovers, body = opened(brain, 12), {"state": "accepted", "agent_id": "solo"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: client("POST", f"/v1/handovers/{one}/steps", body)[0], handovers))
    assert sorted(answers) == [200] * 3 + [409] * 9
    assert held_at_once(brain, "solo") == 3
    brain.close()


def run_takers(root: Path, agents: Iterable[str], seed: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, taker.__file__, str(root)]
    return [
        subprocess.Popen([*command, agent, str(seed + n)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for n, agent in enumerate(agents)
    ]


@pytest.mark.long
@pytest.mark.promise("routing.room")
def test_processes_that_are_killed_lose_nobody_and_never_overfill_an_agent(tmp_path: Path) -> None:
    """Three processes take for two agents with room for three. All are killed again and again, in the middle of it."""
    root, rng = tmp_path / "shop", random.Random(7)
    brain = Brain(small_workspace(root))
    for agent in ("solo", "other"):
        put(brain, agent, AGENT)
    handovers = opened(brain, 32)
    for round_ in range(4):
        processes = run_takers(root, ("solo", "solo", "other"), 10 * round_)
        victim = rng.choice(processes)
        assert victim.stdout is not None
        for _ in range(rng.randint(1, 3)):
            victim.stdout.readline()
        for process in (victim, *processes):
            process.kill()
            process.wait()
    assert listed(brain, "")["handovers"], "some are left for those who come after"
    last = run_takers(root, ("solo", "other"), 99)
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
