"""The log of signals and the states they amount to, in the ledger's database; each function is part of a transaction.

A stream's state moves by one version with every transaction that adds events to it, under a lock on its row (SQLite:
on the database), so that whoever writes beside us comes before or after, and is counted once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.sql import Executable

from decisioning.catalogue.release import Release
from decisioning.times import days_us
from features.ledger.tables import SIGNAL_STATES, SIGNALS
from features.signals.definitions import Definitions
from features.signals.event import Event
from features.signals.state import State, absorb, decode, encode, missing, rebuild

Fetch = Callable[[Executable, Mapping[str, Any]], Sequence[Row[Any]]]
_IN_ONE_STATEMENT: Final = 500
_PURGED_AT_ONCE: Final = 500
_PAGE: Final = 2000

_LOCKED = select(SIGNAL_STATES.c.stream, SIGNAL_STATES.c.version, SIGNAL_STATES.c.body).with_for_update()
_HEAD = _LOCKED.where(SIGNAL_STATES.c.stream == bindparam("stream"))
_HEADS = _LOCKED.where(SIGNAL_STATES.c.stream.in_(bindparam("streams", expanding=True))).order_by(
    SIGNAL_STATES.c.stream
)
_KNOWN = select(SIGNALS.c.key, SIGNALS.c.version).where(SIGNALS.c.key.in_(bindparam("keys", expanding=True)))
_STATES = select(SIGNAL_STATES.c.stream, SIGNAL_STATES.c.version, SIGNAL_STATES.c.body).where(
    SIGNAL_STATES.c.stream.in_(bindparam("streams", expanding=True))
)
_MOVE = (
    update(SIGNAL_STATES)
    .where(SIGNAL_STATES.c.stream == bindparam("of"))
    .values({name: bindparam(name) for name in ("version", "at_us", "body")})
)
_RENEW = update(SIGNAL_STATES).where(SIGNAL_STATES.c.stream == bindparam("of")).values(body=bindparam("body"))
_ADD = insert(SIGNALS)
_BEGIN = insert(SIGNAL_STATES)
_EVENTS = (
    select(SIGNALS)
    .where(SIGNALS.c.stream == bindparam("stream"), SIGNALS.c.version <= bindparam("upto"))
    .where(
        (SIGNALS.c.version > bindparam("version"))
        | ((SIGNALS.c.version == bindparam("version")) & (SIGNALS.c.seq > bindparam("seq")))
    )
    .order_by(SIGNALS.c.version, SIGNALS.c.seq)
    .limit(_PAGE)
)
_EXPIRED = (
    select(SIGNALS.c.seq)
    .where(SIGNALS.c.expires_us <= bindparam("now_us"))
    .order_by(SIGNALS.c.expires_us)
    .limit(_PURGED_AT_ONCE)
)
_PURGE = delete(SIGNALS).where(SIGNALS.c.seq.in_(_EXPIRED.scalar_subquery()))
_ERASED = select(SIGNAL_STATES.c.stream).where(
    SIGNAL_STATES.c.body.is_(None), SIGNAL_STATES.c.at_us >= bindparam("since_us")
)


class SignalRules:
    """What a release says of signals: features compiled, and how long each type is kept."""

    def __init__(self, release: Release) -> None:
        self.definitions = Definitions.of(release)
        self.kept_us = {id_: days_us(type_.retention_days) for id_, type_ in release.signals.items()}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one event: `version` is that of the stream's state which was the first to hold it.

    `erased`: the subject asked to be forgotten, so nothing is kept.
    """

    status: Literal["accepted", "duplicate", "erased"]
    version: int = 0


class StoredState(NamedTuple):
    """The state of a stream as its row has it; no body: the subject was erased."""

    version: int
    body: bytes | None


_NOTHING: Final = StoredState(0, b"")


@dataclass(slots=True)
class Added:
    """What a transaction did: of each event in order, and the new states by stream."""

    results: list[Recorded] = field(default_factory=list)
    states: dict[str, tuple[int, bytes]] = field(default_factory=dict)


class Foreseen(NamedTuple):
    """What a state at `version` comes to with so many events."""

    version: int
    events: int
    body: bytes


def foresee(fetch: Fetch, events: Sequence[Event], terms: SignalRules) -> dict[str, Foreseen]:
    """The states that these events will make, if all are new and nobody comes first; made outside of a transaction."""
    new: dict[str, list[Event]] = {}
    for event in events:
        new.setdefault(event.stream, []).append(event)
    heads = states_of(fetch, sorted(new))
    return {
        stream: Foreseen(head.version, len(some), _absorbed(stream, head, some, terms, fetch))
        for stream, some in new.items()
        if (head := heads.get(stream, _NOTHING)).body is not None
    }


def add(
    connection: Connection,
    events: Sequence[Event],
    terms: SignalRules,
    *,
    look_up: bool,
    foreseen: Mapping[str, Foreseen] = MappingProxyType({}),
) -> Added:
    """Keep what is new of `events`, and move the states of their streams.

    :param foreseen: of `foresee`; used for a stream where it still holds
    :param look_up: whether to look for the keys first; if not, a key that is known fails the transaction
    :raises sqlalchemy.exc.IntegrityError: a key is known, or another process began a stream; to be run again
    """
    heads = _heads(connection, sorted({event.stream for event in events}))
    known = _known(connection, [event.key for event in events]) if look_up else {}
    added, fresh = Added(), dict[str, list[Event]]()
    for event in events:
        head = heads.get(event.stream, _NOTHING)
        if head.body is None:
            added.results.append(Recorded("erased"))
        elif event.key in known:
            added.results.append(Recorded("duplicate", known[event.key]))
        else:
            known[event.key] = head.version + 1
            fresh.setdefault(event.stream, []).append(event)
            added.results.append(Recorded("accepted", head.version + 1))
    if fresh:
        for stream, new in fresh.items():
            head, seen = heads.get(stream, _NOTHING), foreseen.get(stream)
            holds = seen is not None and (seen.version, seen.events) == (head.version, len(new))
            body = seen.body if seen and holds else _absorbed(stream, head, new, terms, _fetching(connection))
            added.states[stream] = head.version + 1, body
        _write(connection, fresh, heads, added.states, terms)
    return added


