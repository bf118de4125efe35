"""`brain batch` for many customers x 100 actions x 30 rules, beside that of an earlier commit and the bare Boosters.

The rate is that between the first and the last commit, without the start of Ray; without commits it is that of the
customers that many have more than few. CPU and memory are those of all processes: the command runs for few and for many
customers, so that what the start costs can be left out. The champion is the same model, and the customers have the same
facts and consents.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from features.ledger.tables import RECORDS
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.earlier.measure import COMMIT, check_out
from tests.benchmarks.filling import add_customers, customer_of, profile_table
from tests.benchmarks.measures import Figures, Line, Measure, Suite
from tests.benchmarks.processes import Spent, run_measured
from tests.permits import make_champion
from training.model.frame import Floats
from training.model.model import PropensityModel
from training.registry import PROPENSITY, Registry
from training.tracking import Provenance

SIZES, EARLIER_SIZES = (10_000, 100_000), (500, 4_000)
"""Few and many customers. The earlier commit makes some hundred a second."""
CORES = 2
SCORED = 20_000
ROOT = Path(__file__).parents[2]
_PREPARE = Path(__file__).parent / "earlier" / "batching.py"


@dataclass
class BatchWorld:
    """`workspace` is released and has a champion, and no customers yet."""

    root: Path
    model: PropensityModel
    workspace: Workspace
    figures: Figures = field(default_factory=dict)


@contextmanager
def open_batch() -> Iterator[BatchWorld]:
    """Yield a released workspace in a temporary folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        root = Path(folder)
        releasing.new(root / "brain", catalogue.files())
        workspace = Workspace.open(root / "brain")
        released = releasing.release(workspace, "bench")
        model = models.copied(models.small_model(), catalogue.N_ACTIONS)
        registry = Registry(workspace.data)
        about = Provenance("bench", model.feature_names, str(released["release"]))
        make_champion(registry, registry.register(model.files(), PROPENSITY, about))
        yield BatchWorld(root, model, workspace)


def measure_batch(world: BatchWorld, sizes: tuple[int, int] = SIZES) -> Figures:
    """Return what a committed decision costs in a batch, and what memory it takes for few and for many customers."""
    brain = Brain(world.workspace)
    try:
        assert brain.snapshot.model == "propensity@1"
        add_customers(brain, range(sum(sizes)))
    finally:
        brain.close()
    return _measured("batch", ROOT, world.workspace.root, RECORDS.name, sizes)


def measure_earlier(world: BatchWorld, sizes: tuple[int, int] = EARLIER_SIZES) -> Figures:
    """Return the same of the earlier commit, over files and a workspace of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-earlier-batch-") as folder:
        tree = Path(folder)
        check_out(tree)
        world.model.save(tree / "model")
        numbers = range(sum(sizes))
        customers = profile_table([customer_of(n) for n in numbers], numbers, time.time_ns() // 1000)
        pq.write_table(customers, tree / "customers.parquet")
        run_measured([sys.executable, "-P", str(_PREPARE)], tree, {"PYTHONPATH": str(tree)})
        return _measured("earlier_batch", tree, tree / "brain", "records", sizes)


def _measured(name: str, tree: Path, workspace: Path, records: str, sizes: tuple[int, int]) -> Figures:
    few = _run(tree, workspace, range(sizes[0]))
    many = _run(tree, workspace, range(sizes[0], sum(sizes)))
    return {
        f"{name}_per_s": _rate(workspace, records, sizes[1]),
        f"{name}_each_cpu_ms": 1000 * (many.cpu_s - few.cpu_s) / (sizes[1] - sizes[0]),
        f"{name}_many_s": many.wall_s,
        f"{name}_few_peak_mb": few.peak_bytes / 1e6,
        f"{name}_many_peak_mb": many.peak_bytes / 1e6,
    }


def _run(tree: Path, workspace: Path, customers: range, *more: str) -> Spent:
    """Run the batch of a tree's files; asserts that it decided for everybody, and nearly always with an offer."""
    file, out = workspace.parent / "batch.parquet", workspace.parent / "decided.parquet"
    pq.write_table(pa.table({"customer_id": [customer_of(n) for n in customers]}), file)
    placements = [part for p in catalogue.PLACEMENTS for part in ("--placement", str(p["name"]))]
    about = ["--channel", catalogue.CHANNEL, *placements, "--out", str(out), "--workspace", str(workspace), "--json"]
    command = [sys.executable, str(tree / "brain.py"), "batch", str(file), *about, *more]
    spent = run_measured(command, tree, {"PYTHONPATH": str(tree)})
    result = from_json(spent.output)
    assert (result["customers"], result["failed"]) == (len(customers), 0), result
    assert result["offers"] >= 1.5 * len(customers), result
    return spent


