"""Workspaces that were moved or copied: whatever opens them first writes anew what names their folder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import brain
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import now_us
from features.profile.store import Store
from serving.brain.active import open_ledger
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, small_workspace, welcome

ODD = "20% of [another] k=v?"
"""A folder whose name means something in URLs, to DuckDB and to SQLite."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a customer, a decision, an export and what a server left in `run/`; opened by a command."""
    workspace = small_workspace(tmp_path_factory.mktemp("original") / "shop")
    served = Brain(workspace)
    client = Client(served)
    welcome(client, "c-1")
    assert client("POST", "/v1/decisions", ask("r-1"))[0] == 200
    served.close()
    run(workspace.root, "export", "c-1", "--out", str(workspace.root / "c-1.json"))
    workspace.run.mkdir(exist_ok=True)
    (workspace.run / "serve.json").write_text("{}")
    return workspace


@pytest.fixture(params=["another", ODD])
def copied(original: Workspace, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the workspace; at the end, nothing in the original has changed."""
    before = _state(original.root)
    yield shutil.copytree(original.root, tmp_path / request.param)
    assert _state(original.root) == before


def _state(root: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*") if path.is_file()}


def run(root: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(brain.main, [*arguments, "--json", "--workspace", str(root)], prog_name="brain")
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.promise("serving.copies")
def test_a_copy_has_the_facts_and_erases_its_own_alone(copied: Path) -> None:
    assert json.loads(run(copied, "export", "c-1").stdout)["facts"]["age"] == 40
    run(copied, "erase", "c-1", "--yes")
    assert json.loads(run(copied, "export", "c-1").stdout)["facts"] == {}
    run(copied, "release")
    assert json.loads(run(copied, "verify").stdout)["different"] == []


@pytest.mark.promise("serving.copies")
def test_whatever_opens_a_copy_first_writes_feasts_paths_anew(copied: Path) -> None:
    """`feast ui` and `feast materialize` read the generated files and the registry alone."""
    run(copied, "check")
    workspace = Workspace.open(copied)
    written = (workspace.data / "feature_repo" / "feature_store.yaml").read_text()
    assert "original" not in written
    views = Store(workspace.data).feast.list_feature_views()
    assert {Path(view.batch_source.path).parent for view in views} == {workspace.offline}
    assert not workspace.run.exists()
    assert not workspace.written_file.exists()


@pytest.mark.promise("serving.copies")
def test_a_workspace_keeps_its_name_in_a_folder_of_another_name(copied: Path) -> None:
    run(copied, "check")
    assert Workspace.open(copied).name == "shop"
    receipt = json.loads(run(copied, "export", "c-1").stdout)["receipts"][0]
    assert receipt["dct:publisher"] == "shop"


@pytest.mark.promise("serving.copies")
def test_a_moved_workspace_still_cleans_what_it_exported(original: Workspace, tmp_path: Path) -> None:
    root = shutil.copytree(original.root, tmp_path / "before")
    run(root, "export", "c-1", "--out", str(root / "c-1.json"))
    outside = tmp_path / "outside.json"
    run(root, "export", "c-1", "--out", str(outside))
    moved = root.rename(tmp_path / "after")
    run(moved, "erase", "c-1", "--yes")
    assert not outside.exists()
    assert not (moved / "c-1.json").exists()


def test_a_workspace_of_an_earlier_version_is_settled_by_what_feast_was_given(copied: Path) -> None:
    (copied / "data" / "place").unlink()
    run(copied, "check")
    assert not (copied / "data" / "written.jsonl").exists()
    assert str(copied.resolve() / "data" / "online.db") in (copied / "data/feature_repo/feature_store.yaml").read_text()


@pytest.mark.promise("serving.copies")
def test_a_copy_shares_no_key_of_a_redis_with_the_original(tmp_path: Path, redis_at: str) -> None:
    workspace = small_workspace(tmp_path / "shop")
    (workspace.root / "brain.yaml").write_text(f"online_store: {{redis: '{redis_at}'}}\n")
    run(workspace.root, "release")
    served = Brain(Workspace.open(workspace.root))
    welcome(Client(served), "c-1")
    served.close()
    copied = shutil.copytree(workspace.root, tmp_path / "copied")
    people = tmp_path / "people.csv"
    people.write_text("customer_id,age\nc-1,77\n")
    run(copied, "import", "profile", str(people))
    ages = [json.loads(run(root, "export", "c-1").stdout)["facts"]["age"] for root in (copied, workspace.root)]
    assert ages == [77, 40]
    run(copied, "erase", "c-1", "--yes")
    assert json.loads(run(workspace.root, "export", "c-1").stdout)["facts"]["age"] == 40


@pytest.mark.promise("serving.copies")
def test_a_folder_named_2026_is_a_workspace(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "2026")
    body = tmp_path / "ask.json"
    body.write_text(json.dumps(ask("r")))
    assert json.loads(run(workspace.root, "decide", str(body)).stdout)["customer_id"] == "c-1"
    assert Store(workspace.data).feast.project == "brain"


@pytest.mark.promise("serving.copies")
@pytest.mark.parametrize(("name", "other"), [("shop[12]", "shop1"), ("shop*", "shops"), ("shop?", "shop2")])
def test_a_folders_name_reads_no_other_workspaces_decision_log(
    original: Workspace, tmp_path: Path, name: str, other: str
) -> None:
    with open_ledger(original) as ledger:
        release = Release.from_bytes(ledger.get_release(ledger.active("dev")))
        for folder in (name, other):
            DecisionLog(tmp_path / folder).update(ledger, release, now_us())
    for file in (tmp_path / name).rglob("rows/*.parquet"):
        file.unlink()
    log = DecisionLog(tmp_path / name)
    assert log.query("SELECT count(*) AS n FROM log", release)["n"].to_pylist() == [0]
    assert DecisionLog(tmp_path / other).query("SELECT count(*) AS n FROM log", release)["n"].to_pylist() != [0]


def test_a_folders_name_adds_no_column_to_the_decision_log(original: Workspace, tmp_path: Path) -> None:
    with open_ledger(original) as ledger:
        release = Release.from_bytes(ledger.get_release(ledger.active("dev")))
        log = DecisionLog(tmp_path / "age=999")
        log.update(ledger, release, now_us())
    assert set(log.query("SELECT age FROM log", release)["age"].to_pylist()) == {40}