class Attempt:
    """`add` as the work of a transaction that may run again; events that are known are looked up from then on.

    Keys are new almost always, so the first attempt goes without.
    """

    def __init__(
        self, events: Sequence[Event], terms: SignalRules, foreseen: Mapping[str, Foreseen] = MappingProxyType({})
    ) -> None:
        self._events, self._terms, self._foreseen = events, terms, foreseen
        self._again = False

    def __call__(self, connection: Connection) -> Added:
        look_up, self._again = self._again, True
        return add(connection, self._events, self._terms, look_up=look_up, foreseen=self._foreseen)


def _absorbed(stream: str, head: StoredState, new: Sequence[Event], terms: SignalRules, fetch: Fetch) -> bytes:
    """Its time is that of its events: what they come to does not depend on when they were written."""
    state = decode(head.body) if head.body else State.empty(terms.definitions)
    state = whole(state, stream, head.version, terms, fetch)
    return encode(absorb(state, new, terms.definitions, state.at_us))


def whole(state: State, stream: str, version: int, terms: SignalRules, fetch: Fetch) -> State:
    """With the trackers that it was not made with, from what the log still has of the events up to its version."""
    if not missing(state, terms.definitions):
        return state
    return rebuild(state, events_of(fetch, stream, version), terms.definitions, state.at_us)


def _fetching(connection: Connection) -> Fetch:
    return lambda statement, parameters: connection.execute(statement, parameters).all()


def _write(
    connection: Connection,
    fresh: Mapping[str, Sequence[Event]],
    heads: Mapping[str, StoredState],
    states: Mapping[str, tuple[int, bytes]],
    terms: SignalRules,
) -> None:
    """Keys and streams in their order, so that two processes never wait for each other in a circle."""
    events = sorted((event for new in fresh.values() for event in new), key=attrgetter("key"))
    connection.execute(_ADD, [_row(event, states[event.stream][0], terms) for event in events])
    moved = [s for s in sorted(states) if s in heads]
    begun = [s for s in sorted(states) if s not in heads]
    at_us = events[0].recorded_us
    values = {s: {"version": v, "at_us": at_us, "body": body} for s, (v, body) in states.items()}
    if moved:
        connection.execute(_MOVE, [{"of": s, **values[s]} for s in moved])
    if begun:
        connection.execute(_BEGIN, [{"stream": s, **values[s]} for s in begun])


def _row(event: Event, version: int, terms: SignalRules) -> dict[str, Any]:
    return {
        "key": event.key,
        "stream": event.stream,
        "version": version,
        "type": event.type,
        "occurred_us": event.occurred_us,
        "recorded_us": event.recorded_us,
        "expires_us": event.time_us + terms.kept_us[event.type],
        "body": to_json(event.fields),
    }


def _heads(connection: Connection, streams: Sequence[str]) -> dict[str, StoredState]:
    if len(streams) == 1:  # as for most calls: a statement that needs no expansion takes two thirds of the time
        rows = connection.execute(_HEAD, {"stream": streams[0]}).all()
    else:
        rows = [row for part in _parts(streams) for row in connection.execute(_HEADS, {"streams": part})]
    return {row.stream: StoredState(row.version, row.body) for row in rows}


def _known(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    return {
        row.key: row.version for part in _parts(sorted(set(keys))) for row in connection.execute(_KNOWN, {"keys": part})
    }


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Databases bound the parameters of a statement."""
    return (names[at : at + _IN_ONE_STATEMENT] for at in range(0, len(names), _IN_ONE_STATEMENT))


def renew(connection: Connection, stream: str, version: int, terms: SignalRules) -> tuple[int, bytes] | None:
    """Keep the state with trackers made anew, under its version; None where it has moved on or has them all."""
    head = _heads(connection, [stream]).get(stream, _NOTHING)
    if head.version != version or not head.body:
        return None
    state = decode(head.body)
    if not missing(state, terms.definitions):
        return None
    body = encode(whole(state, stream, version, terms, _fetching(connection)))
    connection.execute(_RENEW, {"of": stream, "body": body})
    return version, body


def purge_some(connection: Connection, now_us: int) -> int:
    """Delete some of the events whose retention is over; how many. States keep what they came to."""
    return connection.execute(_PURGE, {"now_us": now_us}).rowcount


def states_of(fetch: Fetch, streams: Sequence[str]) -> dict[str, StoredState]:
    """The states of those streams that have one, all at one moment."""
    return {row.stream: StoredState(row.version, row.body) for row in fetch(_STATES, {"streams": streams})}


def erased_since(fetch: Fetch, since_us: int) -> list[str]:
    """Streams that were erased at or after this time."""
    return [row.stream for row in fetch(_ERASED, {"since_us": since_us})]


def events_of(fetch: Fetch, stream: str, upto: int = 2**62) -> Iterator[Event]:
    """What the log still has of a stream's events up to a version, in the order of recording."""
    version, seq = 0, 0
    while rows := fetch(_EVENTS, {"stream": stream, "upto": upto, "version": version, "seq": seq}):
        for row in rows:
            yield Event(row.key, row.stream, row.type, row.occurred_us, row.recorded_us, from_json(row.body))
        if len(rows) < _PAGE:
            return
        version, seq = rows[-1].version, rows[-1].seq
