"""`make mutation`: which small mistakes in the code that protects customers do the tests find?

Takes 300 random mutants and every deleted gate. Each mutant is run in a copy of the tree against the tests of its part,
the quick ones first, until one fails. Prints a line for each mutant, and writes `mutation.json` with those that no test
noticed. The exit code is 1 if fewer are found than the goal.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Literal

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
GOAL = 0.9
GRACE_S = 20
MEMORY = Path("/dev/shm")
PATIENCE = 4
"""A mutant hangs, and counts as found, if the tests take this many times as long as without it."""
CORE = (
    "decisioning/deciding/screening.py",
    "decisioning/deciding/consent.py",
    "decisioning/deciding/ethics.py",
    "decisioning/deciding/contact.py",
    "decisioning/review/rechecking.py",
)
LEDGER = ("features/ledger", "features/ledger/checking")
End = Literal["found", "hung", "SURVIVED"]
"""How a mutant ended. One that hangs is found; their number is reported, as a busy machine may make tests slow."""
Rounds = tuple[tuple[str, ...], ...]
"""Groups of tests, those first that start fast and find most; each is run only if the ones before it passed."""


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{folder}/test_{name}.py" for name in names)


CORE_TESTS: Rounds = (
    (*_files("oracle", "kleene", "oracle", "again"), *_files("decisioning", "rechecking")),
    (*_files("decisioning", "consent", "contact", "decision", "arms", "identity", "screening"), "tests/invariants"),
    _files("promises", *(f"{of}_promises" for of in ("consent", "emotion", "protection", "limit", "transparency"))),
)
LEDGER_TESTS: Rounds = (
    _files("features/ledger", "standing", "ledger", "links", "verification"),
    _files("features/ledger", "erasure", "checkpoints", "moments", "failures", "migrations"),
    _files("promises", "ledger_promises"),
)


def main() -> int:
    """Run the mutants that the arguments select; return 0 if the goal is met."""
    arguments = _arguments()
    selected = choose(arguments.mutants, arguments.seed, gates=not arguments.no_gates)
    ends = run(selected, arguments.jobs)
    survived = [m for m, end in zip(selected, ends, strict=True) if end == "SURVIVED"]
    noticed = [end != "SURVIVED" for m, end in zip(selected, ends, strict=True) if not m.gate]
    gates_noticed = [end != "SURVIVED" for m, end in zip(selected, ends, strict=True) if m.gate]
    share = sum(noticed) / len(noticed) if noticed else 1.0
    met = share >= GOAL and all(gates_noticed)
    summary = {"mutants": len(noticed), "killed": sum(noticed), "share": round(share, 3), "goal": GOAL, "met": met}
    summary |= {
        "hung": ends.count("hung"),
        "gates": len(gates_noticed),
        "gates_killed": sum(gates_noticed),
        "seed": arguments.seed,
    }
    summary["survived"] = [f"{m.file}:{m.line}: {m.change}" for m in survived]
    Path(arguments.out).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(
        f"random mutants {sum(noticed)} of {len(noticed)} found ({share:.0%}, goal {GOAL:.0%}); "
        f"{ends.count('hung')} hung; "
        f"deleted gates {sum(gates_noticed)} of {len(gates_noticed)}; the goal is {'met' if met else 'missed'}\n"
    )
    return 0 if met else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-gates", action="store_true", help="only random ones")
    parser.add_argument("--out", default="mutation.json")
    return parser.parse_args()


def choose(count: int, seed: int, *, gates: bool) -> list[Mutant]:
    """Return every mutant that deletes a gate, and `count` others at random from all files together."""
    ledger = sorted(str(p.relative_to(ROOT)) for folder in LEDGER for p in (ROOT / folder).glob("*.py"))
    every = [m for file in (*CORE, *ledger) for m in mutants(file, (ROOT / file).read_text("utf-8"))]
    others = [m for m in every if not m.gate]
    sample = Random(seed).sample(others, min(count, len(others)))
    return [*((m for m in every if m.gate) if gates else ()), *sample]


def run(selected: list[Mutant], jobs: int) -> list[End]:
    """Return how each mutant ended; as many run at a time as there are copies of the tree."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        os.environ["TMPDIR"] = folder  # databases in memory: the tests wait for the disk more than they compute
        copies: queue.Queue[Path] = queue.Queue()
        for n in range(jobs):
            copies.put(_copy(Path(folder) / str(n)))

        seconds = {rounds: _seconds(rounds, copies.queue[0]) for rounds in (CORE_TESTS, LEDGER_TESTS)}

        def end_of(mutant: Mutant) -> End:
            rounds, copy = LEDGER_TESTS if mutant.file.startswith("features/") else CORE_TESTS, copies.get()
            try:
                return _end_of(mutant, seconds[rounds], copy)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            return [_report(m, end) for m, end in zip(selected, pool.map(end_of, selected), strict=True)]


def _copy(to: Path) -> Path:
    skip = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "notebooks")
    shutil.copytree(ROOT, to, ignore=skip)
    where = subprocess.run(
        [sys.executable, "-c", "import decisioning; print(decisioning.__file__)"],
        cwd=to,
        capture_output=True,
        check=True,
    )
    assert str(to.resolve()) in where.stdout.decode(), "the copy is not what would be tested"
    return to


def _seconds(rounds: Rounds, copy: Path) -> dict[tuple[str, ...], float]:
    """Return how long each round takes without any mistake."""
    seconds = {}
    for tests in rounds:
        began = time.monotonic()
        assert _green(tests, copy, None), f"red without any mistake: {tests}"
        seconds[tests] = time.monotonic() - began
    return seconds


def _end_of(mutant: Mutant, limit_s: dict[tuple[str, ...], float], copy: Path) -> End:
    file = copy / mutant.file
    original = file.read_text("utf-8")
    file.write_text(mutant.source, "utf-8")
    try:
        green = all(_green(tests, copy, PATIENCE * seconds) for tests, seconds in limit_s.items())
    except subprocess.TimeoutExpired:
        return "hung"
    else:
        return "SURVIVED" if green else "found"
    finally:
        file.write_text(original, "utf-8")


def _green(tests: tuple[str, ...], copy: Path, limit_s: float | None) -> bool:
    options = ("-x", "-q", "-m", "not long", "-p", "no:cacheprovider", "--no-header", "--hypothesis-profile=unshrunk")
    command = ["nice", "-n", "15", sys.executable, "-B", "-m", "pytest", *options, *tests]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=copy, start_new_session=True, **quiet) as running:
        try:
            return running.wait(limit_s) == 0
        except subprocess.TimeoutExpired:
            _stop(running)
            raise


def _stop(running: subprocess.Popen[bytes]) -> None:
    """Interrupt the run first, so that it stops the database server it started, and kill it if it does not end."""
    for how in (signal.SIGINT, signal.SIGKILL):
        os.killpg(running.pid, how)
        with suppress(subprocess.TimeoutExpired):
            running.wait(GRACE_S)
            return


def _report(mutant: Mutant, end: End) -> End:
    sys.stdout.write(f"{end:8}  {mutant.file}:{mutant.line}: {mutant.change}\n")
    sys.stdout.flush()
    return end


if __name__ == "__main__":
    sys.exit(main())
