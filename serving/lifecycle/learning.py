"""Learning while a server runs: steps in processes of their own, so that no request waits for them.

`brain retrain` runs as often as `brain.yaml` says, if it says so. While a challenger is on trial, `brain trial --guard`
runs every few minutes in any case, and for a while after its promotion; it ends a trial that does harm, or goes back to
the champion before, and changes nothing else. `brain report` runs as often as `brain.yaml` says. All run at nice 15.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import serving
from decisioning.errors import Unavailable
from serving.lifecycle import logs
from serving.settings import Workspace
from training.registry import PROPENSITY, WATCHED, Registry


@dataclass
class Step:
    """A command that runs periodically, one at a time; `every_s` None: never.

    `is_wanted` is called only when the step is due, so that nothing is looked up in between.
    """

    words: tuple[str, ...]
    every_s: float | None
    due_s: float
    is_wanted: Callable[[], bool]
    running: subprocess.Popen[bytes] | None = None

    def is_due(self, now_s: float) -> bool:
        """Tell whether to start the step now.

        Once due, the step is due again `every_s` later, even if it is not wanted now.
        """
        if self.every_s is None or now_s < self.due_s or (self.running is not None and self.running.poll() is None):
            return False
        self.due_s = now_s + self.every_s
        return self.is_wanted()


class Learning:
    """Starts each step when it is due.

    Guard and report are due at once, because a server that restarts often would otherwise never run them. They run
    independently of a retraining step, which may take an hour.

    :param marks: environment variables by which the processes of a run are found and ended with it
    :param now_s: a monotonic clock
    """

    def __init__(
        self, workspace: Workspace, marks: Mapping[str, str], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._marks, self._now_s = workspace, marks, now_s
        settings, started_s = workspace.settings.retrain, now_s()
        every_s = None if settings.every_h is None else 3600.0 * settings.every_h
        self.retrain = Step(("retrain",), every_s, started_s + (every_s or 0.0), lambda: True)
        report_h = workspace.settings.report.every_h
        self.report = Step(("report",), None if report_h is None else 3600.0 * report_h, started_s, lambda: True)
        self.guard = Step(("trial", "--guard"), 60.0 * settings.guard_every_min, started_s, self._on_trial)

    def start_due(self) -> None:
        """Start the steps that are due; their output, and why one failed, is in `run/retrain.log`.

        One that cannot be started, as while nothing can be written, is due again after its usual time.
        """
        now_s = self._now_s()
        for step in (self.retrain, self.guard, self.report):
            if step.is_due(now_s):
                with suppress(OSError):
                    step.running = self._start(step.words)

    def _on_trial(self) -> bool:
        """Tell whether a challenger is on trial, or a champion is still watched whose trial ended with its promotion.

        True if the registry cannot be read, so that the step reports it.
        """
        try:
            registry = Registry(self._workspace.data)
            lineup = registry.lineup(PROPENSITY)
            note = None if lineup.champion is None else registry.read_note(PROPENSITY, lineup.champion, WATCHED)
        except Unavailable:
            return True
        return lineup.trial is not None or (note is not None and json.loads(note)["until_us"] > 1e6 * time.time())

    def _start(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        code = str(Path(serving.__file__).parents[1])
        path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
        file = self._workspace.run / "retrain.log"
        logs.rotate(file)
        with file.open("ab") as log:
            running = subprocess.Popen(
                [sys.executable, "-P", "-m", "brain", *words, "--json", "--workspace", str(self._workspace.root)],
                env={**os.environ, **self._marks, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.setpriority(os.PRIO_PROCESS, running.pid, 15)  # requests come first
        return running
