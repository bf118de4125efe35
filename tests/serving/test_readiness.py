"""Readiness says what cannot be written, and a model that is loaded serves on without its registry."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from decisioning.errors import Unavailable
from serving.brain import releasing
from serving.brain.readiness import Readiness
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, small_workspace
from training.registry import PROPENSITY, Registry


@pytest.fixture
def brain(tmp_path: Path) -> Iterator[Brain]:
    small_workspace(tmp_path)
    workspace = Workspace.open(tmp_path)
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield brain
    brain.close()


@pytest.fixture
def readiness(brain: Brain) -> Readiness:
    return Readiness(brain.ledger, lambda: brain.snapshot.profiles)


def test_a_server_whose_profile_store_was_removed_is_not_ready(brain: Brain) -> None:
    client = Client(brain)
    assert client("GET", "/readyz")[0] == 200
    brain.snapshot.profiles.store.layout.online.unlink()
    status, problem = Client(brain)("GET", "/readyz")
    assert status == 503
    assert list(problem["parts"]) == ["profiles"]
    assert "online.db was removed" in problem["detail"]
    assert client("PATCH", "/v1/customers/c-1", {"facts": {"age": 40}})[0] == 503


def test_a_server_whose_ledger_was_removed_is_not_ready(brain: Brain, readiness: Readiness) -> None:
    (brain.workspace.data / "ledger.db").unlink()
    assert "ledger.db was removed" in readiness.problems()["ledger"]


def test_a_server_whose_ledger_another_program_locks_is_not_ready(brain: Brain, readiness: Readiness) -> None:
    other = sqlite3.connect(brain.workspace.data / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert readiness.problems() == {"ledger": "the ledger's writer is busy for more than 2 s"}
    other.close()


def test_asking_often_writes_once_a_second(brain: Brain, readiness: Readiness) -> None:
    assert [readiness.problems() for _ in range(50)] == [{}] * 50
    spool = brain.snapshot.profiles.archive.spool._db
    before = spool.total_changes
    readiness.problems()
    assert spool.total_changes == before


def test_the_registry_that_is_gone_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    registry = Registry(tmp_path)
    assert registry.lineup(PROPENSITY).champion is None
    (tmp_path / "models" / f"{PROPENSITY}@1").write_text("x")
    with pytest.raises(Unavailable, match=r"mlflow\.db is missing"):
        registry.lineup(PROPENSITY)
