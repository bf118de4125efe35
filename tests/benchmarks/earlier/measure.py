"""The full decision of an earlier commit, measured in the same run as the present one."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from tests.benchmarks.measures import Figures, Skipped
from tests.benchmarks.served import measure_port, measure_sustained
from tests.benchmarks.world import World
from tests.serving.load import Answer

COMMIT = "b29a19b"
ROOT = Path(__file__).parents[3]
STOP_S = 60.0
LOG = "program.log"
_PROGRAM = Path(__file__).with_name("program.py")


def measure(world: World) -> Figures:
    """Measure the commit's own `decide()`, then its server with the requests of every other server."""
    with tempfile.TemporaryDirectory(prefix="bench-earlier-") as folder:
        check_out(Path(folder))
        with program(Path(folder)) as earlier:
            steps = next_message(earlier, Path(folder))["figures"]
            port = int(next_message(earlier, Path(folder))["port"])
            figures, answers = measure_port(world, "earlier", port)
            sustained = measure_sustained(world, "earlier", port)
    _check(answers)
    return {**{f"earlier_{name}": value for name, value in steps.items()}, **figures, **sustained}


def check_out(folder: Path, commit: str = COMMIT) -> None:
    """Write a commit's files into a folder; raises Skipped if this clone does not hold the commit."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise Skipped("there is no git here") from None
    except subprocess.CalledProcessError:
        raise Skipped(f"this clone does not hold commit {commit}") from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


@contextmanager
def program(tree: Path, file: Path = _PROGRAM, folder: Path | None = None) -> "Iterator[subprocess.Popen[str]]":
    """Run a program over the files of a tree until its standard input ends.

    :param folder: where it runs and writes its log; the tree itself by default
    """
    folder = folder or tree
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-P", str(file)]
    with (folder / LOG).open("w") as log:
        started = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.stdin.close()  # type: ignore[union-attr]
        try:
            started.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGTERM)
            started.wait()


def next_message(earlier: "subprocess.Popen[str]", folder: Path) -> dict[str, Any]:
    """Return the next line that the program writes."""
    line = earlier.stdout.readline()  # type: ignore[union-attr]
    assert line, f"the earlier commit's program ended: {(folder / LOG).read_text()[-2000:]}"
    message: dict[str, Any] = json.loads(line)
    return message


def _check(answers: list[Answer]) -> None:
    """Assert that all candidates were scored by the champion, and that nearly all answers made offers."""
    bodies = [from_json(answer.body) for answer in answers]
    assert {(body["model"], body["withheld"]) for body in bodies} == {("propensity@1", 0)}
    assert sum(any(p["offers"] for p in body["placements"]) for body in bodies) >= 0.98 * len(bodies)
