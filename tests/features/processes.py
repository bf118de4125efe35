"""Processes for tests, forked from one server that has imported everything: importing Feast takes seconds."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, NamedTuple

_FORKING = multiprocessing.get_context("forkserver")
_IMPORTED = ["pytest", "hypothesis", "features.profile.online", "features.signals.store", "features.importing.signals"]


class Child(NamedTuple):
    """A process, and this end of the pipe whose other end is its first argument."""

    process: ForkServerProcess
    pipe: Connection

    def finished(self, within_s: float = 60) -> None:
        """Wait for the process and assert that it exited with 0."""
        self.process.join(within_s)
        assert self.process.exitcode == 0


def forked_context(_method: str | None = None) -> ForkServerContext:
    """Take the place of `multiprocessing.get_context`: processes come from the server, and import nothing again."""
    warm_up()
    return _FORKING


def warm_up() -> None:
    """Start the server, which imports while the first tests run."""
    _FORKING.set_forkserver_preload(_IMPORTED)
    forkserver.ensure_running()


@contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """Run `work(pipe, *arguments)` in a new process, which is killed when the block ends."""
    warm_up()
    ours, theirs = _FORKING.Pipe()
    process = _FORKING.Process(target=work, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield Child(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()
