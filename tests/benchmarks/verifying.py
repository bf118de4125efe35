"""`brain verify` of ledgers of 10,000 to 100,000 decisions, 1% of them of one customer: is it linear in their number?

The decisions are real: read, decided with a trained model and committed in this process. Most customers have ten. Caps
are tight and offers count as contacts only if they were seen, so that nobody runs into a cap.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import yaml
from pydantic_core import from_json

from tests.benchmarks import catalogue, models
from tests.benchmarks.filling import Filled, add_customers, decide_for, open_filled
from tests.benchmarks.measures import Figures, Line, Measure, Suite
from tests.benchmarks.processes import run_measured

SIZES = (10_000, 30_000, 100_000)
OF_ONE, EACH = 100, 10
"""One decision of so many is the one customer's; the others have so many each."""
BRAIN = [sys.executable, str(Path(__file__).parents[2] / "brain.py")]


@dataclass
class VerifyingWorld:
    """A ledger of `decisions` decisions, of `customers` customers and the one."""

    filled: Filled
    decisions: int = 0
    customers: int = 0
    figures: Figures = field(default_factory=dict)


@contextmanager
def open_verifying() -> Iterator[VerifyingWorld]:
    """Yield an empty ledger."""
    model = models.copied(models.small_model(), catalogue.N_ACTIONS)
    with open_filled(model, _files()) as filled:
        add_customers(filled.brain, [0])
        yield VerifyingWorld(filled)


def _files() -> dict[str, str]:
    files = {name: yaml.safe_load(text) for name, text in catalogue.files().items()}
    files["settings.yaml"]["channels"][0].update(counts_on="seen", reservation_s=1)
    for cap, limit in zip(files["policies.yaml"]["caps"], (30, 60, 200), strict=True):
        cap["limit"] = limit
    return {name: json.dumps(section) for name, section in files.items()}


def measure_verify(world: VerifyingWorld, size: int) -> Figures:
    """Fill the ledger to `size` decisions, and run the command over all of it."""
    start_s, new = perf_counter(), size - world.decisions
    _fill(world, new)
    filled_s = perf_counter() - start_s
    workspace = str(world.filled.workspace.root)
    spent = run_measured([*BRAIN, "verify", "--workspace", workspace, "--json"])
    result = from_json(spent.output)
    assert (result["decisions"], result["recomputed"], result["flaws"], result["different"]) == (size, size, [], [])
    name = f"verify_{size}"
    return {
        f"{name}_s": spent.wall_s,
        f"{name}_cpu_s": spent.cpu_s,
        f"{name}_peak_mb": spent.peak_bytes / 1e6,
        f"{name}_fill_per_s": new / filled_s,
    }


def _fill(world: VerifyingWorld, new: int) -> None:
    """Add decisions: in every hundred one of customer 0, the others of new customers in rounds."""
    brain = world.filled.brain
    others = new - new // OF_ONE
    fresh = range(world.customers + 1, world.customers + 1 + -(-others // EACH))
    add_customers(brain, fresh)
    in_turn = (customer for _ in range(EACH) for customer in fresh)
    made = decide_for(brain, _with_the_one(in_turn, new), f"fill-{world.decisions}")
    assert made == new
    world.decisions, world.customers = world.decisions + new, fresh[-1]


def _with_the_one(others: Iterator[int], count: int) -> Iterator[int]:
    for n in range(count):
        yield 0 if n % OF_ONE == 0 else next(others)


def _growth(world: VerifyingWorld) -> Figures:
    """Return the CPU of each further decision between sizes, which leaves out what every start of the command costs."""
    figures = dict[str, float]()
    for small, large in pairwise(SIZES):
        cpu_s = world.figures[f"verify_{large}_cpu_s"] - world.figures[f"verify_{small}_cpu_s"]
        figures[f"verify_upto_{large}_each_ms"] = 1000 * cpu_s / (large - small)
    return figures


def _measured(world: VerifyingWorld, size: int) -> Figures:
    figures = measure_verify(world, size)
    world.figures.update(figures)
    return figures


_FIRST = f"verify_upto_{SIZES[1]}_each_ms"
VERIFY = Suite(
    open_verifying,
    (
        *(Measure(f"verify of {n:,} decisions", lambda world, n=n: _measured(world, n)) for n in SIZES),
        Measure("the cost of a further decision", _growth),
    ),
    (
        *(
            line
            for n in SIZES
            for line in (
                Line(f"verify of {n:,} decisions", f"verify_{n}_s"),
                Line("  its CPU", f"verify_{n}_cpu_s"),
                Line("  its memory at the peak, MB", f"verify_{n}_peak_mb", f"verify_{SIZES[0]}_peak_mb"),
                Line("  decisions that were made for it, a second", f"verify_{n}_fill_per_s"),
            )
        ),
        *(
            Line(f"CPU of a decision between {small:,} and {large:,}", f"verify_upto_{large}_each_ms", _FIRST, 1.3)
            for small, large in pairwise(SIZES)
        ),
    ),
)
