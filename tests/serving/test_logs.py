"""Logs of a workspace keep to a bounded size, and no line of them is lost."""

import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from serving.lifecycle import logs
from serving.lifecycle.learning import Learning
from serving.settings import BrainSettings, Retrain, Workspace

LIMIT = 1000


def lines_of(*files: Path) -> list[str]:
    return [line for file in files for line in file.read_text().splitlines()]


@pytest.mark.promise("serving.logs")
def test_a_log_that_grows_is_rotated_at_its_limit_and_no_line_is_lost(tmp_path: Path) -> None:
    log, before = tmp_path / "serve.log", tmp_path / "serve.log.1"
    written = []
    while not before.exists():
        written.append(f"line {len(written)}")
        logs.append(log, f"{written[-1]}\n".encode(), LIMIT)
    assert lines_of(before, log) == written
    for n in range(1000):
        logs.append(log, f"more {n}\n".encode(), LIMIT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["serve.log", "serve.log.1"]
    assert all(file.stat().st_size < LIMIT + 20 for file in tmp_path.iterdir())
    kept = lines_of(before, log)
    assert kept == [f"more {n}" for n in range(1000 - len(kept), 1000)]


@pytest.mark.promise("serving.logs")
def test_a_process_that_writes_while_its_log_is_rotated_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "retrain.log"
    code = "import sys\nfor n in range(20000): print(n, flush=True)"
    with log.open("ab") as handle:
        writer = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=handle)
    while log.stat().st_size < LIMIT:
        time.sleep(0.001)
    logs.rotate(log, LIMIT)
    writer.wait()
    assert not log.exists()
    assert lines_of(tmp_path / "retrain.log.1") == [str(n) for n in range(20000)]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    logs.append(tmp_path / "no folder" / "serve.log", b"line\n")


def test_the_log_of_learning_is_rotated_before_a_step_and_a_step_that_cannot_start_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "rotate", lambda file: rotated.append(file.name))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("nothing is to start"))
    rotated: list[str] = []
    clock = count(0.0, 7 * 86_400.0)
    learning = Learning(
        Workspace(tmp_path, BrainSettings(retrain=Retrain(every_h=1))), {}, now_s=lambda: float(next(clock))
    )
    learning.start_due()  # there is no folder for its log
    assert rotated == ["retrain.log"]
