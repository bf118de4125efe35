"""Erasures on a large ledger beside decisions: does anyone wait for them, and are they finished in time over kills?

The ledger is filled with real decisions, and the rows of customers who are not erased are then copied under other
streams until the file is large. The copies do not verify; they are there to be in the way.
"""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from features.ledger.records import Names
from tests.benchmarks import models
from tests.benchmarks.measures import Figures, Line, Measure, Suite
from tests.benchmarks.world import World, open_world
from tests.serving.load import Load, Request, closed_loop, open_loop
from tests.serving.server import Server

LEDGER_MB = float(os.environ.get("BENCH_LEDGER_MB", "1000"))
DECISIONS, PER_SECOND, QUIET = 2000, 20.0, 1200
ERASURES, AT_ONCE = 200, 5
WITHIN_S, KILL_EVERY_S = 240.0, 60.0
_COPIED = ("ledger_records", "ledger_standings", "ledger_contacts")


@contextmanager
def open_large() -> Iterator[World]:
    """Yield a world whose ledger holds `LEDGER_MB` and whose server runs."""
    with open_world() as world:
        config = world.server.root / "brain.yaml"
        config.write_text(f"{config.read_text()}erasure: {{within_s: {WITHIN_S}}}\n")
        world.server.start()
        asyncio.run(
            closed_loop(
                world.server.port,
                _asking(world.server, range(models.N_CUSTOMERS), "fill"),
                connections=8,
                count=DECISIONS,
            )
        )
        world.server.stop()
        world.figures["ledger_mb"] = _enlarge(world)
        world.server.start()
        try:
            yield world
        finally:
            world.server.stop()


def _enlarge(world: World) -> float:
    """Copy rows under other streams until the file has `LEDGER_MB`; return its size in MB."""
    path, names = world.workspace.data / "ledger.db", Names(world.workspace.secret())
    copied = [names.stream_of("person", models.customer_id(n)) for n in range(2 * ERASURES, models.N_CUSTOMERS)]
    with closing(sqlite3.connect(path)) as db:
        db.create_function("other", 2, lambda stream, n: sha256(b"%d" % n + stream).digest()[:20], deterministic=True)
        upto = db.execute("SELECT max(seq) FROM ledger_records").fetchone()[0]
        db.execute("CREATE TEMP TABLE filled (stream BLOB PRIMARY KEY)")
        db.executemany("INSERT INTO filled VALUES (?)", [(bytes.fromhex(stream),) for stream in copied])
        n = 0
        while path.stat().st_size < LEDGER_MB * 1e6:
            n += 1
            for table in _COPIED:
                _copy(db, table, n, n * upto)
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size / 1e6


def _copy(db: sqlite3.Connection, table: str, n: int, seq: int) -> None:
    changed = {"seq": f"seq + {seq}", "stream": f"other(stream, {n})"}
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(name, name) for name in names)
    where = "WHERE stream IN (SELECT stream FROM filled)"
    db.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} {where}")


def measure_beside(world: World) -> Figures:
    """Measure decisions without erasures, and with as many at a time as `AT_ONCE`, of customers who ask for nothing."""
    others = range(2 * ERASURES, models.N_CUSTOMERS)
    server = world.server
    asyncio.run(open_loop(server.port, _asking(server, others, "warm"), per_second=PER_SECOND, count=200))
    quiet = asyncio.run(open_loop(server.port, _asking(server, others, "quiet"), per_second=PER_SECOND, count=QUIET))
    busy, erased = asyncio.run(_beside(server, others))
    assert quiet.statuses == {200: QUIET}, quiet.statuses
    return {
        "quiet_p99_ms": quiet.quantile_ms(0.99),
        "busy_p99_ms": busy.quantile_ms(0.99),
        "quiet_worst_ms": quiet.quantile_ms(1.0),
        "busy_worst_ms": busy.quantile_ms(1.0),
        "busy_refused": float(busy.statuses.total() - busy.statuses[200]),
        "erasure_median_ms": erased.quantile_ms(0.5),
        "erasures_refused": float(erased.statuses.total() - erased.statuses[200]),
    }


async def _beside(server: Server, others: range) -> tuple[Load, Load]:
    erasing = asyncio.create_task(_erase(server, range(ERASURES)))
    passes = round(PER_SECOND * (WITHIN_S / 4 + 60))
    asking = open_loop(server.port, _asking(server, others, "busy"), per_second=PER_SECOND, count=passes)
    return await asking, await erasing


async def _erase(server: Server, customers: range) -> Load:
    def request(n: int) -> bytes:
        path = f"/v1/customers/{models.customer_id(customers[n])}"
        return server.post(path, b"", "DELETE")

    return await closed_loop(server.port, request, connections=AT_ONCE, count=len(customers))


def measure_over_kills(world: World) -> Figures:
    """Erase the next customers while the replica is killed every minute; count who is left when the time is over."""
    customers = range(ERASURES, 2 * ERASURES)
    answered = asyncio.run(_erase(world.server, customers))
    until_s = time.monotonic() + WITHIN_S
    kills = 0
    while time.monotonic() < until_s:
        time.sleep(min(KILL_EVERY_S, max(0.0, until_s - time.monotonic())))
        kills += _kill(world.server)
    return {
        "kills": float(kills),
        "killed_refused": float(answered.statuses.total() - answered.statuses[200]),
        "left_in_files": float(len(_left(world.workspace.root, customers))),
    }


def _kill(server: Server) -> int:
    pids = server.pids("ray::ServeReplica")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def _left(root: Path, customers: range) -> set[str]:
    """Return those of the customers whose id is in any file of the workspace."""
    content = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    return {c for c in map(models.customer_id, customers) if any(c.encode() in part for part in content)}


def _asking(server: Server, customers: range, run: str) -> Request:
    def request(n: int) -> bytes:
        customer = models.customer_id(customers[n % len(customers)])
        body = models.request(n, f"erasing-{run}").replace(
            models.customer_id(n % models.N_CUSTOMERS).encode(), customer.encode()
        )
        return server.post("/v1/decisions", body)

    return request


LINES = (
    Line("size of the ledger, MB", "ledger_mb"),
    Line("p99 of decisions without erasures", "quiet_p99_ms"),
    Line("  with erasures, to that", "busy_p99_ms", "quiet_p99_ms", 2.0),
    Line("  slowest with erasures", "busy_worst_ms"),
    Line("  decisions not answered 200", "busy_refused", None, 0.0),
    Line("erasures, five at a time, median", "erasure_median_ms"),
    Line("  not answered 200", "erasures_refused", None, 0.0),
    Line("kills of the replica, one a minute", "kills"),
    Line("  erased customers left in any file after the stated time", "left_in_files", None, 0.0),
)
ERASING = Suite(
    world=open_large,
    measures=(
        Measure("decisions beside erasures", measure_beside),
        Measure("erasures while the replica is killed", measure_over_kills),
    ),
    lines=LINES,
)
