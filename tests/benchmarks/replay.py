"""Replays of past signals: beside the same rows by bare prepared statements, beside an earlier commit, and memory.

The bare statements have the product's tables, settings of SQLite and size of transactions, and nothing to compute.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from pydantic_core import to_json

from features.ledger import Ledger, now_us
from features.ledger.driver import insert_into
from features.ledger.tables import SIGNAL_STATES, SIGNALS
from tests.benchmarks.earlier.measure import ROOT, check_out
from tests.benchmarks.measures import Figures, Line, Measure, Suite

EVENTS, CUSTOMERS = 200_000, 10_000
FEW, MANY = 100_000, 1_000_000
"""Customers of the two files that compare memory, an event for each."""
ROUNDS = 3
_DAY_US = 86_400_000_000
_PAGES = ("home", "paid-tv", "help", "contract")
_SCRIPT = Path(__file__).parent / "earlier" / "replaying.py"
_ADD = insert_into(SIGNALS, *SIGNALS.c.keys())
_BEGIN = insert_into(SIGNAL_STATES, "version", "at_us", "body", "stream")
_MOVE = f"UPDATE {SIGNAL_STATES.name} SET version = ?, at_us = ?, body = ? WHERE stream = ?"
_SETTINGS = ("synchronous=FULL", "secure_delete=ON", "cache_size=-65536")


@contextmanager
def open_folder() -> Iterator[Any]:
    """Yield a folder for files and ledgers, as a world that measured nothing yet."""
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as folder:
        yield _World(Path(folder))


class _World:
    def __init__(self, root: Path) -> None:
        self.root, self.figures = root, Figures()


def write_file(path: Path, events: int, customers: int) -> Path:
    """Write page views of the last twenty days, in order of time, as JSON lines; each customer has at least one."""
    rng, until_us = random.Random(4), now_us()
    with path.open("wb") as lines:
        for n in range(events):
            at_s = (until_us - 20 * _DAY_US + 20 * _DAY_US * n // events) / 1e6
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
            about = {"specversion": "1.0", "id": f"r-{n}", "source": "/web", "type": "page-view", "time": when}
            data = {"page": rng.choice(_PAGES), "seconds": round(90 * rng.random(), 2)}
            who = n if n < customers else rng.randrange(customers)
            lines.write(to_json({**about, "subject": f"customer:r-{who}", "data": data}) + b"\n")
    return path


def _replayed(tree: Path, file: Path, folder: Path) -> dict[str, float]:
    """Import a file by the code of a tree, and return what the script tells."""
    folder.mkdir()
    command = [sys.executable, "-P", str(_SCRIPT), str(file), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=False, text=True)
    assert not done.returncode, done.stderr[-2000:]
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _bare(folder: Path, replayed: Path, transactions: int) -> float:
    """Write the rows of a replayed ledger into an empty one, in so many transactions; return the seconds."""
    with sqlite3.connect(replayed) as source:
        rows = source.execute(f"SELECT * FROM {SIGNALS.name} ORDER BY seq").fetchall()
        states = source.execute(f"SELECT version, at_us, body, stream FROM {SIGNAL_STATES.name}").fetchall()
    source.close()
    folder.mkdir()
    Ledger.open(folder / "ledger.db", b"the secret of the benchmarks    ").close()
    database = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    for setting in _SETTINGS:
        database.execute(f"PRAGMA {setting}")
    start_s = time.perf_counter()
    _write(database, rows, {state[-1]: state for state in states}, -(-len(rows) // transactions))
    seconds = time.perf_counter() - start_s
    database.close()
    return seconds


def _write(
    database: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], states: dict[Any, tuple[Any, ...]], size: int
) -> None:
    begun = set[Any]()
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        streams = sorted({row[2] for row in part})
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_ADD, sorted(part, key=lambda row: row[1]))
        database.executemany(_MOVE, [states[s] for s in streams if s in begun])
        database.executemany(_BEGIN, [states[s] for s in streams if s not in begun])
        database.execute("COMMIT")
        begun.update(streams)


def _rates(world: _World) -> Figures:
    """Replay the same file in turns: by this code, by bare statements, and by the earlier commit."""
    file, earlier = write_file(world.root / "past.jsonl", EVENTS, CUSTOMERS), world.root / "earlier"
    check_out(earlier)
    own, bare, then = list[float](), list[float](), list[float]()
    for n in range(ROUNDS):
        told = _replayed(ROOT, file, world.root / f"own-{n}")
        assert told["accepted"] == EVENTS, told
        own.append(told["seconds"])
        ledger = world.root / f"own-{n}" / "ledger.db"
        bare.append(_bare(world.root / f"bare-{n}", ledger, int(told["transactions"])))
        then.append(_replayed(earlier, file, world.root / f"earlier-{n}")["seconds"])
    taken = {"replay": median(own), "bare_replay": median(bare), "earlier_replay": median(then)}
    return {
        **{f"{name}_s": seconds for name, seconds in taken.items()},
        **{f"{name}_events_per_s": EVENTS / seconds for name, seconds in taken.items()},
        "replay_transactions": told["transactions"],
    }


def _memory(world: _World) -> Figures:
    """Return the memory of imports for few and for many customers."""
    figures = Figures()
    for name, customers in (("few", FEW), ("many", MANY)):
        file = write_file(world.root / f"{name}.jsonl", customers, customers)
        figures[f"replay_{name}_peak_mb"] = _replayed(ROOT, file, world.root / name)["peak_mb"]
    return figures


REPLAY = Suite(
    open_folder,
    (
        Measure(f"{EVENTS:,} past signals, {ROUNDS} times in turns", _rates),
        Measure(f"memory for {FEW:,} and {MANY:,} customers", _memory),
    ),
    (
        Line(f"{EVENTS:,} past signals replayed, a second", "replay_events_per_s"),
        Line("  to bare statements", "replay_events_per_s", "bare_replay_events_per_s", at_least=0.6),
        Line("  to the earlier commit", "replay_events_per_s", "earlier_replay_events_per_s", at_least=2.0),
        Line("bare statements, a second", "bare_replay_events_per_s"),
        Line("the earlier commit, a second", "earlier_replay_events_per_s"),
        Line("transactions of the replay", "replay_transactions"),
        Line(f"memory of a replay for {FEW:,} customers, MB", "replay_few_peak_mb"),
        Line(f"  for {MANY:,}", "replay_many_peak_mb", "replay_few_peak_mb", at_most=1.3),
    ),
)
