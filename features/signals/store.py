"""Signals of a process: recorded in SQL, copied to the online store, and read as features.

The truth is in SQL. The online store's copy is what decisions read, because it comes with the profile in one round
trip; a copy that is lost or behind is told by its version and made good from SQL, whatever the store did.
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
from decisioning.times import HOUR_US
from features.ledger import Ledger
from features.profile.store import SignalState, Store
from features.signals.event import Event
from features.signals.log import (
    Added,
    Attempt,
    Recorded,
    SignalRules,
    erased_since,
    purge_some,
    renew,
    states_of,
    whole,
)
from features.signals.state import State, decode, facts, merge, missing

MAX_EVENTS: Final = 256
"""Of one transaction: about 10 ms, which is what a decision may have to wait behind a large array."""
_PURGE_PAUSE_S: Final = 0.001

Beside = Callable[[Connection, Sequence[Recorded]], None]
"""What else belongs to the transaction that keeps events; told what became of them. May run again."""
States = Mapping[str, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Seen:
    """Signal features of a subject, the version of each stream they were computed at, and if the store was not there.

    `versions`: in the order of the streams; 0 for one without signals. With `degraded`, facts are as good as ever.
    """

    facts: dict[str, Value]
    versions: tuple[int, ...]
    degraded: bool = False


class Signals:
    """The signals of one workspace under one release; safe to use from any thread.

    :param copies: what brings states to the store, shared by all releases of a process
    """

    def __init__(self, ledger: Ledger, store: Store, release: Release, copies: "Copies | None" = None) -> None:
        self._ledger, self._store = ledger, store
        self.terms = SignalRules(release)
        self.copies = copies or Copies(store)
        self._arrivals = Arrivals(ledger, self.terms)
        self._renewing: set[str] = set()

    def for_release(self, release: Release) -> "Signals":
        """The same signals under another release."""
        return Signals(self._ledger, self._store, release, self.copies)

    def close(self) -> None:
        """Copy what was recorded; before the ledger is closed."""
        self.copies.close()

    def record(self, events: Sequence[Event], beside: Beside | None = None) -> list[Recorded]:
        """What became of each, once all are durable and seen by every later read; raises Unavailable."""
        return self.submit(events, beside).result()

    def submit(self, events: Sequence[Event], beside: Beside | None = None) -> "Future[list[Recorded]]":
        """`record` without waiting. A long array is recorded in several transactions, each with its own `beside`."""
        call = _PendingCall(len(events))
        for at in range(0, len(events), MAX_EVENTS):
            part = self._arrivals.put(events[at : at + MAX_EVENTS], beside)
            part.add_done_callback(partial(self._committed, call, at))
        return call.future

    def _committed(self, call: "_PendingCall", at: int, part: "Future[Added]") -> None:
        error = part.exception()
        if error is not None:
            call.fail(error)
            return
        added = part.result()
        self.copies.put(added.states, partial(call.done, at, added.results))

    def read(self, streams: Sequence[str], at_us: int, *, keep: bool = True) -> Seen:
        """`seen` by reading it all: for callers that read neither ledger nor store themselves; raises Unavailable."""
        _, versions = self._ledger.read_with_signals(*streams)
        try:
            stored: Sequence[SignalState | None] | None = self._store.read_signals(streams)
        except Unavailable:
            stored = None
        return self.seen(streams, versions, stored, at_us, keep=keep)

    def seen(
        self,
        streams: Sequence[str],
        versions: Sequence[int],
        stored: Sequence[SignalState | None] | None,
        at_us: int,
        *,
        keep: bool = True,
    ) -> Seen:
        """The features that the signals of all these streams together come to.

        :param streams: of one subject, such as a person and the visitors linked to them, each once
        :param versions: of each stream, as `Ledger.read_with_signals` told
        :param stored: of each stream, as the store has it; None where the store could not be read
        :param keep: whether what has to be made good is kept; not for a preview under another release
        :raises Unavailable: a copy is behind, and SQL cannot be reached
        """
        found = self._found(streams, versions, stored or [None] * len(streams), keep=keep)
        definitions = self.terms.definitions
        state = State.empty(definitions)
        for stream, (version, body) in found.items():
            one = decode(body)
            if missing(one, definitions):
                one = whole(one, stream, version, self.terms, self._ledger.select)
                if keep:
                    self._renew(stream, version)
            state = merge(state, one, definitions) if len(found) > 1 else one
        told = facts(state, definitions, at_us)
        return Seen(told, tuple(found[s].version if s in found else 0 for s in streams), stored is None)

    def _found(
        self, streams: Sequence[str], versions: Sequence[int], stored: Sequence[SignalState | None], *, keep: bool
    ) -> dict[str, SignalState]:
        """From the store what is at least at SQL's version, the rest from SQL."""
        found = {s: copy for s, copy, version in zip(streams, stored, versions, strict=True) if copy and version >= 0}
        behind = [s for s, version in zip(streams, versions, strict=True) if version > _version(found.get(s))]
        if behind:
            kept = states_of(self._ledger.select, behind)
            good = {s: SignalState(k.version, k.body) for s, k in kept.items() if k.body is not None}
            for stream in behind:
                found.pop(stream, None)
            found.update(good)
            if keep and good:
                self.copies.put({s: (state.version, state.body) for s, state in good.items()})
        return found

    def _renew(self, stream: str, version: int) -> None:
        """Keep a state that a release made stale, so that the next read need not make it again."""
        if stream in self._renewing:
            return
        self._renewing.add(stream)
        job = self._ledger.transact(lambda c: renew(c, stream, version, self.terms))
        job.add_done_callback(partial(self._renewed, stream))

    def _renewed(self, stream: str, job: "Future[tuple[int, bytes] | None]") -> None:
        self._renewing.discard(stream)
        if job.exception() is None and (state := job.result()) is not None:
            self.copies.put({stream: state})

    def purge(self, at_us: int) -> int:
        """Delete the events whose retention is over, and copies that came to the store after an erasure; how many.

        Aggregates stay. To be called now and then, from a thread of its own; raises Unavailable.
        """
        purged = 0
        while some := self._ledger.transact(partial(purge_some, now_us=at_us)).result():
            purged += some
            time.sleep(_PURGE_PAUSE_S)  # so that appends are not kept waiting
        erased = erased_since(self._ledger.select, at_us - HOUR_US)
        left = [s for s, copy in zip(erased, self._store.read_signals(erased), strict=True) if copy]
        if left:
            self._store.online.forget([self._store.signals], left)
        return purged


