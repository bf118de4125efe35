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
from features.ledger.plan import AppendPlan, ExistingKey, duplicate_of
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

    def start(self, work: Callable[[Connection], _T]) -> "Future[_T]":
        """What `work` returns, once committed."""
        job = Job(work)
        self._put(job)
        return job.future

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """The same, waited for."""
        return self.start(work).result()

    def close(self) -> None:
        """Write what was submitted, then stop."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Item) -> None:
        with self._closing:
            if self._closed:
                raise Unavailable("the ledger is closed")
            self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            for following in self._take(item):
                self._answer(following)

    def _take(self, first: _Item) -> Iterable[Sequence[_Item]]:
        """What is waiting, in order, as batches of submissions and single jobs."""
        batch: list[Submission] = []
        entries, item = 0, first
        while isinstance(item, Submission):
            batch.append(item)
            entries += len(item.entries)
            following = self._next() if len(batch) < MAX_SUBMISSIONS and entries < MAX_ENTRIES else None
            if following is None:
                break
            item = following
        if batch:
            yield batch
        if isinstance(item, Job):
            yield [item]

    def _next(self) -> _Item | None:
        """What comes next if it is there already; the end mark goes back, to be met when all is answered."""
        try:
            item = self._queue.get_nowait()
        except Empty:
            return None
        if item is None:
            self._queue.put(None)
        return item

    def _answer(self, waiting: Sequence[_Item]) -> None:
        """What was cancelled before its turn is not written."""
        items = [item for item in waiting if item.future.set_running_or_notify_cancel()]
        results: Sequence[Any]
        try:
            results = self._perform(items)
        except BaseException as error:  # noqa: BLE001 (rolled back; a bug is raised to its submitter, not to everyone)
            results = [error] * len(items)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, BaseException):
                item.future.set_exception(result)
            else:
                item.future.set_result(result)

    def _perform(self, items: Sequence[_Item]) -> Sequence[Any]:
        """A job comes alone."""
        if items and isinstance(items[0], Job):
            return [self._database.transact(items[0].work)]
        batch = [item for item in items if isinstance(item, Submission)]
        return self._write(batch) if batch else []

    def _write(self, batch: Sequence[Submission]) -> Sequence[_Result]:
        """Keys are new almost always, so they are looked up only if the first attempt says otherwise."""
        doubt: list[tuple[AppendPlan, Sequence[_Result]]] = []

        def write(connection: Connection) -> Sequence[_Result]:
            if doubt and doubt[0][0].landed(connection):
                return doubt[0][1]  # the commit went through, only its answer was lost
            look_up = bool(doubt) or any(s.skip_known for s in batch)
            plan, added = self._plan(connection, batch, look_up=look_up)
            if not look_up and any(isinstance(result, Conflict) for result in added):
                plan, added = self._plan(connection, batch, look_up=True)
            doubt[:] = [(plan, ())]
            plan.write(connection)
            results = [duplicate_of(connection, r) if isinstance(r, ExistingKey) else r for r in added]
            doubt[:] = [(plan, results)]
            return results

        return self._database.transact(write)

    def _plan(
        self, connection: Connection, batch: Sequence[Submission], *, look_up: bool
    ) -> tuple[AppendPlan, Sequence[_Result | ExistingKey]]:
        plan = AppendPlan(connection, [(s.entries, s.guards) for s in batch], self._clock(), look_up=look_up)
        return plan, [_add(plan, submission) for submission in batch]


def _add(plan: AppendPlan, submission: Submission) -> _Result | ExistingKey:
    try:
        return plan.add(submission.entries, submission.guards, skip_known=submission.skip_known)
    except BrainError as error:
        return error
