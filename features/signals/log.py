"""The log of signals and the states of streams, in the ledger's database; functions run within a transaction.

Every transaction that adds events to a stream increases the version of its state by one, with its row locked (SQLite:
the database). So concurrent writers come one after the other, and each event counts once.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from features.ledger import driver
from features.ledger.tables import EMPTIED, SIGNAL_STATES, SIGNALS
from features.signals.event import Event
from features.signals.placing import ended_stretches, placed
from features.signals.rules import SignalRules
from features.signals.state import (
    State,
    absorb,
    anchored,
    carry,
    decode,
    encode,
    lies_ahead,
    missing,
    rebuild,
    resume,
    without,
)

HotFetch = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""Returns the rows of a reading statement of the driver, such as `Ledger.select_hot` or, within a transaction,
`driver.fetch`."""
_PAGE: Final = 2000

_ADD = driver.insert_into(
    SIGNALS, "key", "stream", "version", "type", "occurred_us", "recorded_us", "expires_us", "body", "content"
)
_CORRECT = (
    f"UPDATE {SIGNALS.name} SET version = ?, type = ?, occurred_us = ?, recorded_us = ?, expires_us = ?,"  # noqa: S608 (names of our own)
    " body = ?, content = ? WHERE key = ?"
)
_BEGIN = driver.insert_into(SIGNAL_STATES, "version", "at_us", "body", "stream")
_MOVE = f"UPDATE {SIGNAL_STATES.name} SET version = ?, at_us = ?, body = ? WHERE stream = ?"  # noqa: S608 (names of our own)
_RENEW = f"UPDATE {SIGNAL_STATES.name} SET body = ? WHERE stream = ?"  # noqa: S608 (names of our own)
_AMONG_STATES = f"{SIGNAL_STATES.name} WHERE stream IN"
_EVENTS = (
    f"SELECT version, seq, key, type, occurred_us, recorded_us, body FROM {SIGNALS.name}"  # noqa: S608 (names of our own)
    f" WHERE stream = ? AND version <= ? AND type <> '{EMPTIED}' AND (version > ? OR (version = ? AND seq > ?))"
    f" ORDER BY version, seq LIMIT {_PAGE}"
)


@dataclass(frozen=True, slots=True)
class EventResult:
    """What happened to one event: `version` is that of the stream's first state that includes it.

    `corrected`: its key was stored with other content of the same subject, which it replaces. `elsewhere`: its key was
    stored for another subject. `erased`: the subject is erased. In the last two cases nothing is stored. `stream`: the
    one that it was stored on.
    """

    status: Literal["accepted", "duplicate", "corrected", "elsewhere", "erased"]
    version: int = 0
    stream: str = field(default="", compare=False)


class StoredState(NamedTuple):
    """The state of a stream as stored; without a body the subject is erased."""

    version: int
    body: bytes | None


NO_STATE: Final = StoredState(0, b"")


@dataclass(slots=True)
class AddResult:
    """The outcome of a transaction: the result of each event in order, and the new (version, state) by stream."""

    results: list[EventResult] = field(default_factory=list)
    states: dict[str, tuple[int, bytes]] = field(default_factory=dict)


class PredictedState(NamedTuple):
    """The state that follows `version` of a stream after `events` new events."""

    version: int
    events: int
    body: bytes


Row = tuple[Any, ...]
"""A row of the signals table, in the order of `_COLUMNS`."""


@lru_cache(maxsize=8)
def _heads_of(n: int) -> str:
    return f"SELECT stream, version, body FROM {_AMONG_STATES} ({driver.placeholders(n)}) ORDER BY stream"  # noqa: S608 (placeholders only)


@lru_cache(maxsize=8)
def _versions_of(n: int) -> str:
    version = "CASE WHEN body IS NULL THEN -1 ELSE version END"
    return f"SELECT stream, {version} FROM {_AMONG_STATES} ({driver.placeholders(n)}) ORDER BY stream"  # noqa: S608 (placeholders only)


