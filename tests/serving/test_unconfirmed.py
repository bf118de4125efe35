"""A decision whose time is over while it is written: what the answer says, and what becomes of its reservation."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    workspace = small_workspace(tmp_path / "ws")
    http = workspace.settings.http.model_copy(update={"request_timeout_s": 0.3})
    brain = Brain(Workspace(workspace.root, workspace.settings.model_copy(update={"http": http})))
    yield Client(brain)
    brain.close()


def late(client: Client, body: dict[str, object]) -> dict[str, object]:
    """Return the problem that answers a request while another program holds the ledger, which then lets it go."""

    async def held() -> tuple[int, dict[str, object]]:
        with sqlite3.connect(client.brain.workspace.ledger_file) as other:
            other.execute("BEGIN IMMEDIATE")
            return await client.ask("POST", "/v1/decisions", body)

    status, problem = asyncio.run(held())
    assert status == 503
    return problem


def recorded(client: Client, customer: str) -> list[str]:
    return [r["kind"] for r in client("GET", f"/v1/customers/{customer}/export")[1]["records"]]


@pytest.mark.promise("decisions.unconfirmed")
def test_a_503_for_a_decision_that_was_committed_says_so_and_releases_what_it_reserved(client: Client) -> None:
    welcome(client, "c-late")
    body = ask("late-1", "c-late", placements=[{"name": "hero", "limit": 5, "fallback": "static-hero"}])
    problem = late(client, body)
    assert "may have been made" in str(problem["detail"])
    assert "same request_id" in str(problem["detail"])
    assert problem["fallbacks"] == {"hero": "static-hero"}
    deadline = time.monotonic() + 5
    while "contact" not in recorded(client, "c-late") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "decision" in recorded(client, "c-late"), "it was committed although the answer was 503"
    held = client("GET", "/v1/customers/c-late")[1]["contacts"]
    assert held
    assert {c["state"] for c in held} == {"expired"}
    status, again = client("POST", "/v1/decisions", body)
    assert status == 200
    assert again["supersedes"]
    assert "tv-bundle" in {o["action"] for o in offers(again)}, "a cap of one a week has room, as nobody saw the first"
    assert client("POST", "/v1/decisions", body)[1] == again


def test_a_503_before_anything_was_written_does_not_say_that_it_may_have_been(client: Client) -> None:
    client.brain.ledger.close()
    status, problem = client("POST", "/v1/decisions", ask("closed-1", "c-closed"))
    assert status == 503
    assert "may have been" not in str(problem["detail"])
