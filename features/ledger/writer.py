"""The one writer thread of a process, which commits several submissions together.

A batch is planned in memory over the locked heads of its streams, then written in one transaction. A refused submission
(conflict, duplicate, invalid body) leaves nothing in the plan, so that no submission depends on others of its batch.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from decisioning.errors import BrainError, Conflict, TooLate, Unavailable
from features.deadlines import answering_within, until_s
from features.ledger.database import Database
from features.ledger.past.rules_book import RulesBook
from features.ledger.plan import RECORD, AppendPlan, ExistingKey
from features.ledger.records import Bodies, Duplicate, PreparedEntry, record_of
from features.threads import watched

_T = TypeVar("_T")
_ANSWER_S = 10.0
"""How long a statement of a write may take: longer than any of ours does, so that a lost connection is noticed."""
MAX_SUBMISSIONS = 64
MAX_ENTRIES = 256
"""The limits of a batch: about 10 ms, the longest that an import may delay a decision."""
Result = tuple[int, ...] | BrainError
"""The versions of the entries of one append, or why nothing of it was written."""


@dataclass(frozen=True, slots=True)
class Append:
    """Entries to append together or not at all, provided that the streams of `guards` are still at those versions."""

    entries: Sequence[PreparedEntry]
    guards: Mapping[str, int]
    skip_known: bool = False


@dataclass(frozen=True, slots=True)
class Submission(Append):
    """An append by itself. `waiter`: a future of an event loop, which is set with `future`."""

    waiter: "asyncio.Future[tuple[int, ...]] | None" = None
    future: "Future[tuple[int, ...]]" = field(default_factory=Future)

    def take_back_at(self, until_s: float) -> None:
        """Write nothing and raise TooLate to the waiter if writing has not begun by then, by `time.monotonic()`."""
        if self.waiter is not None and until_s < math.inf:
            timer = self.waiter.get_loop().call_at(until_s, self._take_back)
            self.waiter.add_done_callback(lambda _: timer.cancel())

    def _take_back(self) -> None:
        if self.waiter is not None and not self.waiter.done() and self.future.cancel():
            self.waiter.set_exception(TooLate())


@dataclass(frozen=True, slots=True)
class AppendBlock:
    """Appends that are written in one transaction, although each stands by itself."""

    appends: Sequence[Append]
    future: "Future[Sequence[Result]]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Job(Generic[_T]):
    """Any other write; it has a transaction of its own.

    `hot`: `work` runs its statements by `features.ledger.driver`, so SQLAlchemy need take no part in the transaction.
    """

    work: Callable[[Connection], _T]
    hot: bool = False
    future: "Future[_T]" = field(default_factory=Future)


_Item = Submission | AppendBlock | Job[Any]


class Writer:
    """The thread that owns the write connection. It answers everything submitted, in order, also while closing."""

    def __init__(self, database: Database, clock: Callable[[], int], rules: RulesBook, bodies: Bodies) -> None:
        self._database, self._clock, self._rules, self._bodies = database, clock, rules, bodies
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._closing, self._closed = Lock(), False
        self._in_hand: Sequence[_Item] = ()
        self._thread = watched("ledger-writer", self._run)

    def submit(self, submission: Submission) -> "Future[tuple[int, ...]]":
        """Return a future of the versions of the entries, which is set once they are committed.

        If the caller waits until some moment (`features.deadlines`) and writing has not begun by then, nothing is
        written, and the waiter gets TooLate.
        """
        self._put(submission)
        submission.take_back_at(until_s())
        return submission.future

    def submit_block(self, appends: Sequence[Append]) -> "Future[Sequence[Result]]":
        """Return a future of what became of each append, which is set once the block is committed."""
        block = AppendBlock(appends)
        self._put(block)
        return block.future

    def start(self, work: Callable[[Connection], _T], *, hot: bool = False) -> "Future[_T]":
        """Return a future of what `work` returns, which is set once that is committed."""
        job = Job(work, hot)
        self._put(job)
        return job.future

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` as `start` does, and return its result once committed."""
        return self.start(work).result()

    def close(self) -> None:
        """Write what was submitted, then stop the thread."""
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
        self._refuse(self._in_hand)
        with answering_within(_ANSWER_S):
            while (item := self._queue.get()) is not None:
                self._in_hand = (item,)
                for following in self._batches(item):
                    self._in_hand = following
                    self._answer(following)
                self._in_hand = ()

    def _refuse(self, items: Sequence[_Item]) -> None:
        """Answer what was in hand when this thread had ended by an error, so that nobody waits for ever."""
        for item in items:
            if not item.future.done():
                item.future.set_exception(Unavailable("the ledger's writer failed; it may have been written"))
        _wake([item for item in items if isinstance(item, Submission) and item.waiter is not None])

    def _batches(self, first: _Item) -> Iterable[Sequence[_Item]]:
        """Yield what is waiting, in order, as batches of submissions and single blocks and jobs."""
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
        if not isinstance(item, Submission):
            yield [item]

    def _next(self) -> _Item | None:
        """Return the next item, or None if none is waiting. The mark of the end is put back, to end `_run` later."""
        try:
            item = self._queue.get_nowait()
        except Empty:
            return None
        if item is None:
            self._queue.put(None)
        return item

    def _answer(self, waiting: Sequence[_Item]) -> None:
        """Perform the items that were not cancelled, and set their futures."""
        items = [item for item in waiting if item.future.set_running_or_notify_cancel()]
        results: Sequence[Any]
        try:
            results = self._perform(items)
        except BaseException as error:  # noqa: BLE001 (rolled back, and raised to the submitters only)
            results = [error] * len(items)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, BaseException):
                item.future.set_exception(result)
            else:
                item.future.set_result(result)
        _wake([item for item in items if isinstance(item, Submission) and item.waiter is not None])

    def _perform(self, items: Sequence[_Item]) -> Sequence[Any]:
        """Run the only item if it is a job, write it if it is a block, else write the batch of submissions."""
        if items and isinstance(items[0], AppendBlock):
            return [self._write(items[0].appends)]
        if items and isinstance(items[0], Job):
            transact = self._database.transact_hot if items[0].hot else self._database.transact
            return [transact(items[0].work)]
        batch = [item for item in items if isinstance(item, Submission)]
        return self._write(batch) if batch else []

    def _write(self, batch: Sequence[Append]) -> Sequence[Result]:
        """Write a batch. Keys are almost always new, so they are looked up only after an attempt without has failed."""
        self._number_kinds(batch)
        unconfirmed: list[tuple[AppendPlan, Sequence[Result | ExistingKey]]] = []

        def write(connection: Connection) -> Sequence[Result | ExistingKey]:
            if unconfirmed and unconfirmed[0][0].was_committed(connection):
                return unconfirmed[0][1]  # it was committed, only the confirmation was lost
            look_up = bool(unconfirmed) or any(s.skip_known for s in batch)
            plan, added = self._plan(connection, batch, look_up=look_up)
            if not look_up and any(isinstance(result, Conflict) for result in added):
                plan, added = self._plan(connection, batch, look_up=True)
            unconfirmed[:] = [(plan, added)]
            plan.write(connection)
            return added

        written = self._database.transact_hot(write)
        return [self._duplicate_of(result) if isinstance(result, ExistingKey) else result for result in written]

    def _duplicate_of(self, existing: ExistingKey) -> BrainError:
        """Return the error of a submission whose key exists; its record may have been part of the same transaction."""
        try:
            return Duplicate(record_of(self._database.fetch(RECORD, existing._asdict())[0], self._bodies))
        except Unavailable as error:
            return error

    def _number_kinds(self, batch: Sequence[Append]) -> None:
        """Number the kinds of contacts that are new, in a transaction of their own, before anything uses them."""
        kinds = self._rules.kinds
        changes = (p.changes for submission in batch for p in submission.entries if p.changes)
        unknown = kinds.unknown(contact for change in changes for contact in change.contacts)
        if unknown:
            self._database.transact(lambda connection: kinds.add(connection, unknown))
            kinds.learn()

    def _plan(
        self, connection: Connection, batch: Sequence[Append], *, look_up: bool
    ) -> tuple[AppendPlan, Sequence[Result | ExistingKey]]:
        submissions = [(s.entries, s.guards) for s in batch]
        plan = AppendPlan(connection, submissions, self._clock(), self._rules, look_up=look_up)
        return plan, [_add(plan, submission) for submission in batch]


def _wake(submissions: Sequence[Submission]) -> None:
    """Set the waiters, with one call per event loop: each call is a switch of threads."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Submission]] = {}
    for submission in submissions:
        if submission.waiter is not None:
            by_loop.setdefault(submission.waiter.get_loop(), []).append(submission)
    for loop, waiting in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(_set_waiters, waiting)


def _set_waiters(submissions: Sequence[Submission]) -> None:
    for submission in submissions:
        waiter, error = submission.waiter, submission.future.exception()
        if waiter is None or waiter.done():
            continue
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(submission.future.result())


def _add(plan: AppendPlan, submission: Append) -> Result | ExistingKey:
    try:
        return plan.add(submission.entries, submission.guards, skip_known=submission.skip_known)
    except BrainError as error:
        return error


def results_of(n: int, block: "Future[Sequence[Result]]") -> Sequence[Result]:
    """Wait for a block of `n` appends; if the block could not be committed, none of them was."""
    try:
        return block.result()
    except BrainError as error:
        return [error] * n
