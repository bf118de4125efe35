"""The plan of one transaction: heads are read under lock, submissions are added in memory, then all is written.

Locks are taken in the order of stream names, so that two processes cannot deadlock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from decisioning.errors import Conflict, Refused
from features.ledger.chain import genesis_hash, record_hash
from features.ledger.database import in_chunks
from features.ledger.records import Duplicate, PreparedEntry, record_of
from features.ledger.snapshot import decode, encode
from features.ledger.standing import NEVER_US, Fold, apply
from features.ledger.tables import KEYS, RECORDS, STANDINGS

_LOCKED = select(STANDINGS).order_by(STANDINGS.c.stream).with_for_update()
_TWO_HEADS = _LOCKED.where(or_(STANDINGS.c.stream == bindparam("first"), STANDINGS.c.stream == bindparam("second")))
_HEADS = _LOCKED.where(STANDINGS.c.stream.in_(bindparam("streams", expanding=True)))
_EXISTING_KEYS = select(KEYS).where(KEYS.c.key.in_(bindparam("keys", expanding=True)))
_RECORD = select(RECORDS).where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.version == bindparam("version"))
_MOVE = (
    update(STANDINGS)
    .where(STANDINGS.c.stream == bindparam("of"))
    .values({name: bindparam(name) for name in ("version", "at_us", "head_hash", "body")})
)


class ExistingKey(NamedTuple):
    """Where the record is that already has the key of a submitted entry."""

    stream: str
    version: int


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one stream: version, hash and time of recording of its last record, and the standing after it."""

    version: int
    hash: bytes
    at_us: int
    fold: Fold

    def columns(self) -> dict[str, Any]:
        """Return the columns of its row in the standings table, without the stream."""
        return {"version": self.version, "at_us": self.at_us, "head_hash": self.hash, "body": encode(self.fold)}


class AppendPlan:
    """The records, keys and standings of one transaction.

    :param submissions: (entries, guards) of everything that will be added; their streams are locked at once
    :param look_up: read which keys exist already; if False, `write` fails if one does
    """

    def __init__(
        self,
        connection: Connection,
        submissions: Iterable[tuple[Sequence[PreparedEntry], Mapping[str, int]]],
        now_us: int,
        *,
        look_up: bool,
    ) -> None:
        self._now_us = now_us
        streams, keys = set[str](), set[str]()
        for entries, guards in submissions:
            streams.update(guards, (p.entry.stream for p in entries))
            keys.update(key for p in entries for key in p.keys)
        self._stored_heads = dict(_read_heads(connection, streams))
        self._heads = {stream: self._stored_heads.get(stream) or _empty(stream) for stream in streams}
        self._existing = dict(_read_keys(connection, keys)) if look_up else {}
        self._records: list[dict[str, Any]] = []
        self._keys: list[dict[str, Any]] = []

    def add(
        self, entries: Sequence[PreparedEntry], guards: Mapping[str, int], *, skip_known: bool = False
    ) -> tuple[int, ...] | ExistingKey:
        """Add entries and return the versions they will have, or where a record is that has one of their keys.

        :param skip_known: leave out entries whose key exists, instead of refusing all entries
        :raises Conflict: a stream is not at the version that an entry or a guard expects
        :raises Refused: a body lacks what its fold reads
        """
        existing = [next((self._existing[k] for k in p.keys if k in self._existing), None) for p in entries]
        if skip_known:
            entries = [p for p, duplicate in zip(entries, existing, strict=True) if duplicate is None]
        elif (duplicate := next(filter(None, existing), None)) is not None:
            return duplicate
        self._check_versions(entries, guards)
        return self._stage(entries)

    def _check_versions(self, entries: Sequence[PreparedEntry], guards: Mapping[str, int]) -> None:
        expected = {(p.entry.stream, p.entry.expected) for p in entries if p.entry.expected is not None}
        for stream, version in (*expected, *guards.items()):
            if self._heads[stream].version != version:
                raise Conflict("another record came first; read the standing and decide again")

    def _stage(self, entries: Sequence[PreparedEntry]) -> tuple[int, ...]:
        heads: dict[str, Head] = {}
        records: list[dict[str, Any]] = []
        keys: list[dict[str, Any]] = []
        for prepared in entries:
            stream = prepared.entry.stream
            head, row = extend(heads.get(stream) or self._heads[stream], prepared, self._now_us)
            heads[stream] = head
            records.append(row)
            keys += [{"key": key, "stream": stream, "version": head.version} for key in prepared.keys]
        self._heads.update(heads)
        self._records += records
        self._keys += keys
        self._existing.update((str(k["key"]), ExistingKey(k["stream"], k["version"])) for k in keys)
        return tuple(row["version"] for row in records)

    def write(self, connection: Connection) -> None:
        """Write every row, with as few statements as there are tables.

        A new stream that was only guarded gets a row of version 0: a process that begins the stream collides with it.
        """
        new = [s for s in sorted(self._heads) if s not in self._stored_heads]
        changed = [s for s in sorted(self._stored_heads) if self._heads[s] is not self._stored_heads[s]]
        if new:
            connection.execute(insert(STANDINGS), [{"stream": s, **self._heads[s].columns()} for s in new])
        if changed:
            connection.execute(_MOVE, [{"of": s, **self._heads[s].columns()} for s in changed])
        if self._records:
            connection.execute(insert(RECORDS), self._records)
        if self._keys:
            connection.execute(insert(KEYS), sorted(self._keys, key=lambda row: str(row["key"])))

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
        row = connection.execute(_RECORD, {"stream": last["stream"], "version": last["version"]}).first()
        return row is not None and row.hash == last["hash"]


