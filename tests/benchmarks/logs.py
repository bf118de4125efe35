"""Imports of logs by a mapping, for few and for many customers, a letter for each: memory at its peak, CPU and time.

`python -m tests.benchmarks.logs N` imports a log of N customers and prints the figures as JSON.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tests.benchmarks.measures import Figures, Line, Measure, Suite

FEW, MANY = 100_000, 1_000_000
MAPPING = """
id: letters
about: Letters of a shop, and who bought something.
settings: {country_rules: nl, age_feature: age}
purposes:
  - {id: marketing, notice_version: "2026-01"}
channels:
  - {id: email, direction: outbound, medium: email, placements: [mail], counts_on: delivered}
actions:
  - {id: shoes, issue: grow, group: fashion, title: New shoes, value: 10, window_days: 30}
  - {id: coats, issue: grow, group: fashion, title: Coats, value: 20, window_days: 30}
policies:
  - {id: adults-only, level: eligibility, attach: {issue: grow}, permit: "age >= 18"}
assertions:
  - author: A. Jansen
    text: Nobody in these files is in trouble, and all agreed to e-mail.
    since: 2025-01-01
    consents: [{purpose: marketing, channel: email}]
    features:
      - {name: hardship, value: false, protects: [hardship, arrears]}
      - {name: vulnerable, value: false, protects: [vulnerability, bereavement]}
      - {name: complaint_open, value: false, protects: [complaint, service-issue]}
files:
  - id: letters
    subject: {column: customer}
    as_of: 2025-06-01
    features:
      - {column: age, name: age, dtype: int, unit: years}
      - {column: spent, name: spent_eur, dtype: float, unit: EUR}
      - {column: plan, name: plan, dtype: enum}
      - {column: vip, name: vip, dtype: bool}
    contact:
      id: letter
      action: {column: what, values: {Shoes: shoes, Coats: coats, nothing: none}}
      channel: email
      at: {column: sent}
      probability: {column: p}
      outcomes:
        - {name: bought, column: bought, positive: yes, value: {column: euro}}
"""
_BATCH = 100_000
_FIRST_DAY = np.datetime64("2025-07-01")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder for logs and workspaces."""
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        yield Path(folder)


def write_log(path: Path, n: int) -> Path:
    """Write a CSV file of about 80 bytes a customer, in parts and in order of time."""
    rng = np.random.default_rng(3)
    with path.open("wb") as out:
        for start in range(0, n, _BATCH):
            options = pyarrow.csv.WriteOptions(include_header=not start, quoting_style="none")
            pyarrow.csv.write_csv(_letters(rng, start, min(_BATCH, n - start), n), out, options)
    return path


def _letters(rng: np.random.Generator, start: int, m: int, n: int) -> pa.Table:
    numbers, bought = range(start, start + m), rng.random(m) < 0.05
    sent = _FIRST_DAY + (np.asarray(numbers) * 300 * 86_400 // n).astype("timedelta64[s]")
    columns: dict[str, object] = {
        "letter": [f"l-{i:08}" for i in numbers],
        "customer": [f"c-{i:08}" for i in numbers],
        "age": rng.integers(18, 90, m),
        "spent": np.round(100 * rng.random(m), 2),
        "plan": rng.choice(["basic", "plus", "premium"], m),
        "vip": rng.random(m) < 0.1,
        "what": rng.choice(["Shoes", "Coats", "nothing"], m),
        "sent": np.char.add(sent.astype(str), "Z"),
        "p": np.full(m, 0.25),
        "bought": np.where(bought, "yes", "no"),
        "euro": np.where(bought, "29.95", ""),
    }
    return pa.table(columns)


def measure_import(root: Path, n: int) -> Figures:
    """Import the log of `n` customers into a new workspace, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.logs", "--import", str(root / f"brain-{n}")]
    done = subprocess.run([*command, str(write_log(root / f"{n}.csv", n))], capture_output=True, check=False, text=True)
    assert not done.returncode, done.stderr[-2000:]
    return {f"log_{n}_{name}": float(value) for name, value in json.loads(done.stdout).items()}


def _import_here(workspace: Path, file: Path) -> Figures:
    from serving.brain import releasing
    from serving.commands.importing import import_log
    from serving.settings import Workspace

    gc.set_threshold(100_000, 50, 50)  # as every command does
    releasing.new(workspace, {})
    mapping = workspace / "letters.yaml"
    mapping.write_text(MAPPING)
    start_s = time.perf_counter()
    counts = import_log(Workspace.open(workspace), str(mapping), (str(file),), "bench", lambda *_: None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "s": time.perf_counter() - start_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1e3,
        "records": counts["new_records"],
    }


def _lines(n: int) -> Iterator[Line]:
    yield Line(f"log of {n:,} customers imported", f"log_{n}_s")
    yield Line("  records", f"log_{n}_records")
    yield Line("  CPU", f"log_{n}_cpu_s")
    yield Line("  peak memory, MB", f"log_{n}_peak_mb")


LOGS = Suite(
    open_folder,
    tuple(Measure(f"log of {n:,} customers", lambda root, n=n: measure_import(root, n)) for n in (FEW, MANY)),
    (
        *_lines(FEW),
        *_lines(MANY),
        Line("peak memory, of the many to the few", f"log_{MANY}_peak_mb", f"log_{FEW}_peak_mb", 1.3),
    ),
)

if __name__ == "__main__":
    if sys.argv[1] == "--import":
        found = _import_here(*map(Path, sys.argv[2:]))
    else:
        os.environ.update(DO_NOT_TRACK="true")
        with open_folder() as place:
            found = measure_import(place, int(sys.argv[1]))
    json.dump(found, sys.stdout, indent=1)