def _rate(workspace: Path, records: str, count: int) -> float:
    """Return how many of the newest `count` decisions were committed a second, from the first to the last of them.

    :param records: the name of the ledger's table of records
    """
    newest = f"SELECT at_us FROM {records} WHERE kind = 'decision' ORDER BY seq DESC LIMIT ?"
    with closing(sqlite3.connect(Workspace.open(workspace).ledger_file)) as ledger:
        times = [at_us for (at_us,) in ledger.execute(newest, (count,))]
    assert len(times) == count
    return float(1e6 * (count - 1) / (max(times) - min(times)))


def _boosters(world: BatchWorld) -> Figures:
    """Score all actions of many customers by the champion's Boosters alone, with a thread for each core."""
    rows: Floats = models.profiles()[np.arange(SCORED) % models.N_CUSTOMERS]
    x = np.ascontiguousarray(rows[:, [catalogue.LEARNED.index(name) for name in world.model.feature_names]])
    boosters = [forest.booster for forest in world.model.forests if forest is not None]
    assert len(boosters) == catalogue.N_ACTIONS
    start_s = time.perf_counter()
    for booster in boosters:
        booster.predict(x, raw_score=True, num_threads=CORES)
    return {"boosters_per_s": SCORED / (time.perf_counter() - start_s)}


def measure_preview(world: BatchWorld, sizes: tuple[int, int] = SIZES) -> Figures:
    """Return how many customers a second are decided for without committing: those of `measure_batch`."""
    few, many = (_run(ROOT, world.workspace.root, range(size), "--preview") for size in sizes)
    more = sizes[1] - sizes[0]
    return {
        "preview_per_s": more / (many.wall_s - few.wall_s),
        "preview_each_cpu_ms": 1000 * (many.cpu_s - few.cpu_s) / more,
    }


BATCH = Suite(
    open_batch,
    (
        Measure("the bare Boosters", _boosters),
        Measure(f"brain batch of {SIZES[0]:,} and {SIZES[1]:,} customers", measure_batch),
        Measure("brain batch without committing", measure_preview),
        Measure(f"brain batch of commit {COMMIT}", measure_earlier),
    ),
    (
        Line("bare Boosters, two cores, customers a second", "boosters_per_s"),
        Line(f"brain batch of {COMMIT}, decisions a second", "earlier_batch_per_s"),
        Line("brain batch, decisions a second", "batch_per_s", "earlier_batch_per_s", None, 20.0),
        Line("  to the bare Boosters", "batch_per_s", "boosters_per_s"),
        Line("brain batch without committing, to the bare Boosters", "preview_per_s", "boosters_per_s", None, 0.4),
        Line("  CPU of a decision", "preview_each_cpu_ms"),
        Line("CPU of a decision without committing", "preview_each_cpu_ms", "earlier_batch_each_cpu_ms"),
        Line(f"CPU of a decision of {COMMIT}", "earlier_batch_each_cpu_ms"),
        Line("CPU of a decision", "batch_each_cpu_ms", "earlier_batch_each_cpu_ms"),
        Line(f"memory at the peak, {SIZES[0]:,} customers, MB", "batch_few_peak_mb"),
        Line(f"memory at the peak, {SIZES[1]:,} customers, MB", "batch_many_peak_mb", "batch_few_peak_mb", 1.3),
        Line(f"{SIZES[1]:,} customers in all", "batch_many_s"),
    ),
)
