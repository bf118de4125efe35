"""Bytes at rest of a decision of 100 candidates, indexes included, per table: of one decision a customer, and of 50."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.filling import add_customers, decide_for, open_filled
from tests.benchmarks.measures import Figures, Line, Measure, Suite
from training.model.model import PropensityModel

DECISIONS = 5_000
EACH = (1, 50)
"""Decisions of each customer."""
MOST_BYTES = 2500
_SIZES = (
    "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON s.name = m.name "
    "GROUP BY m.tbl_name ORDER BY 2 DESC"
)


@dataclass
class AtRestWorld:
    """The model that scores."""

    model: PropensityModel
    figures: Figures = field(default_factory=dict)


@contextmanager
def open_at_rest() -> Iterator[AtRestWorld]:
    """Yield the fitted model."""
    yield AtRestWorld(models.copied(models.small_model(), catalogue.N_ACTIONS))


def measure_at_rest(world: AtRestWorld, each: int, decisions: int = DECISIONS) -> Figures:
    """Return the bytes of a decision, in all and per table, of ledgers where every customer has `each`."""
    with open_filled(world.model, catalogue.files()) as filled:
        customers = range(decisions // each)
        add_customers(filled.brain, customers)
        before = sizes_of(filled.workspace)
        made = decide_for(filled.brain, (n for _ in range(each) for n in customers), "at-rest")
        after = sizes_of(filled.workspace)
    grown = {table: (size - before.get(table, 0)) / made for table, size in after.items()}
    parts = {f"at_rest_{each}.{table}_bytes": size for table, size in grown.items() if size >= 1}
    return {f"at_rest_{each}_bytes": sum(grown.values()), **parts}


def sizes_of(workspace: Workspace) -> dict[str, float]:
    """Return the bytes of every table of the ledger, with those of its indexes."""
    with closing(sqlite3.connect(workspace.ledger_file)) as ledger:
        return {table: float(size) for table, size in ledger.execute(_SIZES)}


def _lines(figures: Figures) -> tuple[Line, ...]:
    return tuple(line for each in EACH for line in _lines_of(each, figures))


def _lines_of(each: int, figures: Figures) -> Iterator[Line]:
    yield Line(f"bytes a decision, {each} of each customer", f"at_rest_{each}_bytes", None, MOST_BYTES)
    for name in figures:
        if name.startswith(f"at_rest_{each}."):
            yield Line(f"  of it {name.partition('.')[2].removesuffix('_bytes')}", name)


AT_REST = Suite(
    open_at_rest,
    tuple(
        Measure(f"decisions at rest, {each} of each customer", lambda world, each=each: measure_at_rest(world, each))
        for each in EACH
    ),
    _lines,
)