@lru_cache(maxsize=8)
def _events_of_keys(n: int) -> str:
    columns = "key, stream, version, type, occurred_us, recorded_us, expires_us, body, content"
    return f"SELECT {columns} FROM {SIGNALS.name} WHERE key IN ({driver.placeholders(n)})"  # noqa: S608 (placeholders only)


def add_events(
    connection: Connection,
    events: Sequence[Event],
    rules: SignalRules,
    *,
    look_up: bool,
    predicted: Mapping[str, PredictedState] = MappingProxyType({}),
) -> AddResult:
    """Store the new ones among `events`, correct those that are stored with other content, and store the new states.

    What comes from a visitor goes to the stretch that takes what comes now, or to the one that has the event already.

    :param look_up: read which keys exist first; if False, a key that exists fails the transaction
    :param predicted: states made outside the transaction; used for each stream for which the prediction still holds
    :raises sqlalchemy.exc.IntegrityError: a key exists, or another process began a stream; run it again
    """
    events = _placed(connection, events, look_up=look_up)
    heads = _read_heads(connection, sorted({event.stream for event in events}))
    existing = _existing(connection, [event.key for event in events]) if look_up else {}
    sorted_out = _SortedOut(heads, existing)
    results = [sorted_out.add(event) for event in events]
    streams = sorted_out.streams
    if not streams:
        return AddResult(results)
    fetch = partial(driver.fetch, connection)
    states: dict[str, tuple[int, bytes]] = {}
    for stream in streams:
        head, prediction = heads.get(stream, NO_STATE), predicted.get(stream)
        new, corrections = sorted_out.new.get(stream, {}), sorted_out.corrections.get(stream, {})
        if corrections:
            _correct(connection, corrections, head.version + 1, rules)
            body = _corrected_body(stream, head, list(new.values()), sorted_out, rules, fetch)
        elif prediction is not None and prediction[:2] == (head.version, len(new)):
            body = prediction.body
        else:
            body = next_body(stream, head, list(new.values()), rules, fetch)
        states[stream] = head.version + 1, body
    _write(connection, sorted_out.new, heads, states, rules, events[0].recorded_us)
    return AddResult(results, states)


def _placed(connection: Connection, events: Sequence[Event], *, look_up: bool) -> Sequence[Event]:
    ended = ended_stretches(partial(driver.fetch, connection), events)
    stored = _existing(connection, [event.key for event in events]) if look_up and any(ended.values()) else {}
    return placed(events, ended, {key: before.stream for key, (_, before) in stored.items()})


class _SortedOut:
    """Events, told apart: `new` ones and `corrections` of stored ones, both by stream and key.

    `types`: by stream, the types of corrected events as they were and as they are. `since`: by stream, the version of
    the first state that included one of them.

    :param existing: the stored events among them, each with the version of the first state that includes it
    """

    def __init__(self, heads: Mapping[str, StoredState], existing: dict[str, tuple[int, Event]]) -> None:
        self._heads, self._existing, self._stored = heads, existing, frozenset(existing)
        self.new: dict[str, dict[str, Event]] = {}
        self.corrections: dict[str, dict[str, Event]] = {}
        self.types: dict[str, set[str]] = {}
        self.since: dict[str, int] = {}

    @property
    def streams(self) -> list[str]:
        """The streams that get another state."""
        return sorted({*self.new, *self.corrections} if self.corrections else self.new)

    def add(self, event: Event) -> EventResult:
        """Tell what happens to one more event."""
        key, stream = event.key, event.stream
        head = self._heads.get(stream, NO_STATE)
        if head.body is None:
            return EventResult("erased")
        version, before = self._existing.get(key, (0, None))
        if before is not None and before.stream != stream:
            return EventResult("elsewhere")
        if before is not None and event.repeats(before):
            return EventResult("duplicate", version, stream)
        holds = event if before is None else event.correcting(before)
        self._existing[key] = head.version + 1, holds
        (self.corrections if key in self._stored else self.new).setdefault(stream, {})[key] = holds
        if before is not None:
            self.types.setdefault(stream, set()).update((before.type, event.type))
            self.since[stream] = min(version, self.since.get(stream, version))
        return EventResult("accepted" if before is None else "corrected", head.version + 1, stream)


