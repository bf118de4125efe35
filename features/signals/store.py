"""Signals of a process: recorded in SQL, copied to the online store, and read as features.

SQL holds the authoritative states. Decisions read the online store's copy, which comes with the profile in one round
trip. The version of a copy shows if it is missing or out of date; then the state is read from SQL and copied again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, NamedTuple

from sqlalchemy import Connection

from decisioning.catalogue.release import Release
from decisioning.errors import Unavailable
from decisioning.facts.schema import Value
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import HOUR_US
from features.ledger import Ledger
from features.profile.store import SignalState, Store
from features.signals.event import Event
from features.signals.log import (
    AddEvents,
    AddResult,
    EventResult,
    renew_state,
    states_of,
    usable,
)
from features.signals.purging import erased_since, purge_some
from features.signals.rules import SignalRules
from features.signals.state import State, decode, facts, merge
from features.threads import watched

MAX_EVENTS: Final = 256
"""Of one transaction: about 10 ms, the longest that a large array may delay a decision."""
_PURGE_PAUSE_S: Final = 0.001

TransactionHook = Callable[[Connection, Sequence[EventResult]], None]
"""Further writes, by `features.ledger.driver`, of the transaction that stores events, given the results of the events.

It may run several times."""
States = Mapping[str, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """Signal features of a subject, and what they were computed from.

    `versions`: of each stream's state, in the order of the streams; 0 for a stream without signals. `degraded`: the
    store could not be read; the facts are from SQL, and complete.
    """

    facts: dict[str, Value]
    versions: tuple[int, ...]
    degraded: bool = False


class Signals:
    """The signals of one workspace under one release; safe to use from any thread.

    :param copier: copies states to the store; shared by all releases of a process
    """

    def __init__(self, ledger: Ledger, store: Store, release: Release, copier: "StateCopier | None" = None) -> None:
        self._ledger, self._store = ledger, store
        self.rules = SignalRules(release)
        self.copier = copier or StateCopier(store)
        self._queue = EventQueue(ledger, self.rules)
        self._renewing: set[str] = set()

    def close(self) -> None:
        """Copy what was recorded, then stop. Call it before the ledger is closed."""
        self.copier.close()

    def record(self, events: Sequence[Event], hook: TransactionHook | None = None) -> list[EventResult]:
        """Return the result of each event once all are durable and visible to every later read. Raises Unavailable."""
        return self.submit(events, hook).result()

    def submit(self, events: Sequence[Event], hook: TransactionHook | None = None) -> "Future[list[EventResult]]":
        """Record without waiting. A long array takes several transactions, and `hook` runs in each of them."""
        call = _PendingCall(len(events))
        for at in range(0, len(events), MAX_EVENTS):
            part = self._queue.put(events[at : at + MAX_EVENTS], hook)
            part.add_done_callback(partial(self._committed, call, at))
        return call.future

    def _committed(self, call: "_PendingCall", at: int, part: "Future[AddResult]") -> None:
        error = part.exception()
        if error is not None:
            call.fail(error)
            return
        added = part.result()
        self.copier.put(added.states, partial(call.add, at, added.results))

    def read(self, streams: Sequence[str], at_us: int, *, keep: bool = True) -> SignalFacts:
        """Return `evaluate` of what ledger and store hold now. Raises Unavailable."""
        _, versions = self._ledger.read_with_signals(*streams, rules=NO_PAST)
        try:
            stored: Sequence[SignalState | None] | None = self._store.read_signals(streams)
        except Unavailable:
            stored = None
        return self.evaluate(streams, versions, stored, at_us, keep=keep)

    def evaluate(
        self,
        streams: Sequence[str],
        versions: Sequence[int],
        stored: Sequence[SignalState | None] | None,
        at_us: int,
        *,
        keep: bool = True,
    ) -> SignalFacts:
        """Return the features of the signals of all these streams together.

        :param streams: of one subject, such as a person and the linked visitors, each once
        :param versions: of each stream, from `Ledger.read_with_signals`
        :param stored: of each stream, the store's copy; None if the store could not be read
        :param keep: save what had to be repaired; False for a preview under another release
        :raises Unavailable: a copy is out of date, and SQL cannot be reached
        """
        states = self._states(streams, versions, stored or [None] * len(streams), keep=keep)
        definitions, now_us = self.rules.definitions, self._ledger.clock()
        state = State.empty(definitions)
        for stream, (version, body) in states.items():
            kept = decode(body)
            one = usable(kept, stream, version, self.rules, self._ledger.select_hot, now_us)
            if one is not kept and keep:
                self._renew(stream, version)
            state = merge(state, one, definitions) if len(states) > 1 else one
        computed_at = tuple(states[s].version if s in states else 0 for s in streams)
        return SignalFacts(facts(state, definitions, at_us), computed_at, stored is None)

    def _states(
        self, streams: Sequence[str], versions: Sequence[int], stored: Sequence[SignalState | None], *, keep: bool
    ) -> dict[str, SignalState]:
        """Return each stream's state: the store's copy if it is at least at SQL's version, else the one in SQL."""
        states = {s: copy for s, copy, version in zip(streams, stored, versions, strict=True) if copy and version >= 0}
        outdated = [s for s, version in zip(streams, versions, strict=True) if version > _version(states.get(s))]
        if outdated:
            rows = states_of(self._ledger.select_hot, outdated)
            current = {s: SignalState(row.version, row.body) for s, row in rows.items() if row.body is not None}
            for stream in outdated:
                states.pop(stream, None)
            states.update(current)
            if keep and current:
                self.copier.put({s: (state.version, state.body) for s, state in current.items()})
        return states

    def _renew(self, stream: str, version: int) -> None:
        """Save a state that a release or a clock made unusable, so that the next read need not make it again."""
        if stream in self._renewing:
            return
        self._renewing.add(stream)
        job = self._ledger.transact(lambda c: renew_state(c, stream, version, self.rules, self._ledger.clock()))
        job.add_done_callback(partial(self._renewed, stream))

    def _renewed(self, stream: str, job: "Future[tuple[int, bytes] | None]") -> None:
        self._renewing.discard(stream)
        if job.exception() is None and (state := job.result()) is not None:
            self.copier.put({stream: state})

    def purge(self, at_us: int) -> int:
        """Delete events whose retention is over, and return how many. States stay.

        Also deletes copies that reached the store after an erasure. Call it now and then, from a thread of its own.
        Raises Unavailable.
        """
        purged = 0
        while deleted := self._ledger.transact(partial(purge_some, now_us=at_us)).result():
            purged += deleted
            time.sleep(_PURGE_PAUSE_S)  # so that appends are not kept waiting
        erased = erased_since(self._ledger.select, at_us - HOUR_US)
        leftover = [s for s, copy in zip(erased, self._store.read_signals(erased), strict=True) if copy]
        if leftover:
            self._store.online.forget([self._store.signals], leftover)
        return purged


