"""Verify that a stream is as it was appended: hashes are recomputed, versions are complete, the standing is the fold.

A writer or an erasure may come between two pages of a reading. So a flaw is reported only if a second reading finds it
again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, bindparam, select

from decisioning.errors import Unavailable
from decisioning.facts.standing import NEVER_US
from decisioning.times import AS_RECORDED
from features.ledger.chain import genesis_hash, hash_body, record_hash
from features.ledger.checking.damaged import survive
from features.ledger.checking.past import past_flaws
from features.ledger.database import Database
from features.ledger.driver import in_chunks
from features.ledger.past.changes import changes_of
from features.ledger.past.counted import Counted
from features.ledger.past.memory import Past
from features.ledger.past.rules_book import RulesBook
from features.ledger.records import PERISHING, Bodies
from features.ledger.standing import Fold, apply
from features.ledger.tables import KEYS, RECORDS_OF_STREAM, STANDINGS

_HEAD = select(STANDINGS).where(STANDINGS.c.stream == bindparam("stream"))
_KEYS = select(KEYS).where(KEYS.c.key.in_(bindparam("keys", expanding=True)))
KEY_BYTES = 20
SignedHead = tuple[int, bytes]
"""Version and hash of a stream's last record when a checkpoint was signed."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was appended. It names no subject.

    `stream` can also be `checkpoints`, with a checkpoint's number as version, `releases`, `database` or a table.
    """

    stream: str
    version: int
    message: str

    def __str__(self) -> str:
        return f"{self.stream}@{self.version}: {self.message}"


@dataclass(slots=True)
class _Walk:
    """How far a stream has been read. Whether missing bodies were erased is known only at the tombstone.

    `without_body`, `with_body`: versions of records whose body is missing or present, tombstones left out. `forgotten`:
    whether a body is missing of what agents did, which is kept for a stated time.
    """

    stream: str
    bodies: Bodies
    signed_head: SignedHead | None = None
    version: int = 0
    hash: bytes = b""
    at_us: int = NEVER_US
    seq: int = 0
    fold: Fold | None = None
    past: Past = field(default_factory=Past)
    counted: Counted = field(default_factory=lambda: Counted(AS_RECORDED))
    without_body: list[int] = field(default_factory=list)
    forgotten: bool = False
    with_body: list[int] = field(default_factory=list)


def verify_stream(
    database: Database, rules: RulesBook, bodies: Bodies, stream: str, signed_head: SignedHead | None = None
) -> Iterator[Flaw]:
    """Yield flaws in the order of the stream, those of its standing last; an unknown stream has none.

    :param signed_head: the stream's head in the last checkpoint that includes it
    """
    walks = (_Walk(stream, bodies, signed_head, hash=genesis_hash(stream), fold=Fold(stream)) for _ in range(2))
    if suspected := set(_read_once(database, rules, next(walks))):
        yield from (flaw for flaw in _read_once(database, rules, next(walks)) if flaw in suspected)


def _read_once(database: Database, rules: RulesBook, walk: _Walk) -> Iterator[Flaw]:
    ended: list[str] = []
    yield from survive(_flaws_of(database, rules, walk), ended)
    yield from (Flaw(walk.stream, walk.version, message) for message in ended)


def _flaws_of(database: Database, rules: RulesBook, walk: _Walk) -> Iterator[Flaw]:
    stream, signed_head = walk.stream, walk.signed_head
    heads = database.fetch(_HEAD, {"stream": stream})
    upto = heads[0].version if heads else 2**62
    while rows := database.fetch(RECORDS_OF_STREAM, {"stream": stream, "after": walk.version, "upto": upto}):
        key_targets = _keys_of(database, rows)
        for row in rows:
            yield from (Flaw(stream, row.version, message) for message in _record_flaws(walk, row, key_targets))
    head = heads[0] if heads else None
    if signed_head is not None and walk.version < signed_head[0]:
        yield Flaw(stream, signed_head[0], f"a checkpoint saw the stream up to here, and it ends at {walk.version}")
    if _continues_after(database, stream, walk.version):
        yield Flaw(stream, walk.version, "the stream goes on after its standing")
    messages = list(_end_flaws(walk, head)) or past_flaws(database, rules, head, walk.fold, walk.past)
    yield from (Flaw(stream, walk.version, message) for message in messages)


def _keys_of(database: Database, rows: Sequence[Row[Any]]) -> dict[str, tuple[str, int]]:
    """Return where the keys of these records lead: key -> (stream, version)."""
    keys = sorted({key for row in rows for key in keys_in(row.own_keys)})
    rows_by_key = (row for part in in_chunks(keys) for row in database.fetch(_KEYS, {"keys": part}))
    return {row.key: (row.stream, row.version) for row in rows_by_key}


def keys_in(packed: bytes | None) -> list[str]:
    """Return a record's keys as the keys table names them."""
    packed = packed or b""
    return [packed[at : at + KEY_BYTES].hex() for at in range(0, len(packed), KEY_BYTES)]


