"""`make bench`: `python -m tests.benchmarks [SUITE]...`. Writes bench.json and bench-swaps.json, and prints tables."""

import json
import os
import platform
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks.measures import Figures, Line, Suite
from tests.benchmarks.speed import SPEED
from tests.benchmarks.swaps import SWAPS

SUITES: dict[str, Suite] = {"speed": SPEED, "swaps": SWAPS}
_VERSIONS = ("ray", "feast", "mlflow", "lightgbm", "numpy", "pydantic", "fastapi", "sqlalchemy")


def main() -> int:
    """Run the suites and return the exit code: 1 if a goal is missed."""
    warnings.simplefilter("ignore")
    os.environ.update(DO_NOT_TRACK="true", MLFLOW_DISABLE_TELEMETRY="true", PYTHONWARNINGS="ignore")
    return max([_measured(name) for name in sys.argv[1:] or SUITES])


def _measured(name: str) -> int:
    suite = SUITES[name]
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine(), "load": [_load()]}
    start_s = time.perf_counter()
    figures = _run(suite)
    figures["bench_s"] = time.perf_counter() - start_s
    about["load"].append(_load())
    lines = [_row(line, figures) for line in suite.lines]
    out = Path("bench.json" if name == "speed" else f"bench-{name}.json")
    out.write_text(json.dumps({**about, "figures": figures, "lines": lines}, indent=1) + "\n")
    _print(suite, figures, about)
    return 1 if any(line["met"] is False for line in lines) else 0


def _run(suite: Suite) -> Figures:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        preparation = bar.add_task("customers, model and releases", total=1)
        with suite.world() as world:
            bar.update(preparation, completed=1)
            figures: Figures = dict(world.figures)
            for measure in suite.measures:
                task = bar.add_task(measure.about, total=1)
                figures.update(measure.run(world))
                bar.update(task, completed=1)
    return figures


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
        "goal": line.at_most,
        "met": line.met(figures),
    }


def _print(suite: Suite, figures: Figures, about: dict[str, Any]) -> None:
    table = Table(title=f"load average {about['load'][0][0]} before, {about['load'][1][0]} after")
    for name in ("measure", "figure", "ratio", "goal", "met"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for line in suite.lines:
        table.add_row(line.about, _figure(line, figures), _ratio(line.ratio(figures)), _goal(line), _met(line, figures))
    Console(width=max(100, Console().width)).print(table)


def _figure(line: Line, figures: Figures) -> str:
    value, name = figures[line.figure], line.figure
    if name.endswith("_ms"):
        return f"{value:.3f} ms"
    return f"{value:.2f} s" if name.endswith("_s") and not name.endswith("_per_s") else f"{value:.0f}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if ratio >= 0.5 else f"1/{1 / ratio:.1f}"


def _goal(line: Line) -> str:
    if line.at_most is None:
        return ""
    return f"≤ {_ratio(line.at_most)}" if line.baseline else f"≤ {line.at_most:g}"


def _met(line: Line, figures: Figures) -> str:
    return {True: "met", False: "missed", None: ""}[line.met(figures)]


if __name__ == "__main__":
    sys.exit(main())
