"""Processes for tests, forked from one server that has imported everything: importing Feast takes seconds."""

import faulthandler
import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

_FORKING = multiprocessing.get_context("forkserver")
ROOT = Path(__file__).parents[2]


class Child(NamedTuple):
    """A process, and this end of the pipe whose other end is its first argument.

    `errors`: the file that takes what the process writes to stderr.
    """

    process: ForkServerProcess
    pipe: Connection
    errors: Path

    def finished(self, within_s: float = 60) -> None:
        """Wait for the process and assert that it exited with 0."""
        self.process.join(within_s)
        assert self.process.exitcode == 0, self.cause()

    def cause(self) -> str:
        """Return how the process ended, and what it wrote to stderr."""
        self.process.join(10)
        return f"exit code {self.process.exitcode} (below 0: a signal), stderr: {self.errors.read_text() or 'empty'}"


def forked_context(_method: str | None = None) -> ForkServerContext:
    """Take the place of `multiprocessing.get_context`: processes come from the server, and import nothing again."""
    warm_up()
    return _FORKING


def warm_up() -> None:
    """Start the server, which imports while the first tests run.

    It finds the tests by PYTHONPATH, wherever the current folder is: what it cannot import it leaves out, unnoticed.
    """
    _FORKING.set_forkserver_preload(["tests.features.imported"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """Run `work(pipe, *arguments)` in a new process, which is killed when the block ends.

    If the block finds the process gone, the error says what it ended of.
    """
    warm_up()
    ours, theirs = _FORKING.Pipe()
    handle, name = tempfile.mkstemp(prefix="errors-")
    os.close(handle)
    process = _FORKING.Process(target=_run, args=(name, pickle.dumps(work), theirs, *arguments))
    process.start()
    theirs.close()
    one = Child(process, ours, Path(name))
    try:
        yield one
    except (EOFError, ConnectionError) as error:
        raise AssertionError(f"a process of the test is gone: {one.cause()}") from error
    finally:
        process.kill()
        process.join()
        ours.close()
        one.errors.unlink()


def _run(errors: str, pickled: bytes, *arguments: Any) -> None:
    """Do the work of a child with stderr in a file: that of the server it was forked from goes nowhere.

    The work comes pickled, so that a module that cannot be imported is told there, too.
    """
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    faulthandler.enable(2)
    pickle.loads(pickled)(*arguments)
