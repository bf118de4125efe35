"""`make bench-learning`: `python -m tests.benchmarks.learning [--only PART]... [--jobs N] [--fresh]`.

Writes figures to bench-learning.json after every run, so that a second start continues where the first stopped;
`--fresh` starts again. Prints a table of measures, figures and goals. Exits with 1 if a goal is missed.
"""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.learning.calibrating import CALIBRATION
from tests.benchmarks.learning.delayed import DELAYED
from tests.benchmarks.learning.estimating import ESTIMATORS
from tests.benchmarks.learning.hillstrom import HILLSTROM
from tests.benchmarks.learning.keel import KEEL
from tests.benchmarks.learning.million import MILLION
from tests.benchmarks.learning.obd import OBD
from tests.benchmarks.learning.parts import Figures, Line, Part, Run, perform
from tests.benchmarks.learning.promoting import PROMOTION
from tests.benchmarks.learning.recorded import RECORDED
from tests.benchmarks.learning.worlds import CHANGES, WORLDS

PARTS: dict[str, Part] = {
    "worlds": WORLDS,
    "changes": CHANGES,
    "delayed": DELAYED,
    "keel": KEEL,
    "recorded": RECORDED,
    "estimators": ESTIMATORS,
    "obd": OBD,
    "promotion": PROMOTION,
    "calibration": CALIBRATION,
    "hillstrom": HILLSTROM,
    "million": MILLION,
}
OUT = Path("bench-learning.json")


def main() -> int:
    """Run the suites and return the exit code: 1 if a goal is missed."""
    arguments = _arguments()
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # two runs beside each other share two cores
        os.environ[library] = "1"
    results: dict[str, dict[str, Figures]] = {} if arguments.fresh or not OUT.exists() else json.loads(OUT.read_text())
    for name in arguments.only:
        part = PARTS[name]
        completed = results.setdefault(name, {})
        todo = [run for run in part.runs if run.name not in completed or "absent" in completed[run.name]]
        for run, figures in _run(todo, 1 if part.alone else arguments.jobs):
            completed[run.name] = figures
            OUT.write_text(json.dumps(results, indent=1) + "\n")
    lines = [(name, line) for name in arguments.only for line in PARTS[name].lines(results[name])]
    _print(lines)
    return 1 if any(line.met is False for _, line in lines) else 0


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.benchmarks.learning")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part alone; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs beside each other")
    parser.add_argument("--fresh", action="store_true", help="forget what is in bench-learning.json")
    arguments = parser.parse_args()
    arguments.only = arguments.only or list(PARTS)
    return arguments


def _run(todo: list[Run], jobs: int) -> Iterable[tuple[Run, Figures]]:
    console = Console(stderr=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        started: dict[Future[Figures], Run] = {pool.submit(perform, run): run for run in todo}
        for n, future in enumerate(as_completed(started), 1):
            figures = future.result()
            console.print(f"{n}/{len(todo)} {started[future].name}: {figures['seconds']:.0f} s", highlight=False)
            yield started[future], figures


def _print(lines: list[tuple[str, Line]]) -> None:
    table = Table()
    for heading in ("part", "measure", "figure", "goal", "met"):
        table.add_column(heading)
    for name, line in lines:
        table.add_row(name, line.measure, line.figure, line.goal, {True: "met", False: "missed", None: ""}[line.met])
    Console(width=max(120, Console().width)).print(table)


if __name__ == "__main__":
    sys.exit(main())
