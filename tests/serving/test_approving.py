"""Approval of releases by commands: two operating-system users, three environments, and what everybody sees of it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import brain as command_line
from serving.access.users import operating_system_user
from serving.answers import operating
from serving.brain.releases.files import read_files
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.commands.releases import approving  # noqa: F401 - before another user runs it, who cannot read it
from serving.settings import Workspace
from tests.features.processes import child
from tests.serving.people.browser import Browser
from tests.serving.workspaces import Client, small_workspace

NOBODY = 65534
CAP = "  - {id: once-a-week, count: action, limit: 1, window_days: 7}\n"


def run(workspace: Workspace | Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON of a command that this process's user runs."""
    root = workspace if isinstance(workspace, Path) else workspace.root
    result = CliRunner().invoke(command_line.main, [*arguments, "--json", "--workspace", str(root)])
    return result.exit_code, json.loads(result.stdout)


def _as_user(pipe: Connection, uid: int, root: str, *arguments: str) -> None:
    os.setresuid(uid, uid, uid)
    pipe.send((run(Path(root), *arguments), operating_system_user().ids))


def as_nobody(workspace: Workspace, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return what `run` does, of a process that is the user `nobody`, to whom the workspace is given."""
    for path in (workspace.root, *workspace.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    with child(_as_user, NOBODY, str(workspace.root), *arguments) as other:
        answer, ids = other.pipe.recv()
    assert ids == ("nobody",)
    return answer  # type: ignore[no-any-return]


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of dev with the small catalogue, released."""
    return small_workspace(tmp_path_factory.mktemp("approving") / "dev").root


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may pass through, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="approving-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def dev(made: Path, folder: Path) -> Workspace:
    """A dev workspace, with empty ones of test and prod beside it that `brain.yaml` names."""
    shutil.copytree(made, folder / "dev", symlinks=True)
    environments = "environments: {test: ../test, prod: ../prod}\n"
    (folder / "dev" / "brain.yaml").write_text(environments)
    for name in ("test", "prod"):
        assert run_new(folder / name) == 0
        (folder / name / "brain.yaml").write_text(f"environment: {name}\n" + environments)
        (folder / name / "keys" / "admin").unlink()
    return Workspace.open(folder / "dev")


def run_new(folder: Path) -> int:
    return CliRunner().invoke(command_line.main, ["new", str(folder)]).exit_code


def workspace_of(dev: Workspace, environment: str) -> Workspace:
    return Workspace.open(dev.root.parent / environment)


@needs_root
@pytest.mark.promise("approvals.environments")
def test_a_release_goes_from_dev_to_test_to_prod_by_its_hash(dev: Workspace) -> None:
    test, prod = workspace_of(dev, "test"), workspace_of(dev, "prod")
    policies = dev.catalogue / "policies.yaml"
    policies.write_text(policies.read_text() + "# by this user\n")
    code, released = run(dev, "release")
    assert code == 0, "dev asks for nothing"
    assert "has not served test yet" in run(dev, "release", "--to", "prod")[1]["error"]
    assert run(dev, "release", "--to", "test")[1]["release"] == released["release"]
    code, refused = run(test, "release", "--to", "prod")
    assert (code, refused["error"].endswith(f"brain approve {released['release']}")) == (1, True)
    assert "nothing is released in prod" in run(prod, "report")[1]["error"]
    user = operating_system_user().name
    assert run(prod, "approve", released["release"]) == (
        1,
        {"error": f"{user} proposed it: another person approves it", "problems": []},
    )
    assert as_nobody(prod, "approve", released["release"])[0] == 0
    code, served = run(test, "release", "--to", "prod")
    assert (code, served["release"], served["environment"]) == (0, released["release"], "prod")
    (row,) = run(prod, "releases")[1]["releases"]
    assert (row["release"], row["by"], row["approved_by"]) == (released["release"], user, "nobody")
    assert run(prod, "verify")[1]["flaws"] == []


def approved_release(prod: Workspace) -> str:
    """Release the files of prod, with the approval of `nobody`, and return the hash."""
    name = run(prod, "release")[1]["error"].rpartition(" ")[2]
    assert as_nobody(prod, "approve", name)[0] == 0
    assert run(prod, "release")[1]["release"] == name
    return str(name)


@needs_root
@pytest.mark.promise("approvals.rollback", "approvals.second-person")
def test_a_rollback_lists_what_it_removes_and_asks_for_a_second_person(dev: Workspace) -> None:
    prod = workspace_of(dev, "prod")
    shutil.rmtree(prod.catalogue)
    shutil.copytree(dev.catalogue, prod.catalogue)
    policies = prod.catalogue / "policies.yaml"
    with_cap = policies.read_text()
    policies.write_text(with_cap.replace(CAP, ""))
    without = approved_release(prod)
    policies.write_text(with_cap)
    capped = approved_release(prod)
    policies.write_text(with_cap + "# one byte more\n")
    assert "needs the approval of a second person" in run(prod, "release")[1]["error"]
    code, refused = run(prod, "rollback")
    assert (code, "it removes cap:once-a-week (of " in refused["error"]) == (1, True)
    policies.write_text(with_cap.replace(CAP, ""))
    assert "it removes cap:once-a-week" in run(prod, "release")[1]["error"], "nor by another command"
    byte_more, going_back = run(prod, "releases")[1]["proposed"]
    assert (going_back["hash"], byte_more["hash"] in (without, capped)) == (without, False)
    code, approved = as_nobody(prod, "approve", without)
    assert (code, [gate.partition(" ")[0] for gate in approved["removes"]]) == (0, ["cap:once-a-week"])
    assert [p["hash"] for p in run(prod, "releases")[1]["proposed"]] == [byte_more["hash"]]
    code, back = run(prod, "rollback")
    assert (code, back["release"], back["was"], len(back["removes"])) == (0, without, capped, 1)
    code, forth = run(prod, "rollback", capped)
    assert (code, "removes" in forth) == (0, False), "what removes nothing needs one person"


@pytest.mark.promise("approvals.going-round")
def test_everybody_sees_what_went_round_approval(dev: Workspace) -> None:
    prod = workspace_of(dev, "prod")
    code, released = run(prod, "release", "--without-approval", "the site is down")
    assert code == 0
    (row,) = run(prod, "releases")[1]["without_approval"]
    assert (row["hash"], row["reason"]) == (released["release"], "the site is down")
    assert run(prod, "verify")[1]["without_approval"] == [row]
    assert run(prod, "report")[1]["without_approval"] == [row]
    brain = Brain(prod)
    client = Client(brain, None)
    ready, listed = client.of_scope("operate")("GET", "/readyz")[1], client.of_scope("audit")("GET", "/v1/releases")[1]
    brain.close()
    assert [r.reason for r in operating.Ready.model_validate(ready).without_approval] == ["the site is down"]
    (shown,) = operating.Releases.model_validate(listed).releases
    assert (shown.without_approval, shown.approved_by) == ("the site is down", None)


@needs_root
@pytest.mark.promise("approvals.pauses")
def test_another_user_cannot_undo_a_pause_alone(dev: Workspace) -> None:
    prod = workspace_of(dev, "prod")
    assert run(prod, "release", "--without-approval", "first")[0] == 0
    action = min(_actions(prod))
    assert as_nobody(prod, "pause", action)[0] == 0
    code, refused = run(prod, "pause", action, "--resume")
    assert (code, "brain approve sha256:" in refused["error"]) == (1, True)
    assert as_nobody(prod, "pause", action, "--resume") == (0, {"action": action, "paused": False})


def _actions(workspace: Workspace) -> list[str]:
    brain = Brain(workspace)
    names = list(brain.snapshot.release.actions)
    brain.close()
    return names


def test_no_environment_variable_says_who_somebody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = operating_system_user()
    for name in ("LOGNAME", "USER", "SUDO_USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert operating_system_user() == before


def test_a_ledger_of_prod_serves_nothing_under_another_name(dev: Workspace) -> None:
    settings = dev.root / "brain.yaml"
    settings.write_text("environment: prod\n")
    assert run(dev, "release", "--without-approval", "first")[0] == 0
    settings.write_text("environment: dev\n")
    assert "this ledger has served prod" in run(dev, "report")[1]["error"]
    code, refused = run(dev, "release")
    assert (code, "brain approve" in refused["error"]) == (1, True)
    assert run(dev, "release", "--without-approval", "a copy to look into")[0] == 0
    assert run(dev, "report")[0] == 0


@pytest.mark.promise("approvals.second-person")
def test_a_person_who_signed_in_approves_and_neither_a_key_nor_an_account_of_the_author_does(dev: Workspace) -> None:
    prod = workspace_of(dev, "prod")
    author = operating_system_user().name
    assert run(prod, "release", "--without-approval", "first")[0] == 0
    for name, made_by in (("eric", author), ("dora", "the office")):
        people.add(prod, name, ["publish"], "correct horse battery", made_by)
    (prod.catalogue / "more.yaml").write_text("# one byte more\n")
    name = run(prod, "release")[1]["error"].rpartition(" ")[2]
    brain = Brain(prod)
    client, body = Client(brain, None), {"hash": name}
    status, refused = client.of_scope("publish")("POST", "/v1/approvals", body)
    assert (status, "keys propose, and never approve" in refused["detail"]) == (422, True)
    assert client.of_scope("publish")("POST", "/v1/approvals", {"hash": "sha256:0"})[0] == 404

    def approve(person: str) -> tuple[int, dict[str, Any]]:
        browser = Browser(client)
        browser.sign_in(person, "correct horse battery")
        status, _, text = browser.api("POST", "/v1/approvals", body, x_csrf_token=browser.csrf)
        return status, json.loads(text)

    status, refused = approve("eric")
    assert (status, f"was made by {author}" in refused["detail"]) == (422, True)
    status, answer = approve("dora")
    assert status == 200, answer
    assert operating.Approved.model_validate(answer).approved == name
    brain.close()
    assert run(prod, "release")[1]["release"] == name


@pytest.mark.promise("approvals.keys-propose")
def test_a_key_checks_and_proposes_a_release_that_serves_once_another_person_approved_it(dev: Workspace) -> None:
    prod = workspace_of(dev, "prod")
    assert run(prod, "release", "--without-approval", "first")[0] == 0
    people.add(prod, "dora", ["publish"], "correct horse battery", "the office")
    key = run(prod, "key", "create", "--scope", "publish")[1]["key"]
    brain = Brain(prod)
    client = Client(brain, None)
    client.key = key
    files = {**read_files(prod), "catalogue/more.yaml": "# from a pipeline\n"}

    def send(files: dict[str, str], **more: bool) -> tuple[int, dict[str, Any]]:
        return client("POST", "/v1/releases", {"files": files, **more}, content_type="application/json")

    status, mistake = send({**files, "catalogue/more.yaml": "actions: [{id: 1"})
    assert (status, "catalogue/more.yaml:1" in mistake["detail"]) == (422, True)
    for name in ("../outside.yaml", "catalogue/../../outside.yaml", "brain.yaml"):
        assert send({**files, name: ""}, propose=True)[0] == 422, name
    status, checked = send(files)
    assert (status, checked["proposed"], run(prod, "releases")[1]["proposed"]) == (200, False, [])
    status, answer = send(files, propose=True)
    assert (status, answer["proposed"], answer["release"]) == (200, True, checked["release"])
    assert f"brain approve {answer['release']}" in answer["waits_for"]
    operating.CheckedRelease.model_validate(answer, strict=True)
    (waiting,) = run(prod, "releases")[1]["proposed"]
    assert (waiting["hash"], waiting["by"][:4]) == (answer["release"], "key:")
    assert run(prod, "approve", answer["release"])[0] == 1, "its maker proposed it, by a key"
    assert client("POST", "/v1/approvals", {"hash": answer["release"]})[0] == 422, "keys never approve"
    browser = Browser(client)
    browser.sign_in("dora", "correct horse battery")
    body = {"hash": answer["release"]}
    assert browser.api("POST", "/v1/approvals", body, x_csrf_token=browser.csrf)[0] == 200
    assert send(files, propose=True)[1]["waits_for"] is None
    assert brain.ledger.active("prod") != answer["release"], "nothing serves by a request"
    brain.close()
    (prod.catalogue / "more.yaml").write_text("# from a pipeline \n")
    assert run(prod, "release")[0] == 1, "one byte more than was approved"
    (prod.catalogue / "more.yaml").write_text("# from a pipeline\n")
    assert run(prod, "release")[1]["release"] == answer["release"]
