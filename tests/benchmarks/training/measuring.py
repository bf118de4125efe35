"""Training by the commands of the product: a risk model from file to scores, and twelve actions on 100,000 rows.

CPU is that of all processes of a command, memory that of the largest one. The risk model is compared with a script that
a data scientist writes by hand, and both with an earlier commit that runs the same commands.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.earlier.measure import ROOT, check_out
from tests.benchmarks.measures import Figures, Line, Measure, Suite
from tests.benchmarks.training import files

_SCRIPT = Path(__file__).with_name("script.py")
_RISK = ("risk", "--outcome", "churned", "--feature", "churn_risk")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process wrote as JSON, the CPU seconds of it and of those it waited for, and its peak of memory in MB."""

    result: Mapping[str, Any]
    cpu_s: float
    peak_mb: float


def run(arguments: Sequence[str], tree: Path = ROOT) -> Ended:
    """Run Python with these arguments over the code of `tree`; asserts that it succeeds."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        output = process.stdout.read()  # type: ignore[union-attr]
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        assert process.returncode == 0, output[-1000:] + errors.read()[-1000:]
    return Ended(json.loads(output), used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


@contextmanager
def _leavers() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-risk-") as folder:
        files.write_leavers(Path(folder))
        yield Path(folder)


@contextmanager
def _log() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        files.write_log(Path(folder))
        yield Path(folder)


def _brain(tree: Path, workspace: Path, command: str, *arguments: str) -> Ended:
    return run(["brain.py", command, "--workspace", str(workspace), "--json", *arguments], tree)


def _imported(tree: Path, name: str, folder: Path, mapping: str, *sources: str) -> tuple[Path, Figures]:
    """Return a new workspace with the files of a mapping, and what it took to make."""
    workspace = folder / name
    new = run(["brain.py", "new", str(workspace), "--bare", "--json"], tree)
    paths = [str(folder / source) for source in (mapping, *sources)]
    imported = _brain(tree, workspace, "import", *paths)
    return workspace, {"import_cpu_s": new.cpu_s + imported.cpu_s, "import_peak_mb": imported.peak_mb}


def _risk(folder: Path, tree: Path = ROOT, name: str = "risk") -> Figures:
    """Return what it takes from the file to every customer's score, and the AUC on held-out rows."""
    workspace, figures = _imported(tree, name, folder, "leavers.yaml", "leavers.csv")
    trained = _brain(tree, workspace, "train", *_RISK)
    assert trained.result["scored"] == files.LEAVERS
    figures |= {"train_cpu_s": trained.cpu_s, "auc": trained.result["auc"]}
    figures |= {"cpu_s": figures["import_cpu_s"] + trained.cpu_s}
    figures |= {"peak_mb": max(figures["import_peak_mb"], trained.peak_mb)}
    return {f"{name}_{figure}": value for figure, value in figures.items()}


def _script(folder: Path) -> Figures:
    ended = run([str(_SCRIPT), str(folder / "leavers.csv"), str(folder / "scores.parquet")])
    return {"script_cpu_s": ended.cpu_s, "script_peak_mb": ended.peak_mb, "script_auc": ended.result["auc"]}


def _training(folder: Path, tree: Path = ROOT, name: str = "now") -> Figures:
    """Return what training, promoting and evaluating take, and the loss on held-out rows."""
    workspace, figures = _imported(tree, name, folder, "log.yaml", "customers.csv", "contacts.csv")
    for command in ("train", "promote", "evaluate"):
        ended = _brain(tree, workspace, command)
        figures |= {f"{command}_cpu_s": ended.cpu_s, f"{command}_peak_mb": ended.peak_mb}
        if command == "train":
            assert ended.result["rows"] == files.CONTACTS
            figures["log_loss"] = ended.result["log_loss"]
    figures["cpu_s"] = sum(figures[f"{command}_cpu_s"] for command in ("train", "promote", "evaluate"))
    figures["peak_mb"] = max(figures["train_peak_mb"], figures["evaluate_peak_mb"])
    return {f"{name}_{figure}": value for figure, value in figures.items()}


def _earlier_risk(folder: Path) -> Figures:
    check_out(folder / "tree")
    return _risk(folder, folder / "tree", "earlier")


def _earlier_training(folder: Path) -> Figures:
    check_out(folder / "tree")
    return _training(folder, folder / "tree", "earlier")


_FILE = f"{files.LEAVERS:,} customers x {sum(files.RISK_FEATURES)} features, from file to scores"
RISK = Suite(
    _leavers,
    (
        Measure("the script by hand", _script),
        Measure("a risk model, from file to scores", _risk),
        Measure("the same by an earlier commit", _earlier_risk),
    ),
    (
        Line("script by hand: CPU of all processes", "script_cpu_s"),
        Line(f"{_FILE}: CPU of all processes, of the script's", "risk_cpu_s", "script_cpu_s", at_most=3.0),
        Line("of it, import", "risk_import_cpu_s"),
        Line("of it, train", "risk_train_cpu_s"),
        Line("AUC on held-out rows, of the script's", "risk_auc", "script_auc", at_least=1.0),
        Line("memory at the peak (MB)", "risk_peak_mb"),
        Line("CPU, of the earlier commit's", "risk_cpu_s", "earlier_cpu_s"),
        Line("memory at the peak, of the earlier commit's", "risk_peak_mb", "earlier_peak_mb"),
    ),
)
_ROWS = f"{files.ACTIONS} actions on {files.CONTACTS:,} rows"
TRAINING = Suite(
    _log,
    (
        Measure("training twelve actions, evaluation included", _training),
        Measure("the same by an earlier commit", _earlier_training),
    ),
    (
        Line(f"{_ROWS}: train, CPU of all processes", "now_train_cpu_s"),
        Line(f"{_ROWS}: promote, CPU of all processes", "now_promote_cpu_s"),
        Line(f"{_ROWS}: evaluate, CPU of all processes", "now_evaluate_cpu_s"),
        Line("all three, of the earlier commit's", "now_cpu_s", "earlier_cpu_s"),
        Line("memory at the peak, of the earlier commit's", "now_peak_mb", "earlier_peak_mb"),
        Line("log-loss on held-out rows, of the earlier commit's", "now_log_loss", "earlier_log_loss", at_most=1.0005),
    ),
)
