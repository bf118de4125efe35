"""Threads that run beside what a process answers: the one way to start them.

A thread that ended by an error that nobody foresaw would leave its work undone, unnoticed, for as long as the process
lives. So it is run again after pauses that grow, it writes one line to the log, and it is counted.
"""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Thread
from typing import Final

from decisioning.errors import BrainError

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
LOG: Final = logging.getLogger("brain")
"""The log of what runs in the background."""
restarts: Final[Counter[str]] = Counter()
"""Name of a thread -> how often it was run again after an error, since the process started."""


def watched(name: str, run: Callable[[], object]) -> Thread:
    """Start a thread that runs `run` in the caller's context, and runs it again if it raises; return the thread.

    It ends when `run` returns. It does not keep the process alive.
    """
    restarts[name] += 0  # so that metrics name it from the beginning
    thread = Thread(target=copy_context().run, args=(_keep_running, name, run), name=name, daemon=True)
    thread.start()
    return thread


def every(name: str, period_s: float, work: Callable[[], object], stopping: Event) -> Thread:
    """Start a thread that calls `work` every `period_s` until `stopping` is set; return the thread.

    `BrainError`s are passed over: while a store cannot be reached, what was read before goes on serving. The log says
    so once, as long as the reason stays the same; the texts of these errors hold no personal data.
    """

    def run() -> None:
        said = ""
        while not stopping.wait(period_s):
            try:
                work()
                said = ""
            except BrainError as error:
                if str(error) != said:
                    said = str(error)
                    LOG.warning("%s is tried again: %s", name, " ".join(said.split()))

    return watched(name, run)


def _keep_running(name: str, run: Callable[[], object]) -> None:
    pause_s = FIRST_PAUSE_S
    while True:
        began_s = time.monotonic()
        try:
            run()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the work must go on)
            restarts[name] += 1
            LOG.error("%s at %s; %s is run again", type(error).__name__, _place(error), name)
        else:
            return
        if time.monotonic() - began_s > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _place(error: BaseException) -> str:
    """Return where an error was raised; its message may hold personal data, so nothing else of it is told."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{at.filename}:{at.lineno}"
