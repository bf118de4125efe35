"""The one writer thread of a process: takes what is submitted, several submissions to a commit.

A batch is planned in memory over the locked heads of its streams, then written in one transaction. A submission that
is refused (conflict, duplicate, bad body) leaves nothing in the plan, so none of a batch depends on the luck of others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from decisioning.errors import BrainError, Conflict, Unavailable
from features.ledger.database import Database
from features.ledger.plan import Known, Plan, duplicate_of
from features.ledger.records import Prepared

_T = TypeVar("_T")
MAX_SUBMISSIONS = 64
MAX_ENTRIES = 256
"""A batch stops growing here: about 10 ms, which is what a decision may have to wait behind an import."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Entries that are appended together or not at all, if the streams of `guards` are still at those versions."""

    entries: Sequence[Prepared]
    guards: Mapping[str, int]
    skip_known: bool = False
    future: "Future[tuple[int, ...]]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Job(Generic[_T]):
    """Any other write, in a transaction of its own."""

    work: Callable[[Connection], _T]
    future: "Future[_T]" = field(default_factory=Future)


_Item = Submission | Job[Any]
_Result = tuple[int, ...] | BrainError


class Writer:
    """Owns the write connection; everything it is given is answered, in order, also at the end."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database, self._clock = database, clock
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._closing, self._closed = Lock(), False
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> "Future[tuple[int, ...]]":
        """The versions of its entries, once committed."""
        self._put(submission)
        return submission.future

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` returns, once committed."""
        job = Job(work)
        self._put(job)
        return job.future.result()

    def close(self) -> None:
        """Write what was submitted, then stop."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Item) -> None:
        with self._closing:
            if self._closed or not self._thread.is_alive():
                raise Unavailable("the ledger is closed")
            self._queue.put(item)

    def _run(self) -> None:
        """A bug that escapes ends the thread, with everything still waiting answered: nothing is written half."""
        try:
            while (item := self._queue.get()) is not None:
                for following in self._take(item):
                    self._answer(following)
        finally:
            with self._closing:
                self._closed = True
            _fail(self._drain())

    def _take(self, first: _Item) -> Iterable[Job[Any] | list[Submission]]:
        """What is waiting, as batches and jobs in order; stops at the end mark, which goes back."""
        batch: list[Submission] = []
        item: _Item | None = first
        while item is not None:
            if isinstance(item, Job):
                if batch:
                    yield batch
                yield item
                return
            batch.append(item)
            if len(batch) >= MAX_SUBMISSIONS or sum(len(s.entries) for s in batch) >= MAX_ENTRIES:
                break
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                self._queue.put(None)
        yield batch

    def _drain(self) -> Iterable[_Item]:
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if item is not None:
                yield item

    def _answer(self, waiting: Job[Any] | list[Submission]) -> None:
        items: Sequence[_Item] = [waiting] if isinstance(waiting, Job) else waiting
        try:
            results = self._perform(waiting)
        except BrainError as error:
            results = [error] * len(items)
        except BaseException:
            _fail(items)
            raise
        for item, result in zip(items, results, strict=True):
            _settle(item.future, result)

    def _perform(self, waiting: Job[Any] | list[Submission]) -> Sequence[Any]:
        return [self._database.transact(waiting.work)] if isinstance(waiting, Job) else self._write(waiting)

    def _write(self, batch: Sequence[Submission]) -> Sequence[_Result]:
        """Keys are new almost always, so they are looked up only if the first attempt says otherwise."""
        doubt: list[tuple[Plan, Sequence[_Result]]] = []

        def write(connection: Connection) -> Sequence[_Result]:
            if doubt and doubt[0][0].landed(connection):
                return doubt[0][1]  # the commit went through, only its answer was lost
            look_up = bool(doubt) or any(s.skip_known for s in batch)
            plan, added = self._plan(connection, batch, look_up=look_up)
            if not look_up and any(isinstance(result, Conflict) for result in added):
                plan, added = self._plan(connection, batch, look_up=True)
            doubt[:] = [(plan, ())]
            plan.write(connection)
            results = [duplicate_of(connection, r) if isinstance(r, Known) else r for r in added]
            doubt[:] = [(plan, results)]
            return results

        return self._database.transact(write)

    def _plan(
        self, connection: Connection, batch: Sequence[Submission], *, look_up: bool
    ) -> tuple[Plan, Sequence[_Result | Known]]:
        plan = Plan(connection, [(s.entries, s.guards) for s in batch], self._clock(), look_up=look_up)
        return plan, [_add(plan, submission) for submission in batch]


def _add(plan: Plan, submission: Submission) -> _Result | Known:
    try:
        return plan.add(submission.entries, submission.guards, skip_known=submission.skip_known)
    except BrainError as error:
        return error


def _settle(future: "Future[Any]", result: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, BrainError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _fail(items: Iterable[_Item]) -> None:
    for item in items:
        _settle(item.future, Unavailable("the ledger's writer has stopped"))
