"""Threads in the background: none ends by an error, and there is one way to start them."""

import ast
import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decisioning.errors import BrainError, Refused, Unavailable
from features import threads
from features.threads import every, restarts, watched, watched_task

ROOT = Path(__file__).parents[2]
STARTERS = frozenset(
    {
        "Thread",
        "Timer",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "create_task",
        "ensure_future",
        "run_in_executor",
        "start_new_thread",
        "to_thread",
    }
)
"""What starts a thread or a task."""
WAITED_FOR = {
    ("features/threads.py", "Thread"),
    ("features/threads.py", "create_task"),
    ("features/importing/write.py", "ThreadPoolExecutor"),
    ("training/fitting/trees.py", "ThreadPoolExecutor"),
}
"""The one way; and work that its caller waits for, so that an error of it is the caller's."""


def starts(file: Path) -> Iterator[str]:
    """Yield the names of what a file calls to start a thread or a task."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in STARTERS:
                yield name


def test_no_thread_or_task_is_started_but_by_the_module_that_watches_it() -> None:
    files = [
        f for package in ("decisioning", "features", "training", "serving") for f in (ROOT / package).rglob("*.py")
    ]
    files += ROOT.glob("*.py")
    found = {(str(file.relative_to(ROOT)), name) for file in files for name in starts(file)}
    assert found == WAITED_FOR


@pytest.mark.promise("serving.threads")
@pytest.mark.parametrize("error", [ZeroDivisionError("of Jan de Vries"), SystemExit(1), MemoryError()])
def test_a_thread_that_ends_by_an_error_is_run_again_counted_and_told_without_what_it_says(
    error: BaseException, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(threads.time, "sleep", pauses.append)
    runs: list[int] = []
    name = f"a-{type(error).__name__}"

    def run() -> None:
        runs.append(1)
        if len(runs) < 4:
            raise error

    with caplog.at_level(logging.ERROR, "brain"):
        watched(name, run).join(10)
    assert len(runs) == 4
    assert restarts[name] == 3
    assert pauses == [0.1, 0.2, 0.4], "pauses grow"
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == [f"{type(error).__name__} at {__file__}"] * 3
    assert all(r.getMessage().endswith(f"{name} is run again") for r in caplog.records)


def looked(work: Callable[[int], None], times: int) -> threading.Thread:
    """Run `work` so many times with its number, every millisecond, and return the thread when it has ended."""
    stopping, looks = threading.Event(), list[int]()

    def look() -> None:
        looks.append(len(looks))
        if len(looks) == times:
            stopping.set()
        work(looks[-1])

    thread = every("looking", 0.001, look, stopping)
    thread.join(10)
    assert len(looks) == times
    return thread


def test_periodic_work_goes_on_after_errors_and_ends_when_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def work(n: int) -> None:
        if n == 0:
            raise Unavailable("away")
        if n == 1:
            raise ZeroDivisionError("about Jan de Vries")

    with caplog.at_level(logging.ERROR, "brain"):
        assert not looked(work, times=4).is_alive()
    (told,) = caplog.records
    assert told.getMessage().startswith(f"ZeroDivisionError at {__file__}")


def test_a_thread_runs_in_the_context_of_who_started_it() -> None:
    from training.model.background import _rest_s, yielding

    rests: list[float] = []
    with yielding(0.5):
        thread = watched("a-context", lambda: rests.append(_rest_s.get()))
    thread.join(10)
    assert rests == [0.5]


def test_what_puts_periodic_work_off_is_said_once_until_it_is_another_thing(caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning after an erasure, for one, must not give up in silence."""
    errors: list[BrainError | None] = [Refused("one"), Refused("one"), None, Refused("one"), Unavailable("two")]
    stopping = threading.Event()

    def work() -> None:
        if not errors:
            stopping.set()
        elif (error := errors.pop(0)) is not None:
            raise error

    with caplog.at_level(logging.WARNING, "brain"):
        every("cleaning", 0.001, work, stopping).join(10)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"cleaning is tried again: {why}" for why in ("one", "one", "two")]


def test_a_task_is_run_again_after_an_error_that_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FIRST_PAUSE_S", 0.001)
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise KeyError("nobody foresaw this")

    async def whole() -> None:
        await watched_task("task", work)

    before = restarts["task"]
    asyncio.run(whole())
    assert (len(runs), restarts["task"] - before) == (3, 2)


def test_work_that_is_woken_does_not_wait_for_its_time() -> None:
    stopping, woken, done = threading.Event(), threading.Event(), threading.Event()
    thread = every("woken", 60.0, done.set, stopping, woken)
    woken.set()
    assert done.wait(10)
    stopping.set()
    woken.set()
    thread.join(10)
    assert not thread.is_alive()
