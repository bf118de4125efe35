"""Processes for tests that begin with everything imported: Feast takes seconds, which one server of forks pays once."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, NamedTuple

_FORKING = multiprocessing.get_context("forkserver")
_IMPORTED = ["pytest", "hypothesis", "features.profile.online", "features.signals.store", "features.importing.signals"]


class Child(NamedTuple):
    """A process, and our end of the pipe whose other end it was given as its first argument."""

    process: ForkServerProcess
    pipe: Connection

    def finished(self, within_s: float = 60) -> None:
        """Waits for it to end well."""
        self.process.join(within_s)
        assert self.process.exitcode == 0


def warm_up() -> None:
    """Lets the server begin to import, beside the tests that come first."""
    _FORKING.set_forkserver_preload(_IMPORTED)
    forkserver.ensure_running()


@contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[Child]:
    """`work(pipe, *arguments)` in a process of its own, which does not outlive the block."""
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