def _version(state: SignalState | None) -> int:
    return state.version if state else 0


class _PendingCall:
    """The results of one call, collected from its transactions."""

    def __init__(self, size: int) -> None:
        self.future: Future[list[EventResult]] = Future()
        self._results: list[EventResult | None] = [None] * size
        self._remaining = size
        self._lock = Lock()
        if not size:
            self.future.set_result([])

    def add(self, at: int, results: Sequence[EventResult]) -> None:
        with self._lock:
            self._results[at : at + len(results)] = results
            self._remaining -= len(results)
            finished = not self._remaining and not self.future.done()
        if finished:
            self.future.set_result([r for r in self._results if r is not None])

    def fail(self, error: BaseException) -> None:
        with self._lock:
            first = not self.future.done()
        if first:
            self.future.set_exception(error)


class _Arrival(NamedTuple):
    events: Sequence[Event]
    hook: TransactionHook | None
    future: "Future[AddResult]"


class EventQueue:
    """Events that wait for the writer thread; those that wait together share a transaction."""

    def __init__(self, ledger: Ledger, rules: SignalRules) -> None:
        self._ledger, self._rules = ledger, rules
        self._waiting: list[_Arrival] = []
        self._lock = Lock()

    def put(self, events: Sequence[Event], hook: TransactionHook | None) -> "Future[AddResult]":
        """Return a future of the results; the first arrival of a transaction also gets all states that it changed."""
        arrival = _Arrival(events, hook, Future())
        with self._lock:
            self._waiting.append(arrival)
            first = len(self._waiting) == 1
        if first:
            self._begin()
        return arrival.future

    def _begin(self) -> None:
        batch = _Batch(self._take, self._rules)
        try:
            self._ledger.transact(batch.work, hot=True).add_done_callback(batch.answer)
        except Unavailable as error:
            batch.refuse(error)

    def _take(self) -> list[_Arrival]:
        """Remove and return the waiting arrivals, up to a size; the others get another transaction."""
        with self._lock:
            size = n = 0
            for arrival in self._waiting:
                if n and size + len(arrival.events) > MAX_EVENTS:
                    break
                n, size = n + 1, size + len(arrival.events)
            arrivals, self._waiting = self._waiting[:n], self._waiting[n:]
            more = bool(self._waiting)
        if more:
            self._begin()
        return arrivals


