"""The plan of one transaction: heads are read under lock, submissions are added in memory, then all is written.

Locks are taken in the order of stream names, so that two processes cannot deadlock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from decisioning.errors import Conflict, Erased, Refused
from decisioning.facts.standing import NEVER_US
from features.ledger.chain import genesis_hash, record_hash
from features.ledger.driver import execute_many, fetch, in_chunks, insert_into, is_postgresql, placeholders
from features.ledger.past.kinds import ContactKinds
from features.ledger.past.planned import PlannedPast
from features.ledger.past.rows import StreamRows
from features.ledger.past.rules_book import RulesBook
from features.ledger.past.selection import Selection, floor_of
from features.ledger.people.rows import HANDOVER, HandoverChange, write_handovers
from features.ledger.records import LOOK, UNUSABLE_BODY, Entry, PreparedEntry, reason_of
from features.ledger.snapshot import decode, encode
from features.ledger.standing import REQUEST, Fold, apply, with_selection
from features.ledger.tables import KEYS, LOOKS, RECORDS, REQUESTS, STANDINGS

_RECORD_COLUMNS = ("stream", "version", "kind", "at_us", "occurred_us", "body", "salt", "body_hash", "hash", "own_keys")
_HEAD_COLUMNS = ("version", "at_us", "head_hash", "body", "stream")
_ADD_RECORD = insert_into(RECORDS, *_RECORD_COLUMNS)
_ADD_KEY = insert_into(KEYS, "key", "stream", "version")
_ADD_HEAD = insert_into(STANDINGS, *_HEAD_COLUMNS)
_MOVE_HEAD = f"UPDATE {STANDINGS.name} SET version = ?, at_us = ?, head_hash = ?, body = ? WHERE stream = ?"  # noqa: S608 (names of our own)
_HASH = f"SELECT hash FROM {RECORDS.name} WHERE stream = ? AND version = ?"  # noqa: S608 (names of our own)
_ADD_LOOK = (
    f"INSERT INTO {LOOKS.name} (seq, stream, who, reason, at_us) SELECT seq, ?, ?, ?, at_us "  # noqa: S608 (names of our own)
    f"FROM {RECORDS.name} WHERE stream = ? AND version = ?"
)
_PUT_REQUEST = (
    f"INSERT INTO {REQUESTS.name} (number, stream, state, due_us, record) "  # noqa: S608 (names of our own)
    f"SELECT ?, ?, ?, ?, seq FROM {RECORDS.name} WHERE stream = ? AND version = ? "
    "ON CONFLICT (number) DO UPDATE SET state = excluded.state, due_us = excluded.due_us, record = excluded.record"
)
RECORD = select(RECORDS).where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.version == bindparam("version"))


@lru_cache(maxsize=8)
def _heads(n: int) -> str:
    columns = "stream, version, at_us, head_hash, body"
    return f"SELECT {columns} FROM {STANDINGS.name} WHERE stream IN ({placeholders(n)}) ORDER BY stream"  # noqa: S608 (placeholders only)


@lru_cache(maxsize=8)
def _existing_keys(n: int) -> str:
    return f"SELECT key, stream, version FROM {KEYS.name} WHERE key IN ({placeholders(n)})"  # noqa: S608 (placeholders only)


_OF_ERASED = ("decision", "account_decision")
"""The kinds of records that are appended for erased subjects, too: an answer was given. Only their hashes are kept."""


class ExistingKey(NamedTuple):
    """Where the record is that already has the key of a submitted entry."""

    stream: str
    version: int


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one stream: version, hash and time of recording of its last record, and the standing after it.

    `rules`: the number of the rules by which the standing's past was selected.
    """

    version: int
    hash: bytes
    at_us: int
    fold: Fold
    rules: int

    def row(self, stream: str, kinds: ContactKinds) -> tuple[Any, ...]:
        """Return its row in the standings table, in the order of `_HEAD_COLUMNS`."""
        return self.version, self.at_us, self.hash, encode(self.fold, self.rules, kinds), bytes.fromhex(stream)


