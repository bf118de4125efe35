"""`brain evaluate --against` as a command: for a stored release, for the files in the folder, and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import brain
from decisioning.facts.forms import PRIOR_MODEL
from features.ledger import now_us
from serving.brain import releasing
from serving.brain.scoring import prior_scorer
from serving.commands.offline import open_brain
from serving.settings import Workspace
from tests.training.changed import GATED, LOOSE, SOAP, fill
from tests.training.decided import DAY_US

N = 260
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a released workspace with decisions of sixty days ago, made by priors."""
    root = tmp_path_factory.mktemp("shop") / "w"
    releasing.new(root)
    for starter in (root / "catalogue").glob("*.yaml"):
        starter.unlink()
    (root / "catalogue" / "all.yaml").write_text(LOOSE)
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    with open_brain(workspace) as answering:
        release = answering.snapshot.release
        fill(answering.ledger, release, N, now_us() - 60 * DAY_US, score=prior_scorer(release), model=PRIOR_MODEL)
    return workspace


@pytest.fixture
def run(shop: Workspace) -> Run:
    def run_it(*arguments: str) -> Result:
        return CliRunner().invoke(brain.main, ["evaluate", *arguments, "--workspace", str(shop.root)])

    return run_it


@pytest.mark.promise("evaluation.changed-release")
def test_files_are_valued_before_they_are_released_and_a_stored_release_too(run: Run, shop: Workspace) -> None:
    file = shop.root / "catalogue" / "all.yaml"
    file.write_text(LOOSE.replace("value: 9", "value: 14"))
    result = run("--against", "files", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["decisions"], report["refused"], report["claim"]) == (N, None, "better")
    assert [e["method"] for e in report["estimates"]] == ["whole", "prefix", "doubly robust", "model-based"]
    assert report["estimates"][0]["average_weight"] != 1.0
    with open_brain(shop) as answering:
        same = answering.snapshot.release.hash
    report = json.loads(run("--against", same, "--json").stdout)
    assert [e["more_than_logged"]["value"] for e in report["estimates"]] == [0.0, 0.0, 0.0, 0.0]


def test_a_new_action_is_refused_and_named_for_people_to_read(run: Run, shop: Workspace, tmp_path: Path) -> None:
    (shop.root / "catalogue" / "all.yaml").write_text(LOOSE + SOAP)
    printed = run("--against", "files")
    assert printed.exit_code == 0, printed.output
    assert "could not have been logged" in printed.stdout
    assert "soap" in printed.stdout
    assert "model-based" in printed.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (LOOSE, ("--against", "sha256:00"), "no one release of this name is kept here"),
        (GATED.replace("age < 50", "aeg < 50"), ("--against", "files"), "catalogue/all.yaml:"),
        (LOOSE, ("--against", "files", "--outcome", "unheard-of"), "no action"),
    ],
)
def test_what_cannot_be_answered_is_one_plain_line(
    run: Run, shop: Workspace, text: str, arguments: tuple[str, ...], message: str
) -> None:
    (shop.root / "catalogue" / "all.yaml").write_text(text)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert json.loads(run(*arguments, "--json").stdout)["error"] == result.stderr.rstrip("\n")
