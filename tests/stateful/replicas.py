"""A second process that serves the same workspace, which does one step at a time, has a clock of its own, and may die.

It is forked from a process that has imported everything and has neither threads nor connections: that takes some
milliseconds, where starting an interpreter takes seconds.
"""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Client as Caller
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from tests.features.processes import Child, child
from tests.stateful.clock import Clock

Step = tuple[str, str, Any]
"""A method, a path and a body; or, under the method `do`, what a replica does of itself."""


class Replica:
    """The second process of one workspace, begun again after it was killed."""

    def __init__(self, root: Path, nursery: Child, listener: Listener) -> None:
        self._root, self._nursery, self._listener = root, nursery, listener
        self._pid, self._pipe = 0, None

    def ask(self, now_us: int, step: Step) -> Any:
        """Return what a step answers, on a clock that says this."""
        self._send(now_us, step)
        answer = self._connected().recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill_in(self, now_us: int, step: Step, after_s: float) -> None:
        """Begin a step and kill the process so long after."""
        self._send(now_us, step)
        time.sleep(after_s)
        self.close()

    def close(self) -> None:
        """Kill the process."""
        if self._pipe is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._pipe.close()
            self._pipe = None

    def _send(self, now_us: int, step: Step) -> None:
        self._connected().send((now_us, step))

    def _connected(self) -> Connection:
        if self._pipe is None:
            self._nursery.pipe.send((str(self._listener.address), str(self._root)))
            self._pid = self._nursery.pipe.recv()
            self._pipe = self._listener.accept()
        return self._pipe


def nurse(pipe: Connection) -> None:
    """Fork a replica for each address and workspace that comes through the pipe; the program of a child process."""
    from tests.stateful import serving_steps

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed are not waited for
    while True:
        try:
            address, root = pipe.recv()
        except EOFError:
            return
        pid = os.fork()
        if not pid:
            pipe.close()
            _serve(address, Path(root), serving_steps.steps_of)
        pipe.send(pid)


def _serve(address: str, root: Path, steps_of: Callable[[Path], Callable[[Step], Any]]) -> None:
    """Do steps until the other end is closed, and end the process."""
    code = 1
    try:
        pipe, clock = Caller(address), Clock(0)
        with clock.set():
            do: Callable[[Step], Any] | None = None
            while True:
                clock.now_us, step = pipe.recv()
                do = do or steps_of(root)
                pipe.send(_answer(do, step))
    except (EOFError, OSError):
        code = 0
    finally:
        os._exit(code)


def _answer(do: Callable[[Step], Any], step: Step) -> Any:
    try:
        return do(step)
    except Exception as error:  # noqa: BLE001 (the test raises it)
        return AssertionError(f"{type(error).__name__}: {error}")


__all__ = ["Replica", "Step", "child", "nurse"]