def extend(head: Head, prepared: PreparedEntry, now_us: int) -> tuple[Head, dict[str, Any]]:
    """Return the head after one more record, and that record's row. Of a body after an erasure only the hash is kept.

    :raises Refused: the body lacks what its fold reads
    """
    entry, version, at_us = prepared.entry, head.version + 1, max(now_us, head.at_us)
    try:
        fold = apply(head.fold, entry.kind, entry.body, version, entry.occurred_us)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"the body of a record of kind {entry.kind!r} lacks what the standing is made of") from error
    keys = bytes.fromhex("".join(prepared.keys))
    digest = record_hash(head.hash, entry.kind, at_us, entry.occurred_us, prepared.body_hash, keys)
    erased = fold.erased and entry.kind != "tombstone"
    row = {
        "stream": entry.stream,
        "version": version,
        "kind": entry.kind,
        "at_us": at_us,
        "occurred_us": entry.occurred_us,
        "body": None if erased else prepared.raw,
        "salt": None if erased else prepared.salt,
        "body_hash": prepared.body_hash,
        "hash": digest,
        "own_keys": keys,
    }
    return Head(version, digest, at_us, fold), row


def as_duplicate(connection: Connection, existing: ExistingKey) -> Duplicate:
    """Return the error for a submission whose key exists; its record may be part of this transaction."""
    row = connection.execute(_RECORD, {"stream": existing.stream, "version": existing.version}).one()
    return Duplicate(record_of(row))


def _empty(stream: str) -> Head:
    return Head(0, genesis_hash(stream), NEVER_US, Fold(stream))


def _read_heads(connection: Connection, streams: set[str]) -> Iterator[tuple[str, Head]]:
    for chunk in in_chunks(sorted(streams)):
        few = len(chunk) <= 2  # most decisions; without an expanding parameter a statement takes two thirds of the time
        rows = (
            connection.execute(_TWO_HEADS, {"first": chunk[0], "second": chunk[-1]})
            if few
            else connection.execute(_HEADS, {"streams": chunk})
        )
        for row in rows:
            fold = decode(row.stream, row.version, row.body)
            yield row.stream, Head(row.version, row.head_hash, row.at_us, fold)


def _read_keys(connection: Connection, keys: set[str]) -> Iterator[tuple[str, ExistingKey]]:
    for chunk in in_chunks(sorted(keys)):
        for row in connection.execute(_EXISTING_KEYS, {"keys": chunk}):
            yield row.key, ExistingKey(row.stream, row.version)