class AppendPlan:
    """The records, keys, contacts, outcomes and standings of one transaction.

    :param submissions: (entries, guards) of everything that will be added; their streams are locked at once
    :param look_up: read which keys and offers exist already; if False, `write` fails if a new one does
    """

    def __init__(
        self,
        connection: Connection,
        submissions: Sequence[tuple[Sequence[PreparedEntry], Mapping[str, int]]],
        now_us: int,
        rules: RulesBook,
        *,
        look_up: bool,
    ) -> None:
        self._now_us, self._rules = now_us, rules
        streams, keys = set[str](), set[bytes]()
        for entries, guards in submissions:
            streams.update(guards, (p.entry.stream for p in entries))
            keys.update(key for p in entries for key in p.keys)
        self._stored_heads = dict(_read_heads(connection, streams, rules.kinds))
        self._heads = {stream: self._stored_heads.get(stream) or _empty(stream, rules.newest) for stream in streams}
        self._existing = dict(_read_keys(connection, keys)) if look_up else {}
        changes = ((p.entry.stream, p.changes) for entries, _ in submissions for p in entries)
        self._past = PlannedPast(connection, changes, rules.kinds, look_up=look_up)
        self._records: list[dict[str, Any]] = []
        self._keys: list[tuple[bytes, bytes, int]] = []
        self._looks: list[tuple[bytes, str, str, bytes, int]] = []
        self._requests: list[tuple[Any, ...]] = []
        self._handovers: list[HandoverChange] = []

    def add(
        self, entries: Sequence[PreparedEntry], guards: Mapping[str, int], *, skip_known: bool = False
    ) -> tuple[int, ...] | ExistingKey:
        """Add entries and return the versions they will have, or where a record is that has one of their keys.

        :param skip_known: leave out entries whose key exists or whose subject is erased, instead of refusing all
        :raises Conflict: a stream is not at the version that an entry or a guard expects
        :raises Erased: a subject is erased, and nothing of the entry would be kept
        :raises Refused: a body lacks what its fold reads
        :raises RequestError: an entry's time lies too far ahead
        """
        existing = [next((self._existing[k] for k in p.keys if k in self._existing), None) for p in entries]
        if skip_known:
            new = (p for p, duplicate in zip(entries, existing, strict=True) if duplicate is None)
            entries = [p for p in new if not self._would_be_lost(p)]
        elif (duplicate := next(filter(None, existing), None)) is not None:
            return duplicate
        elif any(map(self._would_be_lost, entries)):
            raise Erased("subject", "it was erased, and nothing that is told of it is kept")
        self._check_versions(entries, guards)
        return self._stage([p.recorded(self._now_us, self._recorded_us(p)) for p in entries])

    def _recorded_us(self, prepared: PreparedEntry) -> int:
        """Return when an entry will be recorded: its stream's time, which never decreases."""
        return max(self._now_us, self._heads[prepared.entry.stream].at_us)

    def _would_be_lost(self, prepared: PreparedEntry) -> bool:
        """Tell whether nothing of the entry would be kept, as its subject is erased."""
        entry = prepared.entry
        return self._heads[entry.stream].fold.erased and entry.kind not in (*_OF_ERASED, "tombstone")

    def _check_versions(self, entries: Sequence[PreparedEntry], guards: Mapping[str, int]) -> None:
        expected = {(p.entry.stream, p.entry.expected) for p in entries if p.entry.expected is not None}
        for stream, version in (*expected, *guards.items()):
            if self._heads[stream].version != version:
                raise Conflict("another record came first; read the standing and decide again")

    def _stage(self, entries: Sequence[PreparedEntry]) -> tuple[int, ...]:
        heads: dict[str, Head] = {}
        records: list[dict[str, Any]] = []
        keys: list[tuple[bytes, bytes, int]] = []
        looks: list[tuple[bytes, str, str, bytes, int]] = []
        requests: list[tuple[Any, ...]] = []
        handovers: list[HandoverChange] = []
        for prepared in entries:
            stream = prepared.entry.stream
            head, row = extend(heads.get(stream) or self._heads[stream], prepared, self._recorded_us(prepared))
            heads[stream] = head
            records.append(row)
            keys += [(key, row["stream"], head.version) for key in prepared.keys]
            if prepared.entry.kind == LOOK:
                looks.append(_look(prepared.entry, row))
            if prepared.entry.kind == REQUEST:
                requests.append(_request(prepared.entry, row))
            elif prepared.entry.kind == HANDOVER and not head.fold.erased:
                handovers.append(HandoverChange(stream, prepared.entry.folded, row["at_us"]))
        for prepared in entries:
            if prepared.changes and not heads[prepared.entry.stream].fold.erased:
                self._past.add(prepared.entry.stream, prepared.changes)
        self._heads.update(heads)
        self._records += records
        self._keys += keys
        self._looks += looks
        self._handovers += handovers
        self._requests += requests
        self._existing.update((key, ExistingKey(stream.hex(), version)) for key, stream, version in keys)
        return tuple(row["version"] for row in records)

    def write(self, connection: Connection) -> None:
        """Write every row, with as few statements as there are tables.

        A new stream that was only guarded gets a row of version 0: a process that begins the stream collides with it.
        """
        self._past.write()
        for stream, head in self._heads.items():
            if head is not self._stored_heads.get(stream):
                self._heads[stream] = self._with_selection(connection, stream, head)
        kinds = self._rules.kinds
        new = [s for s in sorted(self._heads) if s not in self._stored_heads]
        changed = [s for s in sorted(self._stored_heads) if self._heads[s] is not self._stored_heads[s]]
        if new:
            execute_many(connection, _ADD_HEAD, [self._heads[s].row(s, kinds) for s in new])
        if changed:
            execute_many(connection, _MOVE_HEAD, [self._heads[s].row(s, kinds) for s in changed])
        if self._records:
            execute_many(connection, _ADD_RECORD, [tuple(row[c] for c in _RECORD_COLUMNS) for row in self._records])
        if self._keys:
            execute_many(connection, _ADD_KEY, sorted(self._keys))
        if self._looks:
            execute_many(connection, _ADD_LOOK, self._looks)
        if self._requests:
            execute_many(connection, _PUT_REQUEST, self._requests)
        write_handovers(connection, self._handovers)

    def _with_selection(self, connection: Connection, stream: str, head: Head) -> Head:
        """Return the head with what decisions read of the past, renewed, or made anew for newer rules."""
        number = max(head.rules, self._rules.newest)
        if head.fold.erased:
            return replace(head, rules=number)
        selector, source = self._rules.selector(number), StreamRows(connection, stream, self._rules.kinds)
        floor = floor_of(head.at_us, head.fold.latest_us, head.fold.rule)
        if number != head.rules:
            selection = selector.make(source, floor)
        else:
            current = Selection(head.fold.contacts, head.fold.times)
            selection = selector.renew(current, self._past.touched(stream), source, floor)
        return replace(head, fold=with_selection(head.fold, selection), rules=number)

    def erased(self, stream: str) -> bool:
        """Tell whether the subject of a planned stream is erased."""
        return self._heads[stream].fold.erased

    def standing(self, stream: str) -> Fold:
        """Return the standing of a planned stream."""
        return self._heads[stream].fold

    def was_committed(self, connection: Connection) -> bool:
        """Tell whether an earlier attempt to write this plan was committed although it seemed to fail."""
        if not self._records:
            return False
        last = self._records[-1]
        return fetch(connection, _HASH, (last["stream"], last["version"])) == [(last["hash"],)]


