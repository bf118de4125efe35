"""Where a replica does what may take longer than a millisecond: in threads, few, and some for each kind of work.

The event loop is left to decisions. What hangs or takes long in one pool takes no thread of another one.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, TypeVar

from decisioning.errors import Unavailable
from features.deadlines import answering_within, check_time, until_s
from features.threads import watched
from training.model.background import yielding

_T = TypeVar("_T")
STATEMENT_S: Final = 1.0
"""How long a request waits for a store's answer to one question."""
LONG_BODY: Final = 16_384
"""Bytes of a body that is read in a pool in any case, because that may take longer than a millisecond."""
_REST_S: Final = 0.0002
"""How long an array rests after each slice: enough for the event loop to go on, and somebody waits for its answer."""
LONGER_S: Final = 1.5
_WAITING: Final = 100
"""How many pieces of work may wait for one pool."""
_Piece = Callable[[asyncio.Runner], None]


class Pool:
    """Threads for one kind of work, which are started when they are needed first.

    :param within_s: how long a caller waits for the end of its work, in seconds
    """

    def __init__(self, name: str, threads: int, within_s: float) -> None:
        self._name, self._threads, self._within_s = name, threads, within_s
        self._queue: SimpleQueue[_Piece | None] = SimpleQueue()
        self._starting, self._started = Lock(), 0

    async def run(self, work: Callable[..., _T], *args: Any) -> _T:
        """Return what `work` returns, called in one of the threads.

        :raises Unavailable: it did not end in time, or too much waits. What had not begun in time is never begun.
        """
        return await self._end_of(self.submit(work, *args))

    async def run_async(self, work: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Return what a coroutine returns, which runs in one of the threads, in an event loop of that thread.

        :raises Unavailable: as `run` does
        """
        return await self._end_of(self._submit(lambda runner: runner.run(work(*args))))

    def submit(self, work: Callable[..., _T], *args: Any) -> "Future[_T]":
        """Return a future of what `work` returns, called in one of them. Raises Unavailable if too much waits."""
        return self._submit(lambda _: work(*args))

    def close(self) -> None:
        """Let the threads end after what waits for them; does not wait for that."""
        for _ in range(self._started):
            self._queue.put(None)

    async def _end_of(self, future: "Future[_T]") -> _T:
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Unavailable(f"it was not done within {self._within_s:g} s; try again") from None

    def _submit(self, work: Callable[[asyncio.Runner], _T]) -> "Future[_T]":
        if self._queue.qsize() >= _WAITING:
            raise Unavailable("too many requests of this kind wait; try again")
        future: Future[_T] = Future()
        moment_s = until_s()
        self._queue.put(lambda runner: _perform(work, runner, future, moment_s))
        with self._starting:
            if self._started < self._threads:
                self._started += 1
                watched(f"{self._name}-{self._started}", self._run)
        return future

    def _run(self) -> None:
        with yielding(_REST_S), answering_within(STATEMENT_S), asyncio.Runner() as runner:
            while (piece := self._queue.get()) is not None:
                piece(runner)


class Pools:
    """The pools of a process.

    `consents`: what customers allow, refuse, restrict and erase, which waits for nothing else. `short`: other
    statements that are recorded after something was read, and repeats of decisions. `long`: arrays, previews and what
    people look at. `erasures`: they wait for each other. `health`: readiness and metrics, told whatever hangs.
    `people`: who has a session. `sign_in`: passwords, which cost time, and an OpenID provider, which may hang. `news`:
    what open streams are told.

    :param timeout_s: how long a request may take; long ones get LONGER_S more, which the proxy allows
    """

    def __init__(self, timeout_s: float) -> None:
        self.consents = Pool("consents", 2, timeout_s)
        self.short = Pool("short", 4, timeout_s)
        self.long = Pool("long", 2, timeout_s + LONGER_S)
        self.erasures = Pool("erasures", 2, timeout_s + LONGER_S)
        self.health = Pool("health", 1, timeout_s + LONGER_S)
        self.people = Pool("people", 2, timeout_s)
        self.sign_in = Pool("sign-in", 2, timeout_s + LONGER_S)
        self.news = Pool("news", 2, timeout_s + LONGER_S)

    def for_body(self, body: bytes) -> Pool:
        """Return the pool that takes what a body of this length tells."""
        return self.short if len(body) <= LONG_BODY else self.long

    def close(self) -> None:
        """Let all threads end after what waits for them."""
        served = (self.consents, self.short, self.long, self.erasures, self.health)
        for pool in (*served, self.people, self.sign_in, self.news):
            pool.close()


def _perform(
    work: Callable[[asyncio.Runner], _T], runner: asyncio.Runner, future: "Future[_T]", moment_s: float
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        check_time(moment_s)
        result = work(runner)
    except BaseException as error:  # noqa: BLE001 (raised to the caller)
        future.set_exception(error)
    else:
        future.set_result(result)
