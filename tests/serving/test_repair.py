"""`brain repair` makes anew what other files tell, invents nothing, and says what it cannot do."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import brain as command_line
from decisioning.errors import BrainError, Refused
from features.profile import spool
from features.profile.stores import sqlite
from serving.brain.runtime import Brain
from serving.commands.repairing import repair
from serving.commands.verifying import verify
from serving.lifecycle.files.repair import not_served
from serving.settings import Workspace
from tests.serving.flipping import PEOPLE, full_workspace
from tests.serving.workspaces import Client


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with facts in the history, and newer ones that only the spool has."""
    workspace = full_workspace(tmp_path_factory.mktemp("repaired") / "shop")
    brain = Brain(workspace)
    brain.compact()
    client = Client(brain)
    for n, person in enumerate(PEOPLE[:3]):
        assert client("PATCH", f"/v1/customers/{person}", {"facts": {"age": 50 + n, "has_tv": None}})[0] == 200
    brain.close()
    shutil.copytree(workspace.root, workspace.root.with_name("kept"))
    return workspace


@pytest.fixture
def shop(original: Workspace) -> Iterator[Workspace]:
    yield original
    shutil.rmtree(original.root)
    shutil.copytree(original.root.with_name("kept"), original.root)


def everything(workspace: Workspace) -> dict[str, Any]:
    """Return what is known of every customer."""
    brain = Brain(workspace)
    client = Client(brain)
    known = {person: client("GET", f"/v1/customers/{person}")[1] for person in PEOPLE}
    brain.close()
    return {person: (answer["facts"], answer.get("consents")) for person, answer in known.items()}


def removed(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


LOST = {
    "online store": ["online.db"],
    "spool": ["offline/spool.db"],
    "history": ["offline/profile.parquet"],
    "history and spool": ["offline/profile.parquet", "offline/scores.parquet", "offline/spool.db"],
    "repository": ["feature_repo/feature_store.yaml", "feature_repo/schema.json", "online.db"],
    "checkpoints": ["checkpoints"],
}
WITNESSES = ("online store",)


@pytest.mark.promise("workspace.repair")
@pytest.mark.parametrize("case", [c if c in WITNESSES else pytest.param(c, marks=pytest.mark.long) for c in LOST])
def test_every_customers_facts_come_back_equal(shop: Workspace, case: str) -> None:
    before = everything(shop)
    assert before["c-1"][0]["age"] == 50
    for name in LOST[case]:
        removed(shop.data / name)
    if case != "checkpoints":
        with pytest.raises(BrainError, match=r"brain repair|brain release"):
            everything(shop)
    report = repair(shop)
    assert report["repaired"]
    assert report["cannot"] == []
    assert everything(shop) == before
    assert verify(shop, 1)["flaws"] == []
    assert repair(shop) == {"repaired": [], "cannot": []}, "there is nothing left to do"


@pytest.mark.promise("workspace.repair")
def test_a_ledger_and_a_secret_cannot_be_repaired(shop: Workspace) -> None:
    secret = shop.secret_file.read_bytes()
    for path in (shop.ledger_file, shop.secret_file):
        content = path.read_bytes()
        path.unlink()
        words = ["repair", "--json", "--workspace", str(shop.root)]
        result = CliRunner().invoke(command_line.main, words, prog_name="brain")
        assert result.exit_code == 1
        assert "from your backup" in json.loads(result.stdout)["cannot"][0]
        assert not path.exists()
        path.write_bytes(content)
        path.chmod(0o600)
    assert shop.secret_file.read_bytes() == secret


def test_a_workspace_that_is_served_is_not_repaired(shop: Workspace) -> None:
    with not_served(shop), pytest.raises(Refused, match="stop it first"):
        repair(shop)


@pytest.mark.promise("workspace.repair")
@pytest.mark.parametrize("file", ["offline/spool.db", pytest.param("online.db", marks=pytest.mark.long)])
def test_a_file_that_another_program_holds_is_not_made_anew(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """What only the spool has would be lost with it; a program that copies the workspace may hold it."""
    for module in (spool, sqlite):
        monkeypatch.setattr(module, "BUSY_S", 0.05)
    shutil.rmtree(shop.root)
    shutil.copytree(shop.root.with_name("kept"), shop.root)  # nothing of this process has its files open
    with closing(sqlite3.connect(shop.data / file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        report = repair(shop)
        other.execute("ROLLBACK")
    name = file.rpartition("/")[2]
    assert report["cannot"] == [f"{name}: another program holds it: try again"]
    assert repair(shop)["cannot"] == []
    assert [everything(shop)[person][0]["age"] for person in PEOPLE[:3]] == [50, 51, 52]


@pytest.mark.long
def test_an_erased_customer_does_not_come_back_from_an_older_online_store(shop: Workspace) -> None:
    older = (shop.data / "online.db").read_bytes()
    brain = Brain(shop)
    assert Client(brain)("DELETE", "/v1/customers/c-1")[0] < 300
    brain.close()
    removed(shop.data / "online.db")
    (shop.data / "online.db").write_bytes(older)
    repair(shop)
    removed(shop.data / "online.db")
    repair(shop)
    assert everything(shop)["c-1"][0] == {}


@pytest.mark.long
def test_a_repair_that_is_killed_anywhere_is_finished_by_the_next(shop: Workspace) -> None:
    before = everything(shop)
    kept = shop.root.with_name("broken")
    for name in LOST["repository"]:
        removed(shop.data / name)
    shutil.copytree(shop.root, kept)
    for tenths in range(1, 60, 4):
        shutil.rmtree(shop.root)
        shutil.copytree(kept, shop.root)
        if (child := os.fork()) == 0:
            with suppress(BaseException):
                repair(shop)
            os._exit(0)
        os.system(f"sleep {tenths / 10}; kill -9 {child} 2>/dev/null")
        os.waitpid(child, 0)
        repair(shop)
        assert everything(shop) == before
