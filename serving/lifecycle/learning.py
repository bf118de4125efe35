"""`brain retrain` beside a server, every so often: a process of its own, so that no request waits for it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import serving
from serving.settings import Workspace

_COMMAND = ("-P", "-m", "brain", "retrain", "--json")


class Learning:
    """Starts a step when one is due and none is running; `now_s` is a clock that never goes back.

    :param marked: the environment by which everything that belongs to a run is found and ended with it
    """

    def __init__(
        self, workspace: Workspace, marked: Mapping[str, str], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._marked, self._now_s = workspace, marked, now_s
        self._every_h = workspace.settings.retrain.every_h
        self._due_s = now_s() + 3600.0 * (self._every_h or 0.0)
        self.running: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """What it says, and why it failed if it did, is in `run/retrain.log`."""
        if self.running is not None and self.running.poll() is None:
            return
        if self._every_h is None or self._now_s() < self._due_s:
            return
        self._due_s = self._now_s() + 3600.0 * self._every_h
        code = str(Path(serving.__file__).parents[1])
        path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
        with (self._workspace.run / "retrain.log").open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, *_COMMAND, "--workspace", str(self._workspace.root)],
                env={**os.environ, **self._marked, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.setpriority(os.PRIO_PROCESS, self.running.pid, 15)  # requests come first
