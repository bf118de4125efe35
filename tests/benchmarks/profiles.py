"""Profiles of many customers: importing a file of N x 20, and reading one of them beside a bare SELECT of its row.

`python -m tests.benchmarks.profiles N` imports N customers and prints the figures as JSON.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from decisioning.facts.schema import Dtype
from serving.brain import releasing
from serving.settings import Workspace
from tests.benchmarks import catalogue
from tests.benchmarks.measures import Figures, Line, Measure, Suite

FEW, MANY = 100_000, 1_000_000
COLUMNS: dict[str, Dtype] = {
    **{f"m_float{i:02}": "float" for i in range(10)},
    **{f"m_int{i}": "int" for i in range(4)},
    **{f"m_bool{i}": "bool" for i in range(2)},
    **{f"m_enum{i}": "enum" for i in range(3)},
    "m_text": "string",
}
VALUES = ("basic", "plus", "premium")
_BATCH = 100_000
_READ, _ROUNDS = 2_000, 15


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-profiles-") as folder:
        yield Path(folder)


def _import(root: Path, n: int) -> Figures:
    """Import `n` customers in a process of its own."""
    workspace, file = root / f"brain-{n}", root / f"{n}.csv"
    features = [{"name": c, "dtype": d, **({"values": VALUES} if d == "enum" else {})} for c, d in COLUMNS.items()]
    releasing.new(workspace, {**catalogue.files(), "measured.yaml": json.dumps({"features": features})})
    releasing.release(Workspace.open(workspace), "bench")
    _write(file, n)
    before, data = _size(workspace / "data"), workspace / "data"
    command = [sys.executable, "-m", "tests.benchmarks.profiles", "--import", str(workspace), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        peak = _Peak(lambda: _size(data) + _unnamed(child.pid))
        figures = json.loads(child.communicate()[0])
        peak.stop()
    figures |= {"disk_mb": _size(data) - before, "peak_disk_mb": peak.value - before}
    return {f"import_{n}_{name}": float(value) for name, value in figures.items()}


def _write(file: Path, n: int) -> None:
    """Write a CSV file of about 150 bytes a customer, in parts."""
    rng = np.random.default_rng(3)
    with file.open("wb") as out:
        for start in range(0, n, _BATCH):
            m = min(_BATCH, n - start)
            columns: dict[str, object] = {"customer_id": [f"c-{i:08}" for i in range(start, start + m)]}
            for name, dtype in COLUMNS.items():
                columns[name] = _cells(rng, dtype, m)
            options = pyarrow.csv.WriteOptions(include_header=not start, quoting_style="none")
            pyarrow.csv.write_csv(pa.table(columns), out, options)


def _cells(rng: np.random.Generator, dtype: Dtype, m: int) -> object:
    if dtype == "float":
        return np.round(100 * rng.random(m), 3)
    if dtype in ("int", "bool"):
        return rng.integers(0, 90, m) if dtype == "int" else rng.random(m) < 0.3
    return rng.choice(VALUES if dtype == "enum" else [f"town-{i}" for i in range(500)], m)


def _size(folder: Path) -> float:
    sizes = 0.0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_blocks * 512 / 1e6
        except FileNotFoundError:  # replaced meanwhile
            continue
    return sizes


def _unnamed(pid: int) -> float:
    """Return the size of the files that a process keeps and no folder lists, in MB."""
    sizes = 0.0
    try:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            if str(handle.readlink()).endswith(" (deleted)"):
                sizes += handle.stat().st_blocks * 512 / 1e6
    except OSError:  # the process, or the file, is gone
        pass
    return sizes


class _Peak:
    """The highest value of a function, looked at all the time until `stop`."""

    def __init__(self, look: Callable[[], float]) -> None:
        self.value, self._look, self._over = 0.0, look, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self.value = max(self.value, self._look())

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def _import_here(workspace: Path, file: Path) -> Figures:
    """Import a file in this process; return what it took, and what reading one of the profiles takes."""
    from serving.commands.importing import import_profile, open_stores

    start_s = time.perf_counter()
    counts = import_profile(Workspace.open(workspace), file, {}, lambda *_: None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "s": time.perf_counter() - start_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1e3,
        "rows": counts["rows"],
    }
    with open_stores(Workspace.open(workspace)) as (ledger, _, history):
        streams = [
            ledger.stream_of("person", f"c-{i:08}") for i in random.Random(5).sample(range(counts["rows"]), _READ)
        ]
        profiles, db = history.profiles, history.profiles.store.online._reader  # type: ignore[attr-defined]
        keys = {stream: bytes.fromhex(stream) for stream in streams}
        select = "SELECT body FROM facts WHERE subject = ? AND view = 1"
        assert len(profiles.read(streams[:1], now_us=2**60)[0].facts) == len(COLUMNS)
        bare, read = _least(
            streams,
            lambda stream: db.execute(select, (keys[stream],)).fetchone(),
            lambda stream: profiles.read([stream], now_us=2**60),
        )
    return {**figures, "bare_cpu_ms": bare, "read_cpu_ms": read}


def _least(streams: list[str], *steps: Callable[[str], object]) -> list[float]:
    """Return the least CPU of each step in milliseconds, of rounds in alternation."""
    least = [float("inf")] * len(steps)
    for _ in range(_ROUNDS):
        for i, step in enumerate(steps):
            start_s = time.process_time()
            for stream in streams:
                step(stream)
            least[i] = min(least[i], 1000 * (time.process_time() - start_s) / len(streams))
    return least


def _lines(n: int, *, small: bool = False) -> Iterator[Line]:
    yield Line(f"{n:,} customers x {len(COLUMNS)} imported", f"import_{n}_s", None, None if small else 100.0)
    yield Line("  CPU", f"import_{n}_cpu_s")
    yield Line("  peak memory, MB", f"import_{n}_peak_mb", None, None if small else 1200.0)
    yield Line("  disk afterwards, MB", f"import_{n}_disk_mb", None, None if small else 600.0)
    yield Line("  disk at most meanwhile, MB", f"import_{n}_peak_disk_mb")


PROFILES = Suite(
    _folder,
    tuple(Measure(f"{n:,} customers imported", lambda root, n=n: _import(root, n)) for n in (FEW, MANY)),
    (
        *_lines(FEW, small=True),
        *_lines(MANY),
        Line("peak memory, of the many to the few", f"import_{MANY}_peak_mb", f"import_{FEW}_peak_mb", 1.3),
        Line(
            "one profile read, CPU, to a bare SELECT", f"import_{MANY}_read_cpu_ms", f"import_{MANY}_bare_cpu_ms", 2.0
        ),
    ),
)

if __name__ == "__main__":
    if sys.argv[1] == "--import":
        found = _import_here(*map(Path, sys.argv[2:]))
    else:
        os.environ.update(DO_NOT_TRACK="true")
        with _folder() as place:
            found = _import(place, int(sys.argv[1]))
    json.dump(found, sys.stdout, indent=1)
