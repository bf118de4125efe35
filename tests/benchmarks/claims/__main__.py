"""`make bench-claims`: `python -m tests.benchmarks.claims [--only FIGURE]... [--runs N] [--jobs N]`.

Simulates worlds whose truth is known, and compares it with what the product tells of them. Prints a row per figure and
world, and writes them to bench-claims.json. Exits with 1 if a goal is missed.
"""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.claims.figures import cases_of, summary, tell

MODULES = (
    *("euros", "labels", "trial", "guards", "policies", "selection", "lift", "effect"),
    *("fairness", "forgetting", "held_out", "stability"),
)
"""The modules of this package that each hold the CASES of a figure."""
OUT = Path("bench-claims.json")
_COLUMNS = ("figure", "world", "runs", "truth", "mean_told", "cannot_tell", "coverage", "false_claims", "power", "met")


def main() -> int:
    """Run the cases and return the exit code: 1 if a goal is missed."""
    arguments = _arguments()
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # two runs beside each other share two cores
        os.environ[library] = "1"
    rows = []
    for row in _rows(arguments):
        rows.append(row)
        OUT.write_text(json.dumps(rows, indent=1) + "\n")
    _print(rows)
    return 0 if all(row["met"] for row in rows) else 1


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.benchmarks.claims")
    parser.add_argument("--only", action="append", choices=MODULES, help="this figure alone; may be repeated")
    parser.add_argument("--runs", type=int, help="runs of every case, instead of its own number")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs beside each other")
    arguments = parser.parse_args()
    arguments.only = arguments.only or list(MODULES)
    return arguments


def _rows(arguments: Namespace) -> Iterator[dict[str, Any]]:
    console = Console(stderr=True)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for module in arguments.only:
            for n, case in enumerate(cases_of(module)):
                runs = arguments.runs or case.runs
                told = list(pool.map(partial(tell, module, n), range(runs), chunksize=max(1, runs // 16)))
                console.print(f"{case.name}: {runs} runs", highlight=False)
                yield summary(case, told)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = Table()
    for heading in _COLUMNS:
        table.add_column(heading.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in _COLUMNS))
    Console(width=max(150, Console().width)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
