"""Threads and tasks that run beside what a process answers: the one way to start them.

A thread that ended by an error that nobody foresaw would leave its work undone, unnoticed, for as long as the process
lives. So it is run again after pauses that grow, it writes one line to the log, and it is counted.
"""

import asyncio
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, Final

from decisioning.errors import BrainError

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
GATHER_S: Final = 0.02
"""How long work that was woken waits for what comes right afterwards, so that many calls cost no more than few."""
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


class Bell:
    """Wakes what waits in this process for something new; from any thread."""

    def __init__(self) -> None:
        self._wake: list[Callable[[], object]] = []

    def wakes(self, wake: Callable[[], object]) -> None:
        """Have `wake` called whenever the bell rings. It must be quick, and safe to call from any thread."""
        self._wake.append(wake)

    def ring(self) -> None:
        """Wake everything."""
        for wake in self._wake:
            wake()


def watched_task(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Start a task that awaits `run()` on the running event loop, again if it raises, as `watched` does in a thread."""
    restarts[name] += 0

    async def keep_running() -> None:
        pauses = _Pauses()
        while True:
            try:
                return await run()
            except Exception as error:  # noqa: BLE001 (whatever it is, the work must go on)
                _note(error, name)
            await asyncio.sleep(pauses.after_failure())

    return asyncio.create_task(keep_running(), name=name)


def every(
    name: str, period_s: float, work: Callable[[], object], stopping: Event, woken: Event | None = None
) -> Thread:
    """Start a thread that calls `work` every `period_s` until `stopping` is set; return the thread.

    Once `woken` is set, the work is done GATHER_S later, and not only when its time has come; who sets `stopping` sets
    it, too.

    `BrainError`s are passed over: while a store cannot be reached, what was read before goes on serving. The log says
    so once, as long as the reason stays the same; the texts of these errors hold no personal data.
    """

    def run() -> None:
        said = ""
        while not _waits(period_s, stopping, woken):
            try:
                work()
                said = ""
            except BrainError as error:
                if str(error) != said:
                    said = str(error)
                    LOG.warning("%s is tried again: %s", name, " ".join(said.split()))

    return watched(name, run)


def _waits(period_s: float, stopping: Event, woken: Event | None) -> bool:
    """Wait for the next time; return whether the thread is to end."""
    if woken is None:
        return stopping.wait(period_s)
    if woken.wait(period_s):
        stopping.wait(GATHER_S)
    woken.clear()
    return stopping.is_set()


def _keep_running(name: str, run: Callable[[], object]) -> None:
    pauses = _Pauses()
    while True:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the work must go on)
            _note(error, name)
        else:
            return
        time.sleep(pauses.after_failure())


class _Pauses:
    """The pauses before work is run again: each is twice as long, unless the work had gone on for a while."""

    def __init__(self) -> None:
        self._next_s, self._began_s = FIRST_PAUSE_S, time.monotonic()

    def after_failure(self) -> float:
        """Return how long to wait now, after which the work begins again."""
        at_s = time.monotonic()
        pause_s = FIRST_PAUSE_S if at_s - self._began_s > LONGEST_PAUSE_S else self._next_s
        self._next_s, self._began_s = min(2 * pause_s, LONGEST_PAUSE_S), at_s + pause_s
        return pause_s


def _note(error: BaseException, name: str) -> None:
    restarts[name] += 1
    LOG.error("%s at %s; %s is run again", type(error).__name__, _place(error), name)


def _place(error: BaseException) -> str:
    """Return where an error was raised; its message may hold personal data, so nothing else of it is told."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{at.filename}:{at.lineno}"