def _look(entry: Entry, row: Mapping[str, Any]) -> tuple[bytes, str, str, bytes, int]:
    """Return the parameters that put the record of a look into the table of looks."""
    body = entry.folded
    return bytes.fromhex(body["subject"]), body["who"], reason_of(body), row["stream"], row["version"]


def _request(entry: Entry, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the parameters that put the record of a request into the table of requests."""
    body = entry.folded
    return body["number"], row["stream"], body["state"], body["due_us"], row["stream"], row["version"]


def extend(head: Head, prepared: PreparedEntry, at_us: int) -> tuple[Head, dict[str, Any]]:
    """Return the head after one more record, and that record's row. Of a body after an erasure only the hash is kept.

    :param at_us: when it is recorded
    :raises Refused: the body lacks what its fold reads
    """
    entry, version = prepared.entry, head.version + 1
    fold = _folded(head, prepared, version)
    keys = b"".join(prepared.keys)
    digest = record_hash(head.hash, entry.kind, at_us, prepared.occurred_us, prepared.body_hash, keys)
    erased = fold.erased and entry.kind != "tombstone"
    row = {
        "stream": bytes.fromhex(entry.stream),
        "version": version,
        "kind": entry.kind,
        "at_us": at_us,
        "occurred_us": prepared.occurred_us,
        "body": None if erased else prepared.raw,
        "salt": None if erased else prepared.salt,
        "body_hash": prepared.body_hash,
        "hash": digest,
        "own_keys": keys,
    }
    return Head(version, digest, at_us, fold, head.rules), row


def _folded(head: Head, prepared: PreparedEntry, version: int) -> Fold:
    entry = prepared.entry
    message = f"the body of a record of kind {entry.kind!r} lacks what the standing is made of"
    if prepared.changes is None and not head.fold.erased:
        raise Refused(message)
    try:
        return apply(head.fold, entry.kind, entry.folded, version, prepared.occurred_us)
    except UNUSABLE_BODY as error:
        raise Refused(message) from error


def _empty(stream: str, rules: int) -> Head:
    return Head(0, genesis_hash(stream), NEVER_US, Fold(stream), rules)


def _read_heads(connection: Connection, streams: set[str], kinds: ContactKinds) -> Iterator[tuple[str, Head]]:
    lock = " FOR UPDATE" if is_postgresql(connection) else ""
    for chunk in in_chunks(sorted(map(bytes.fromhex, streams))):
        for name, version, at_us, head_hash, body in fetch(connection, _heads(len(chunk)) + lock, chunk):
            stream = name.hex()
            yield stream, Head(version, head_hash, at_us, *decode(stream, version, at_us, body, kinds))


def _read_keys(connection: Connection, keys: set[bytes]) -> Iterator[tuple[bytes, ExistingKey]]:
    for chunk in in_chunks(sorted(keys)):
        for key, stream, version in fetch(connection, _existing_keys(len(chunk)), chunk):
            yield key, ExistingKey(stream.hex(), version)
