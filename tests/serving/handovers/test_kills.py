"""Two processes that book, take and live through handovers at once, both killed again and again with SIGKILL."""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import select

from features.ledger.tables import HANDOVERS
from serving.brain.runtime import Brain
from serving.people import call_backs
from tests.serving.conftest import NewDatabase
from tests.serving.handovers import racer
from tests.serving.handovers.test_agents import held_at_once
from tests.serving.handovers.test_call_backs import CALENDAR
from tests.serving.handovers.test_taking_races import opened, row_stream
from tests.serving.workspaces import small_workspace

pytestmark = pytest.mark.long
CUSTOMERS, CAPACITY = 200, 5
Told = list[list[str]]


@pytest.fixture
def brain(tmp_path: Path, database: NewDatabase) -> Iterator[Brain]:
    brain = Brain(small_workspace(tmp_path / "shop", CALENDAR, database()))
    yield brain
    brain.close()


def race(brain: Brain, what: str, about: str, kills: int, lines: int, *, ends: bool = True) -> Told:
    """Return every answer that two processes got that began at once; both are killed so many times.

    :param lines: after how many lines they are killed at most
    :param ends: whether two more run to their end
    """
    rng, told = random.Random(what), Told()
    for round_ in range(kills):
        two = begun(brain, str(round_), what, about)
        for n in range(rng.randint(2, lines)):
            told += [line.split() for line in (two[n % 2][1].readline(),) if line]
        for process, _ in two:
            process.kill()
        told += rest_of(two)
        assert {process.wait() for process, _ in two} <= {0, -signal.SIGKILL}
    if ends:
        two = begun(brain, "last", what, about)
        told += rest_of(two)
        assert {process.wait() for process, _ in two} == {0}
    assert not list(brain.ledger.verify())
    return told


def begun(brain: Brain, seed: str, what: str, about: str) -> list[tuple["subprocess.Popen[str]", IO[str]]]:
    """Return two processes that begin at once, and what they write."""
    two = list[tuple[subprocess.Popen[str], IO[str]]]()
    for half in "01":
        command = [sys.executable, racer.__file__, str(brain.workspace.root), seed, half, what, about]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        two.append((process, process.stdout))
    assert [lines.readline() for _, lines in two] == ["ready\n"] * 2
    for process, _ in two:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    return two


def rest_of(two: list[tuple["subprocess.Popen[str]", IO[str]]]) -> Told:
    """Return what processes wrote until they ended, without a line that a kill cut off."""
    return [line.split() for _, lines in two for line in lines if line.endswith("\n")]


def states(brain: Brain, handover: str) -> list[str]:
    """Return the states of a handover by its records."""
    bodies = (record.body for record in brain.ledger.records(row_stream(brain, handover)))
    return [body["state"] for body in bodies if body is not None and body.get("handover_id") == handover]


@pytest.mark.promise("call-backs.capacity")
def test_of_200_who_want_a_slot_of_five_five_get_it_and_nobody_is_lost(brain: Brain) -> None:
    handovers = opened(brain, CUSTOMERS)
    wanted = call_backs.free_slots(brain, handovers[0], racer.CALENDAR)["slots"][4]["starts_at"]
    told = race(brain, "book", wanted, kills=6, lines=40)
    rows = {row.id: row for row in brain.ledger.select(select(HANDOVERS))}
    assert {(row.state, row.due_us is None) for row in rows.values()} == {("call_back", False)}, "nobody is lost"
    slots = Counter(row.due_us for row in rows.values())
    assert max(slots.values()) == CAPACITY, "never six"
    shown = {name: call_backs.as_json(row)["due_at"] for name, row in rows.items()}
    assert Counter(shown.values())[wanted] == CAPACITY
    assert dict(told).items() <= shown.items(), "whoever was told a time has it"
    for starts_us, count in slots.items():
        slot = call_backs.slot_of(brain.ledger, call_backs.calendar_of(brain.snapshot.release, "desk"), starts_us)
        assert len(brain.ledger.read(slot.stream)[0].booked) == count


@pytest.mark.promise("handovers.one-taker")
def test_of_32_who_want_a_handover_one_gets_it(brain: Brain) -> None:
    handovers = opened(brain, 80)
    told = race(brain, "take", "", kills=5, lines=10)
    takers = {row.id: row.agent for row in brain.ledger.select(select(HANDOVERS))}
    for handover in handovers:
        assert states(brain, handover) == ["opened", "accepted"], "one taker"
    assert all(takers[name] == agent for name, agent in told), "nobody else was told that they have it"
    assert {name.split("-")[0] for name in takers.values()} == {"p0", "p1"}, "both processes took some"
    assert max(held_at_once(brain, agent) for agent in set(takers.values())) <= 3


@pytest.mark.promise("serving.kill")
def test_what_was_answered_survives_that_everything_is_killed(brain: Brain) -> None:
    told = race(brain, "live", "", kills=8, lines=40, ends=False)
    assert len(told) > 100
    lives: dict[str, list[str]] = {}
    for name, state in told:
        lives.setdefault(name, []).append(state)
    for name, answered in lives.items():
        recorded = states(brain, name)
        assert recorded[: len(answered)] == answered
        assert len(recorded) <= len(answered) + 1, "at most the step is more whose answer was on its way"
        (row,) = brain.ledger.select(select(HANDOVERS).where(HANDOVERS.c.id == name))
        assert row.state == recorded[-1]
