"""`make bench`: `python -m tests.benchmarks [SUITE]...`. Writes bench.json and bench-swaps.json, and prints tables."""

import gc
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks.measures import Figures, Line, Skipped, Suite

SUITES = {
    "decide": "tests.benchmarks.deciding:DECIDE",
    "handovers": "tests.benchmarks.handovers:HANDOVERS",
    "speed": "tests.benchmarks.speed:SPEED",
    "actions": "tests.benchmarks.actions:ACTIONS",
    "at_rest": "tests.benchmarks.at_rest:AT_REST",
    "batch": "tests.benchmarks.batching:BATCH",
    "verify": "tests.benchmarks.verifying:VERIFY",
    "past": "tests.benchmarks.past:PAST",
    "replay": "tests.benchmarks.replay:REPLAY",
    "swaps": "tests.benchmarks.swaps:SWAPS",
    "erasing": "tests.benchmarks.erasing:ERASING",
    "doors": "tests.benchmarks.doors:DOORS",
    "logs": "tests.benchmarks.logs:LOGS",
    "profiles": "tests.benchmarks.profiles:PROFILES",
    "risk": "tests.benchmarks.training.measuring:RISK",
    "training": "tests.benchmarks.training.measuring:TRAINING",
}
"""Name of a suite -> where it is found; it is imported when it runs, since the libraries of all take many seconds."""
IDLE_LOAD = 0.5
"""The highest load average of a machine that counts as idle."""
_VERSIONS = ("ray", "feast", "mlflow", "lightgbm", "numpy", "pydantic", "fastapi", "sqlalchemy")


def main() -> int:
    """Run the suites and return the exit code: 1 if a goal is missed."""
    warnings.simplefilter("ignore")
    os.environ.update(DO_NOT_TRACK="true", MLFLOW_DISABLE_TELEMETRY="true", PYTHONWARNINGS="ignore")
    return max([_measured(name) for name in sys.argv[1:] or SUITES])


def _measured(name: str) -> int:
    module, _, attribute = SUITES[name].partition(":")
    suite: Suite = getattr(import_module(module), attribute)
    about: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "load": [_load()],
    }
    start_s = time.perf_counter()
    figures, skipped = _run(suite)
    figures["bench_s"] = time.perf_counter() - start_s
    about["load"].append(_load())
    about["skipped"] = skipped
    every = suite.lines(figures) if callable(suite.lines) else suite.lines
    shown = [line for line in every if not skipped or line.has_figures(figures)]
    lines = [_row(line, figures) for line in shown]
    out = Path("bench.json" if name == "speed" else f"bench-{name}.json")
    out.write_text(json.dumps({**about, "figures": figures, "lines": lines}, indent=1) + "\n")
    _print(shown, figures, about)
    return 1 if any(line["met"] is False for line in lines) else 0


def _run(suite: Suite) -> tuple[Figures, list[str]]:
    """Return the figures of all measures, and why those that were skipped were."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        preparation = bar.add_task("customers, model and releases", total=1)
        with suite.world() as world, _without_collections():
            bar.update(preparation, completed=1)
            figures, skipped = dict(getattr(world, "figures", {})), []
            for measure in suite.measures:
                task = bar.add_task(measure.about, total=1)
                try:
                    figures.update(measure.run(world))
                except Skipped as reason:
                    skipped.append(f"{measure.about}: {reason}")
                bar.update(task, completed=1)
    return figures, skipped


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep garbage collections off all that exists now: to walk the libraries takes as long as many requests."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in _lines(info) if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _load() -> list[float]:
    """Return the mean number of runnable processes over one, five and fifteen minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _row(line: Line, figures: Figures) -> dict[str, Any]:
    return {
        "measure": line.about,
        "figure": figures[line.figure],
        "ratio": line.ratio(figures),
        "at_most": line.at_most,
        "at_least": line.at_least,
        "met": line.met(figures),
    }


def _print(lines: list[Line], figures: Figures, about: dict[str, Any]) -> None:
    before, after = about["load"][0][0], about["load"][1][0]
    table = Table(title=f"load average {before} before, {after} after")
    for name in ("measure", "figure", "ratio", "goal", "met"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for line in lines:
        table.add_row(line.about, _figure(line, figures), _ratio(line.ratio(figures)), _goal(line), _met(line, figures))
    console = Console(width=max(100, Console().width))
    console.print(table)
    for reason in about["skipped"]:
        console.print(f"skipped: {reason}")
    if before > IDLE_LOAD:
        console.print(f"The machine was busy before the run (load average {before}): only rough ratios hold.")


def _figure(line: Line, figures: Figures) -> str:
    value, name = figures[line.figure], line.figure
    if name.endswith("_ms"):
        return f"{value:.3f} ms"
    return f"{value:.2f} s" if name.endswith("_s") and not name.endswith("_per_s") else f"{value:.0f}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if not 0 < ratio < 0.5 else f"1/{1 / ratio:.1f}"


def _goal(line: Line) -> str:
    goal = line.at_least if line.at_most is None else line.at_most
    if goal is None:
        return ""
    return f"{'≥' if line.at_most is None else '≤'} {_ratio(goal) if line.baseline else f'{goal:g}'}"


def _met(line: Line, figures: Figures) -> str:
    return {True: "met", False: "missed", None: ""}[line.met(figures)]


if __name__ == "__main__":
    sys.exit(main())
