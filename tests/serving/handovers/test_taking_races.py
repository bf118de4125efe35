"""Customers race for agents with little room, taken by processes that are killed in between."""

import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from serving.brain.runtime import Brain
from serving.contract import HandoverIn
from serving.people.agents import put
from serving.people.forms import AgentIn
from serving.people.handovers import listed, open_handover
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
def test_processes_that_are_killed_lose_nobody_and_never_overfill_an_agent(tmp_path: Path) -> None:
    """Three processes take for two agents with room for three. All are killed again and again, in the middle of it."""
    root, rng = tmp_path / "shop", random.Random(7)
    brain = Brain(small_workspace(root))
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
