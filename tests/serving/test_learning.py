"""Learning while a server runs: one step at a time when it is due, and it ends with the server."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.lifecycle import processes
from serving.lifecycle.learning import Learning
from serving.settings import Workspace
from tests.serving.workspaces import small_workspace


def test_a_step_is_taken_when_it_is_due_one_at_a_time(tmp_path: Path) -> None:
    root = small_workspace(tmp_path / "ws").root
    (root / "brain.yaml").write_text("retrain: {every_h: 2}\n")
    workspace, now_s = Workspace.open(root), [0.0]
    workspace.run.mkdir(exist_ok=True)
    learning = Learning(workspace, {processes.RUN_ID: "test-learning"}, lambda: now_s[0])
    learning.start_due()
    assert learning.retrain.running is None
    now_s[0] = 2 * 3600.0
    learning.start_due()
    first = learning.retrain.running
    assert first is not None
    learning.start_due()
    assert learning.retrain.running is first
    assert processes.members("test-learning") == [first.pid]
    assert processes.kill_all("test-learning") == []
    first.wait(5)
    learning.start_due()
    assert learning.retrain.running is first, "the next one is due two hours after the last began"


def test_a_report_is_made_as_often_as_the_settings_say(tmp_path: Path) -> None:
    root = small_workspace(tmp_path / "ws").root
    (root / "brain.yaml").write_text("report: {every_h: 24}\n")
    workspace, now_s = Workspace.open(root), [0.0]
    learning = Learning(workspace, {}, lambda: now_s[0])
    assert learning.report.is_due(0.0), "at once, for a server that restarts often"
    assert not learning.report.is_due(3600.0)
    assert learning.report.is_due(24 * 3600.0)
    assert not Learning(small_workspace(tmp_path / "other"), {}, lambda: 1e12).report.is_due(1e12)


def test_who_watches_has_nothing_that_takes_seconds_to_import() -> None:
    code = "import sys, serving.lifecycle.supervisor; print({'ray', 'mlflow', 'lightgbm', 'pandas'} & set(sys.modules))"
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.strip() == "set()"


@pytest.mark.long
def test_what_a_step_says_is_kept(tmp_path: Path) -> None:
    root = small_workspace(tmp_path / "ws").root
    (root / "brain.yaml").write_text("retrain: {every_h: 2}\n")
    workspace, now_s = Workspace.open(root), iter((0.0, 7200.0))
    workspace.run.mkdir(exist_ok=True)
    learning = Learning(workspace, {}, lambda: next(now_s))
    learning.start_due()
    assert learning.retrain.running is not None
    assert learning.retrain.running.wait(120) == 1
    assert "the log holds no contact whose outcome is known" in (workspace.run / "retrain.log").read_text()


def test_nothing_is_learned_where_nobody_asked_for_it(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "ws")
    learning = Learning(workspace, {}, lambda: 1e12)
    learning.start_due()
    assert learning.retrain.running is None