class _Batch:
    """One transaction. It takes the arrivals when it first runs; if it runs again, it has the same ones."""

    def __init__(self, take: Callable[[], list[_Arrival]], rules: SignalRules) -> None:
        self._take, self._rules = take, rules
        self._arrivals: list[_Arrival] | None = None

    @cached_property
    def _attempt(self) -> AddEvents:
        self._arrivals = self._take()
        return AddEvents([event for arrival in self._arrivals for event in arrival.events], self._rules)

    def work(self, connection: Connection) -> list[AddResult]:
        """Return the result of each arrival. The first has all new states; later ones queue behind it to be copied."""
        added = self._attempt(connection)
        results = iter(added.results)
        parts: list[AddResult] = []
        for arrival in self._arrivals or ():
            part = AddResult([next(results) for _ in arrival.events], {} if parts else added.states)
            if arrival.hook is not None:
                arrival.hook(connection, part.results)
            parts.append(part)
        return parts

    def answer(self, job: "Future[list[AddResult]]") -> None:
        error = job.exception()
        if error is not None:
            self.refuse(error)
            return
        for arrival, part in zip(self._arrivals or (), job.result(), strict=True):
            arrival.future.set_result(part)

    def refuse(self, error: BaseException) -> None:
        """Fail every arrival: nothing was written."""
        for arrival in self._take() if self._arrivals is None else self._arrivals:
            arrival.future.set_exception(error)


class StateCopier:
    """A thread that copies states to the online store: those that wait together at once, of each stream the newest.

    Callers are notified also if the store could not be reached, because reads see from the version that they need SQL.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: SimpleQueue[tuple[States, Callable[[], None]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._lock = Lock()
        self._closed = False
        self.failed = 0

    def put(self, states: States, notify: Callable[[], None] = lambda: None) -> None:
        """Copy states, and call `notify` once these versions or newer ones can be read."""
        with self._lock:
            is_open = not self._closed
            if is_open and self._thread is None:
                self._thread = watched("signal-copies", self._run)
            if is_open:
                self._queue.put((states, notify))
        if not is_open:
            notify()

    def close(self) -> None:
        """Copy what is waiting, then stop the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not (self._closed and self._queue.empty()) and (item := self._queue.get()) is not None:
            waiting = [item]
            try:
                while (following := self._queue.get_nowait()) is not None:
                    waiting.append(following)
            except Empty:
                self._copy(waiting)
                continue
            self._copy(waiting)
            return

    def _copy(self, waiting: Sequence[tuple[States, Callable[[], None]]]) -> None:
        newest: dict[str, tuple[int, bytes]] = {}
        for states, _ in waiting:
            for stream, state in states.items():
                if stream not in newest or state[0] >= newest[stream][0]:
                    newest[stream] = state
        try:
            if newest:
                self._store.write_signals(newest)
        except Unavailable:
            self.failed += len(newest)
        finally:
            for _, notify in waiting:
                notify()
