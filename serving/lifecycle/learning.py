"""Learning beside a server: steps in processes of their own, so that no request waits for them.

`brain retrain` as often as `brain.yaml` says; and while a challenger is on trial, every few minutes `brain trial
--guard`, which ends a trial that does harm and changes nothing else.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import serving
from decisioning.errors import Unavailable
from serving.settings import Workspace
from training.registry import Registry

_MODEL = "propensity"
"""The one that is tried."""


@dataclass
class Step:
    """A command that is run again and again, one at a time; `every_s` None is never."""

    words: tuple[str, ...]
    every_s: float | None
    due_s: float
    wanted: Callable[[], bool]
    running: subprocess.Popen[bytes] | None = None

    def is_due(self, now_s: float) -> bool:
        """Asked first, so that nothing is looked up in between."""
        if self.every_s is None or now_s < self.due_s or (self.running is not None and self.running.poll() is None):
            return False
        self.due_s = now_s + self.every_s
        return self.wanted()


class Learning:
    """Starts each step when it is due; `now_s` is a clock that never goes back.

    The guard first looks at once, as a server that is often started again would else have none, and it looks beside a
    step of learning, which may take an hour.

    :param marked: the environment by which everything that belongs to a run is found and ended with it
    """

    def __init__(
        self, workspace: Workspace, marked: Mapping[str, str], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._marked, self._now_s = workspace, marked, now_s
        wanted, began_s = workspace.settings.retrain, now_s()
        every_s = None if wanted.every_h is None else 3600.0 * wanted.every_h
        self.retrain = Step(("retrain",), every_s, began_s + (every_s or 0.0), lambda: True)
        self.guard = Step(("trial", "--guard"), 60.0 * wanted.guard_every_min, began_s, self._on_trial)

    def look(self) -> None:
        """What a step says, and why it failed if it did, is in `run/retrain.log`."""
        now_s = self._now_s()
        for step in (self.retrain, self.guard):
            if step.is_due(now_s):
                step.running = self._start(step.words)

    def _on_trial(self) -> bool:
        """Read in a millisecond. A registry that cannot be read is for the step to tell of."""
        try:
            return Registry(self._workspace.data).lineup(_MODEL).trial is not None
        except Unavailable:
            return True

    def _start(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        code = str(Path(serving.__file__).parents[1])
        path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
        with (self._workspace.run / "retrain.log").open("ab") as log:
            running = subprocess.Popen(
                [sys.executable, "-P", "-m", "brain", *words, "--json", "--workspace", str(self._workspace.root)],
                env={**os.environ, **self._marked, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.setpriority(os.PRIO_PROCESS, running.pid, 15)  # requests come first
        return running
