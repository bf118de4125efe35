"""A second process that serves the same workspace, which does one step at a time, has a clock of its own, and may die.

It is forked from a process that has imported everything and has neither threads nor connections: that takes some
milliseconds, where starting an interpreter takes seconds.
"""

import os
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Client as Caller
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from tests.features.processes import Child, child
from tests.stateful.clock import Clock

WARM_S = 0.004
"""A process that is killed so soon is killed while it starts, if it was not running; a later one is running."""
Step = tuple[str, str, Any]
"""A method, a path and a body; or, under the method `do`, what a replica does of itself."""


class Nursery:
    """The process that replicas are forked from; it is begun again if it is gone, and what it ended of is told."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._child: Child | None = None

    def begin(self) -> None:
        """Start the process, which imports while this one goes on."""
        self._child = self._stack.enter_context(child(nurse))

    def fork(self, address: str, root: Path) -> int:
        """Return the pid of a new replica of a workspace that calls this address."""
        try:
            return self._asked(address, root)
        except (EOFError, ConnectionError):
            warnings.warn(f"the process that replicas are forked from is begun again: {self.cause()}", stacklevel=2)
            self.close()
            self.begin()
            return self._asked(address, root)

    def cause(self) -> str:
        """Return how the process ended, and what it and its replicas wrote to stderr."""
        return self._child.cause() if self._child else "it never began"

    def errors(self) -> str:
        """Return what the process and its replicas wrote to stderr."""
        return self._child.errors.read_text() if self._child else ""

    def kill(self) -> None:
        """Kill the process, as another one might."""
        if self._child is not None:
            self._child.process.kill()

    def close(self) -> None:
        """Kill the process for good."""
        self._stack.close()
        self._child = None

    def _asked(self, address: str, root: Path) -> int:
        if self._child is None:
            self.begin()
        assert self._child is not None
        self._child.pipe.send((address, str(root)))
        answer = self._child.pipe.recv()
        if isinstance(answer, str):
            raise AssertionError(f"no replica can be forked: {answer}")
        return int(answer)


class Replica:
    """The second process of one workspace, begun again after it was killed."""

    def __init__(self, root: Path, nursery: Nursery, listener: Listener) -> None:
        self._root, self._nursery, self._listener = root, nursery, listener
        self._pid, self._pipe = 0, None

    def ask(self, now_us: int, step: Step) -> Any:
        """Return what a step answers, on a clock that says this."""
        with self._telling():
            self._connected().send((now_us, step))
            answer = self._connected().recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill_in(self, now_us: int, step: Step, after_s: float) -> None:
        """Begin a step and kill the process so long after: in the midst of the step, or of its start."""
        if after_s >= WARM_S and self._pipe is None:
            self.ask(now_us, ("do", "refresh", None))
        with self._telling():
            self._connected().send((now_us, step))
        time.sleep(after_s)
        self.close()

    def close(self) -> None:
        """Kill the process."""
        if self._pipe is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._pipe.close()
            self._pipe = None

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say what the process wrote to stderr if it has ended by itself."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            raise AssertionError(f"the second process ended by itself: {self._nursery.errors()}") from error

    def _connected(self) -> Connection:
        if self._pipe is None:
            self._pid = self._nursery.fork(str(self._listener.address), self._root)
            self._pipe = self._listener.accept()
        return self._pipe


def nurse(pipe: Connection) -> None:
    """Fork a replica for each address and workspace that comes through the pipe; the program of a child process.

    It answers with the pid, or with the text of the error for which it can fork none.
    """
    try:
        from tests.stateful import serving_steps
    except Exception:  # noqa: BLE001 (the test raises it)
        pipe.send(traceback.format_exc())
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed are not waited for
    while True:
        try:
            address, root = pipe.recv()
        except EOFError:
            return
        pipe.send(_forked(pipe, address, Path(root), serving_steps.steps_of))


def _forked(pipe: Connection, address: str, root: Path, steps_of: Callable[[Path], Callable[[Step], Any]]) -> int | str:
    try:
        pid = os.fork()
    except OSError:
        return traceback.format_exc()
    if not pid:
        pipe.close()
        _serve(address, root, steps_of)
    return pid


def _serve(address: str, root: Path, steps_of: Callable[[Path], Callable[[Step], Any]]) -> None:
    """Do steps until the other end is closed, and end the process."""
    code = 1
    try:
        live_in(root.parent)
        with Caller(address) as pipe, Clock(0).set() as clock:
            _do_all(pipe, clock, root, steps_of)
    except (EOFError, ConnectionError):
        code = 0
    except BaseException:  # noqa: BLE001 (the process ends here, and the test reads why)
        traceback.print_exc()
    finally:
        os._exit(code)


def live_in(folder: Path) -> None:
    """Let the current folder, and the one for temporary files, be below this one."""
    os.chdir(folder / "here")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "temporary")


def _do_all(pipe: Connection, clock: Clock, root: Path, steps_of: Callable[[Path], Callable[[Step], Any]]) -> None:
    do: Callable[[Step], Any] | None = None
    while True:
        clock.now_us, step = pipe.recv()
        try:
            do = do or steps_of(root)
            answer = do(step)
        except Exception as error:  # noqa: BLE001 (the test raises it)
            answer = AssertionError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        pipe.send(answer)


__all__ = ["Nursery", "Replica", "Step", "live_in", "nurse"]
