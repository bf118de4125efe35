"""`make mutation`: which small mistakes in what protects customers do the tests find? 300 at random, and every gate.

Each mutant is run in a copy of the tree against the tests of its part, the quick ones first, until one is red.
Prints a line for each, and writes `mutation.json` with those that nobody noticed; exits with 1 where less is found than
promised.
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
"""A mutant for which the tests take so many times as long as without it hangs, and counts as found."""
CORE = (
    "decisioning/deciding/screening.py",
    "decisioning/deciding/consent.py",
    "decisioning/deciding/ethics.py",
    "decisioning/deciding/contact.py",
)
GATES = ("decisioning/deciding/arms.py",)
"""Others that stop candidates: their gates are deleted, too."""
End = Literal["found", "hung", "SURVIVED"]
"""A mutant that hangs is found; how many did is told, as a busy machine may make tests slow."""
Rounds = tuple[tuple[str, ...], ...]
"""Tests, those first that start fast and find most: the others are only run where the ones before them are green."""


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{folder}/test_{name}.py" for name in names)


CORE_TESTS: Rounds = (
    _files("oracle", "kleene", "oracle"),
    (*_files("decisioning", "consent", "contact", "decision", "arms", "identity", "screening"), "tests/invariants"),
    _files("promises", *(f"{of}_promises" for of in ("consent", "emotion", "protection", "limit", "transparency"))),
)
LEDGER_TESTS: Rounds = (
    _files("features/ledger", "standing", "ledger", "links", "verification"),
    _files("features/ledger", "erasure", "checkpoints", "moments", "failures", "migrations"),
    _files("promises", "ledger_promises"),
)


def main() -> int:
    """Runs what was asked for; 0 where the goal is met."""
    asked = _arguments()
    chosen = choose(asked.mutants, asked.seed, gates=not asked.no_gates)
    ends = run(chosen, asked.jobs)
    survived = [m for m, end in zip(chosen, ends, strict=True) if end == "SURVIVED"]
    drawn = [end != "SURVIVED" for m, end in zip(chosen, ends, strict=True) if not m.gate]
    gates = [end != "SURVIVED" for m, end in zip(chosen, ends, strict=True) if m.gate]
    share = sum(drawn) / len(drawn) if drawn else 1.0
    met = share >= GOAL and all(gates)
    told = {"mutants": len(drawn), "killed": sum(drawn), "share": round(share, 3), "goal": GOAL, "met": met}
    told |= {"hung": ends.count("hung"), "gates": len(gates), "gates_killed": sum(gates), "seed": asked.seed}
    told["survived"] = [f"{m.file}:{m.line}: {m.change}" for m in survived]
    Path(asked.out).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(
        f"random mutants {sum(drawn)} of {len(drawn)} found ({share:.0%}, goal {GOAL:.0%}); {ends.count('hung')} hung; "
        f"deleted gates {sum(gates)} of {len(gates)}; the goal is {'met' if met else 'missed'}\n"
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
    """Every gate, and so many others at random of all files together."""
    ledger = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "features" / "ledger").glob("*.py"))
    every = [m for file in (*CORE, *ledger) for m in mutants(file, (ROOT / file).read_text("utf-8"))]
    more = [m for file in GATES for m in mutants(file, (ROOT / file).read_text("utf-8"))]
    rest = [m for m in every if not m.gate]
    drawn = Random(seed).sample(rest, min(count, len(rest)))
    return [*((m for m in (*every, *more) if m.gate) if gates else ()), *drawn]


def run(chosen: list[Mutant], jobs: int) -> list[End]:
    """How each mutant ended; as many at a time as there are copies of the tree."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        os.environ["TMPDIR"] = folder  # databases in memory, too: the tests wait for the disk more than they compute
        copies: queue.Queue[Path] = queue.Queue()
        for n in range(jobs):
            copies.put(_copy(Path(folder) / str(n)))

        took = {rounds: _seconds(rounds, copies.queue[0]) for rounds in (CORE_TESTS, LEDGER_TESTS)}

        def one(mutant: Mutant) -> End:
            rounds, copy = LEDGER_TESTS if mutant.file.startswith("features/") else CORE_TESTS, copies.get()
            try:
                return _end(mutant, took[rounds], copy)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            return [_told(m, end) for m, end in zip(chosen, pool.map(one, chosen), strict=True)]


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
    """How long each round takes where nothing is wrong."""
    took = {}
    for tests in rounds:
        began = time.monotonic()
        assert _green(tests, copy, None), f"red without any mistake: {tests}"
        took[tests] = time.monotonic() - began
    return took


def _end(mutant: Mutant, limit_s: dict[tuple[str, ...], float], copy: Path) -> End:
    file = copy / mutant.file
    whole = file.read_text("utf-8")
    file.write_text(mutant.source, "utf-8")
    try:
        green = all(_green(tests, copy, PATIENCE * seconds) for tests, seconds in limit_s.items())
    except subprocess.TimeoutExpired:
        return "hung"
    else:
        return "SURVIVED" if green else "found"
    finally:
        file.write_text(whole, "utf-8")


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
    """Politely first: a run that is interrupted stops the database server it started."""
    for how in (signal.SIGINT, signal.SIGKILL):
        os.killpg(running.pid, how)
        with suppress(subprocess.TimeoutExpired):
            running.wait(GRACE_S)
            return


def _told(mutant: Mutant, end: End) -> End:
    sys.stdout.write(f"{end:8}  {mutant.file}:{mutant.line}: {mutant.change}\n")
    sys.stdout.flush()
    return end


if __name__ == "__main__":
    sys.exit(main())
