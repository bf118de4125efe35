"""A time that a request gives: nothing is computed after it, and only what is being written by then is answered."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from features.ledger import Entry
from features.ledger.writer import Submission
from serving.brain.runtime import Brain
from serving.brain.together import Made
from tests.serving.test_metrics import counted
from tests.serving.workspaces import Client, Json, ask, small_workspace

GIVEN_S = 0.2


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("deadlines") / "ws"))
    yield Client(brain)
    brain.close()


@pytest.fixture
def made(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """The decisions that are computed."""
    decisions: list[Made] = []
    make = client.brain._make

    def noted(*arguments: Any) -> Made:
        decisions.append(make(*arguments))
        return decisions[-1]

    monkeypatch.setattr(client.brain, "_make", noted)
    return decisions


def body(name: str) -> Json:
    return ask(name, f"c-{name}", placements=[{"name": "hero", "fallback": "static-hero"}])


def check_undecided(client: Client, name: str, answer: tuple[int, Json]) -> None:
    """Check that an answer says that nothing was decided, and that this is so."""
    status, problem = answer
    assert (status, problem["type"], problem["fallbacks"]) == (503, "/problems/too-late", {"hero": "static-hero"})
    assert "nothing was decided" in problem["detail"]
    assert client("GET", f"/v1/customers/c-{name}/export")[1]["records"] == []


@pytest.mark.promise("serving.deadlines")
def test_what_comes_after_its_time_is_not_computed(client: Client, made: list[Made]) -> None:
    """It came late by itself, or because it waited in the proxy, which says when it arrived."""
    arrived = str(round((time.time() - 1) * 1_000_000))
    late: list[dict[str, str]] = [{"request_timeout": "0.000000001"}, {"request_timeout": "1", "x_arrived_us": arrived}]
    for n, headers in enumerate(late):
        for mode in ("live", "preview"):
            answer = client("POST", "/v1/decisions", {**body(f"late-{n}"), "mode": mode}, **headers)
            check_undecided(client, f"late-{n}", answer)
    assert made == []
    assert counted(client.brain.metrics, "brain_requests_shed") == {"late": 4.0}
    assert client("POST", "/v1/decisions", body("in-time"), request_timeout="20")[0] == 200


@pytest.mark.promise("serving.deadlines")
def test_what_waits_for_its_turn_until_its_time_is_over_is_not_computed(client: Client, made: list[Made]) -> None:
    """The loop computes for another request meanwhile."""

    async def both() -> tuple[int, Json]:
        waiting = asyncio.create_task(client.ask("POST", "/v1/decisions", body("turn"), request_timeout=str(GIVEN_S)))
        await asyncio.sleep(0)  # now it waits for its turn, which is the next one
        assert client.brain._together._waiting
        time.sleep(GIVEN_S)
        return await waiting

    check_undecided(client, "turn", asyncio.run(both()))
    assert made == []


@pytest.mark.promise("serving.deadlines")
def test_a_decision_is_not_made_again_after_its_time(
    client: Client, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another record comes first, and its time is over by then: the attempts end."""
    brain, commit = client.brain, client.brain.ledger.commit

    async def second(entries: Sequence[Entry], *more: Any) -> tuple[int, ...]:
        flag = Entry(entries[0].stream, "flag", {"restricted": False}, None)
        await commit([flag])
        await asyncio.sleep(GIVEN_S)
        return await commit(entries, *more)

    monkeypatch.setattr(brain.ledger, "commit", second)
    status, problem = client("POST", "/v1/decisions", body("again"), request_timeout=str(GIVEN_S))
    assert (status, problem["type"]) == (503, "/problems/too-late")
    assert len(made) == 1


@pytest.mark.promise("serving.deadlines")
def test_what_is_being_written_when_its_time_is_over_is_answered_and_what_waits_behind_it_is_not_written(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the ledger: the first decision is being written, the second one waits for the writer."""
    submitted: list[Submission] = []
    writer, submit = client.brain.ledger._writer, client.brain.ledger._writer.submit
    monkeypatch.setattr(writer, "submit", lambda submission: submitted.append(submission) or submit(submission))

    async def held() -> list[tuple[int, Json]]:
        asked = partial(client.ask, "POST", "/v1/decisions", request_timeout=str(GIVEN_S))
        with sqlite3.connect(client.brain.workspace.ledger_file) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(asked(body("first")))
            while not (submitted and submitted[0].future.running()):
                await asyncio.sleep(0.005)
            second = await asked(body("second"))
            assert not first.done()
        return [await first, second]

    (status, answer), second = asyncio.run(held())
    assert status == 200
    assert client("GET", f"/v1/decisions/{answer['decision_id']}")[0] == 200
    check_undecided(client, "second", second)


@pytest.mark.parametrize("stated", ["0", "-1", "soon", "nan", "inf", "1e3", "3601", ""])
def test_a_time_that_is_no_number_of_seconds_is_refused_by_its_name(client: Client, stated: str) -> None:
    status, problem = client("POST", "/v1/decisions", body("wrong"), request_timeout=stated)
    assert (status, problem["field"]) == (422, "Request-Timeout")