def _continues_after(database: Database, stream: str, version: int) -> bool:
    """Tell whether there are records after the standing; a writer would have moved the standing with them."""
    more = database.fetch(RECORDS_OF_STREAM, {"stream": stream, "after": version, "upto": 2**62})
    heads = database.fetch(_HEAD, {"stream": stream})
    return bool(more and heads) and heads[0].version == version


def _record_flaws(walk: _Walk, row: Row[Any], key_targets: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Yield what is wrong with the next record, and advance the walk past it."""
    if row.version != walk.version + 1:
        yield f"versions {walk.version + 1} to {row.version - 1} are missing"
    if row.hash != record_hash(walk.hash, row.kind, row.at_us, row.occurred_us, row.body_hash, row.own_keys):
        yield "the record does not follow from the one before it"
    if row.at_us < walk.at_us or row.seq <= walk.seq:
        yield "the record is older than the one before it"
    if any(key_targets.get(key) != (row.stream, row.version) for key in keys_in(row.own_keys)):
        yield "the record is not found under its keys"
    if walk.signed_head is not None and row.version == walk.signed_head[0] and row.hash != walk.signed_head[1]:
        yield "the record is not the one that a checkpoint saw"
    yield from _body_flaws(walk, row)
    walk.version, walk.hash, walk.at_us, walk.seq = row.version, row.hash, row.at_us, row.seq
    walk.fold = _next_fold(walk, row)


def _body_flaws(walk: _Walk, row: Row[Any]) -> Iterator[str]:
    if row.body is None:
        if row.kind == "tombstone" or row.salt is not None:
            yield "the body is gone, and was not erased"
        if row.kind in PERISHING:
            walk.forgotten = True
        else:
            walk.without_body.append(row.version)
        return
    if row.salt is None or row.body_hash != hash_body(row.salt, row.body):
        yield "the body is not the one that was appended"
    if row.kind != "tombstone":
        walk.with_body.append(row.version)


def _next_fold(walk: _Walk, row: Row[Any]) -> Fold | None:
    """Return the fold with one more record; None from the first body that is missing or unusable up to a tombstone."""
    fold = walk.fold
    if row.kind == "tombstone":
        return Fold(row.stream, row.version, erased=True)
    if fold is not None and fold.erased:
        return replace(fold, version=row.version)
    if fold is None or row.body is None:
        return None
    try:
        folded = walk.bodies.read_folded(row.body)
        counted_us, body = walk.counted.of(row.kind, folded, row.occurred_us, row.at_us)
        fold = apply(fold, row.kind, body, row.version, counted_us)
        walk.past.add(changes_of(row.kind, body, counted_us))
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 (a damaged body may be anything; its hash tells of it)
        return None
    return fold


def _end_flaws(walk: _Walk, head: Row[Any] | None) -> Iterator[str]:
    erased = walk.fold is not None and walk.fold.erased
    if walk.without_body and not erased:
        yield f"the bodies of {len(walk.without_body)} records are gone, and nobody erased the subject"
    if walk.with_body and erased:
        yield f"the subject was erased, and the bodies of {len(walk.with_body)} records are here"
    if head is None:
        if walk.version:
            yield "the stream has records but no standing"
    elif (head.version, head.head_hash, head.at_us) != (walk.version, walk.hash, walk.at_us):
        yield "the stream does not end where its standing says"
    elif walk.fold is None and not walk.without_body and not walk.forgotten:
        yield "the standing cannot be checked: a record cannot be folded"