def _correct(connection: Connection, corrections: Mapping[str, Event], version: int, rules: SignalRules) -> None:
    rows = (row_of(corrections[key], version, rules) for key in sorted(corrections))
    driver.execute_many(connection, _CORRECT, [(*values, key) for key, _, *values in rows])


def _corrected_body(
    stream: str, head: StoredState, new: Sequence[Event], among: _SortedOut, rules: SignalRules, fetch: HotFetch
) -> bytes:
    """Return the encoded state after corrections that are stored already, and after new events.

    Trackers that events of these types feed are made anew, from the events that the log still has.
    """
    state = carry(decode(head.body) if head.body else State.empty(rules.definitions), rules.definitions, head.version)
    feeds = rules.definitions.feeds(state.at_us)
    changed = {feed.key for type_ in among.types[stream] for feed in feeds.get(type_, ())}
    state = without(state, changed, among.since[stream])
    state = absorb(state, new, rules.definitions, max((event.recorded_us for event in new), default=state.at_us))
    events = chain(events_of(fetch, stream), new)
    return encode(rebuild(state, events, rules.definitions, state.at_us))


class AddEvents:
    """`add_events` as the work of a transaction that may run several times.

    Keys are almost always new, so the first run does not look them up; later runs do.
    """

    def __init__(
        self,
        events: Sequence[Event],
        rules: SignalRules,
        predicted: Mapping[str, PredictedState] = MappingProxyType({}),
    ) -> None:
        self._events, self._rules, self._predicted = events, rules, predicted
        self._again = False

    def __call__(self, connection: Connection) -> AddResult:
        look_up, self._again = self._again, True
        return add_events(connection, self._events, self._rules, look_up=look_up, predicted=self._predicted)


def next_body(stream: str, head: StoredState, new: Sequence[Event], rules: SignalRules, fetch: HotFetch) -> bytes:
    """Return the encoded state after the new events. Its time is theirs: the time of writing changes nothing."""
    state = decode(head.body) if head.body else State.empty(rules.definitions)
    state = carry(with_missing_trackers(state, stream, head.version, rules, fetch), rules.definitions, head.version)
    return encode(absorb(state, new, rules.definitions, max(event.recorded_us for event in new)))


def with_missing_trackers(state: State, stream: str, version: int, rules: SignalRules, fetch: HotFetch) -> State:
    """Return the state with its missing trackers made from the events that the log still has, up to its version.

    One that was carried is given the events that it has not counted yet.
    """
    lacking = missing(state, rules.definitions)
    if not lacking:
        return state
    state = carry(state, rules.definitions, version)
    for key in sorted(lacking & state.carried.keys()):
        events = events_of(fetch, stream, version, after=state.carried[key].version)
        state = resume(state, key, events, rules.definitions)
    if not missing(state, rules.definitions):
        return state
    return rebuild(state, events_of(fetch, stream, version), rules.definitions, state.at_us)


def usable(state: State, stream: str, version: int, rules: SignalRules, fetch: HotFetch, now_us: int) -> State:
    """Return the state as the rules' features can be read from it at `now_us`; the same one if it was so already."""
    if lies_ahead(state, now_us):
        log = list(events_of(fetch, stream, version))
        state = anchored(carry(state, rules.definitions, version), log, rules.definitions, rules.held, now_us)
    return with_missing_trackers(state, stream, version, rules, fetch)


def _write(
    connection: Connection,
    new: Mapping[str, Mapping[str, Event]],
    heads: Mapping[str, StoredState],
    states: Mapping[str, tuple[int, bytes]],
    rules: SignalRules,
    at_us: int,
) -> None:
    events = sorted((event for of_stream in new.values() for event in of_stream.values()), key=attrgetter("key"))
    rows = [row_of(event, states[event.stream][0], rules) for event in events]
    write_rows(connection, rows, states, heads.keys(), at_us)