def _version(state: SignalState | None) -> int:
    return state.version if state else 0


class _PendingCall:
    """One call's results, gathered from its transactions."""

    def __init__(self, size: int) -> None:
        self.future: Future[list[Recorded]] = Future()
        self._results: list[Recorded | None] = [None] * size
        self._left = size
        self._lock = Lock()
        if not size:
            self.future.set_result([])

    def done(self, at: int, results: Sequence[Recorded]) -> None:
        with self._lock:
            self._results[at : at + len(results)] = results
            self._left -= len(results)
            finished = not self._left and not self.future.done()
        if finished:
            self.future.set_result([r for r in self._results if r is not None])

    def fail(self, error: BaseException) -> None:
        with self._lock:
            first = not self.future.done()
        if first:
            self.future.set_exception(error)


class _Arrival(NamedTuple):
    events: Sequence[Event]
    beside: Beside | None
    future: "Future[Added]"


class Arrivals:
    """Events that wait for the writer thread: those of the same moment share a transaction."""

    def __init__(self, ledger: Ledger, terms: SignalRules) -> None:
        self._ledger, self._terms = ledger, terms
        self._waiting: list[_Arrival] = []
        self._lock = Lock()

    def put(self, events: Sequence[Event], beside: Beside | None) -> "Future[Added]":
        """What became of these events; with those that came first in their transaction, all states that it moved."""
        arrival = _Arrival(events, beside, Future())
        with self._lock:
            self._waiting.append(arrival)
            first = len(self._waiting) == 1
        if first:
            self._begin()
        return arrival.future

    def _begin(self) -> None:
        batch = _Batch(self._take, self._terms)
        try:
            self._ledger.transact(batch.work).add_done_callback(batch.answer)
        except Unavailable as error:
            batch.refuse(error)

    def _take(self) -> list[_Arrival]:
        """What is waiting, up to a size; the rest gets a transaction of its own."""
        with self._lock:
            size = n = 0
            for arrival in self._waiting:
                if n and size + len(arrival.events) > MAX_EVENTS:
                    break
                n, size = n + 1, size + len(arrival.events)
            taken, self._waiting = self._waiting[:n], self._waiting[n:]
            more = bool(self._waiting)
        if more:
            self._begin()
        return taken


class _Batch:
    """One transaction of arrivals, taken when its turn comes; when it has to run again, of the same."""

    def __init__(self, take: Callable[[], list[_Arrival]], terms: SignalRules) -> None:
        self._take, self._terms = take, terms
        self._arrivals: list[_Arrival] | None = None

    @cached_property
    def _attempt(self) -> Attempt:
        self._arrivals = self._take()
        return Attempt([event for arrival in self._arrivals for event in arrival.events], self._terms)

    def work(self, connection: Connection) -> list[Added]:
        """The first part tells of the states that moved; who comes after it in the line of copies waits for them."""
        added = self._attempt(connection)
        results = iter(added.results)
        parts: list[Added] = []
        for arrival in self._arrivals or ():
            part = Added([next(results) for _ in arrival.events], {} if parts else added.states)
            if arrival.beside is not None:
                arrival.beside(connection, part.results)
            parts.append(part)
        return parts

    def answer(self, job: "Future[list[Added]]") -> None:
        error = job.exception()
        if error is not None:
            self.refuse(error)
            return
        for arrival, part in zip(self._arrivals or (), job.result(), strict=True):
            arrival.future.set_result(part)

    def refuse(self, error: BaseException) -> None:
        """Nothing was written."""
        for arrival in self._take() if self._arrivals is None else self._arrivals:
            arrival.future.set_exception(error)


class Copies:
    """One thread that brings states to the online store, those that wait together at once, the newest of each stream.

    Who waits is told also when the store could not be reached: reads see by the version that they need SQL.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: SimpleQueue[tuple[States, Callable[[], None]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._lock = Lock()
        self._closed = False
        self.failed = 0

    def put(self, states: States, done: Callable[[], None] = lambda: None) -> None:
        """Calls `done` once at least these versions can be read."""
        with self._lock:
            open_ = not self._closed
            if open_ and self._thread is None:
                self._thread = Thread(target=self._run, name="signal-copies", daemon=True)
                self._thread.start()
            if open_:
                self._queue.put((states, done))
        if not open_:
            done()

    def close(self) -> None:
        """Copy what is waiting, then stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
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
        for _, done in waiting:
            done()