def write_rows(
    connection: Connection,
    rows: Sequence[Row],
    states: Mapping[str, tuple[int, bytes]],
    begun: Container[str],
    at_us: int,
) -> None:
    """Add rows, which are sorted by key, and the states; `begun`: the streams that have a state already.

    Keys and streams are written in sorted order, so that two processes cannot deadlock.
    """
    if rows:
        driver.execute_many(connection, _ADD, rows)
    values = {s: (version, at_us, body, bytes.fromhex(s)) for s, (version, body) in sorted(states.items())}
    moved = [row for stream, row in values.items() if stream in begun]
    new = [row for stream, row in values.items() if stream not in begun]
    if moved:
        driver.execute_many(connection, _MOVE, moved)
    if new:
        driver.execute_many(connection, _BEGIN, new)


def row_of(event: Event, version: int, rules: SignalRules) -> Row:
    """Return the row of an event that the state of this version is the first to include."""
    key, stream, type_, occurred_us, recorded_us, fields, content, _ = event
    expires_us = min(occurred_us, recorded_us) + rules.retention_us[type_]
    names = bytes.fromhex(key), bytes.fromhex(stream)
    return *names, version, type_, occurred_us, recorded_us, expires_us, to_json(fields), content or None


def event_of(row: Row) -> Event:
    """Return the event that `row_of` made a row of."""
    key, stream, _, type_, occurred_us, recorded_us, _, body, content = row
    return Event(key.hex(), stream.hex(), type_, occurred_us, recorded_us, from_json(body), content or b"")


def _locked(
    connection: Connection, statement: Callable[[int], str], streams: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Lock and yield the states of the streams, which are sorted, that have one."""
    lock = " FOR UPDATE" if driver.is_postgresql(connection) else ""
    for part in driver.in_chunks([bytes.fromhex(stream) for stream in streams]):
        for name, *values in driver.fetch(connection, statement(len(part)) + lock, part):
            yield name.hex(), *values


def _read_heads(connection: Connection, streams: Sequence[str]) -> dict[str, StoredState]:
    return {stream: StoredState(version, body) for stream, version, body in _locked(connection, _heads_of, streams)}


def locked_versions(connection: Connection, streams: Sequence[str]) -> dict[str, int]:
    """Lock the states of the streams, which are sorted, and return the version of each that has one; -1 if erased."""
    return dict(_locked(connection, _versions_of, streams))


def _existing(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[int, Event]]:
    return {
        row[0].hex(): (row[2], event_of(row))
        for part in driver.in_chunks([bytes.fromhex(key) for key in sorted(set(keys))])
        for row in driver.fetch(connection, _events_of_keys(len(part)), part)
    }


def renew_state(
    connection: Connection, stream: str, version: int, rules: SignalRules, now_us: int
) -> tuple[int, bytes] | None:
    """Store the state as it is `usable`, under the same version; None if it moved on or is usable already."""
    head = _read_heads(connection, [stream]).get(stream, NO_STATE)
    if head.version != version or not head.body:
        return None
    state = decode(head.body)
    renewed = usable(state, stream, version, rules, partial(driver.fetch, connection), now_us)
    if renewed is state:
        return None
    body = encode(renewed)
    driver.execute_many(connection, _RENEW, [(body, bytes.fromhex(stream))])
    return version, body


def states_of(fetch: HotFetch, streams: Sequence[str]) -> dict[str, StoredState]:
    """Return the states of the streams that have one; of up to 500 streams as of one moment."""
    parts = driver.in_chunks([bytes.fromhex(stream) for stream in streams])
    rows = (row for part in parts for row in fetch(_heads_of(len(part)), part))
    return {name.hex(): StoredState(version, body) for name, version, body in rows}


def events_of(fetch: HotFetch, stream: str, upto: int = 2**62, after: int = 0) -> Iterator[Event]:
    """Yield the events that the log still has of a stream, in the order of recording.

    :param upto: only those that the state of this version includes
    :param after: only those that the state of this version does not include
    """
    name, version, seq = bytes.fromhex(stream), after, 2**62 if after else 0
    while rows := fetch(_EVENTS, (name, upto, version, version, seq)):
        for _, _, key, type_, occurred_us, recorded_us, body in rows:
            yield Event(key.hex(), stream, type_, occurred_us, recorded_us, from_json(body))
        if len(rows) < _PAGE:
            return
        version, seq = rows[-1][:2]
