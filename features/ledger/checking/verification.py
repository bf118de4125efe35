"""Whether a stream is as it was appended: every hash recomputed, every version there, the standing its own fold.

A writer or an erasure may come between two pages of a reading; so what looks wrong is looked at again, and told if it
still does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row, bindparam, select

from features.ledger.chain import genesis, hash_body, link
from features.ledger.database import Database
from features.ledger.snapshot import says
from features.ledger.standing import NEVER_US, Fold, apply
from features.ledger.tables import KEYS, RECORDS, STANDINGS

_PAGE = 500
_HEAD = select(STANDINGS).where(STANDINGS.c.stream == bindparam("stream"))
_RECORDS = (
    select(RECORDS)
    .where(
        RECORDS.c.stream == bindparam("stream"),
        RECORDS.c.version > bindparam("after"),
        RECORDS.c.version <= bindparam("upto"),
    )
    .order_by(RECORDS.c.version)
    .limit(_PAGE)
)


_KEYS = select(KEYS).where(KEYS.c.key.in_(bindparam("keys", expanding=True)))
KEY_BYTES = 20
Sealed = tuple[int, bytes]
"""Version and hash of a stream's last record when a checkpoint was signed."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was appended; names no subject.

    `stream` may also be `checkpoints`, with a checkpoint's number as version, or `releases`.
    """

    stream: str
    version: int
    message: str

    def __str__(self) -> str:
        return f"{self.stream}@{self.version}: {self.message}"


@dataclass(slots=True)
class _Walk:
    """How far a stream has been followed; what was lost by erasure shows only once the tombstone is met."""

    stream: str
    sealed: Sealed | None = None
    version: int = 0
    hash: bytes = b""
    at_us: int = NEVER_US
    seq: int = 0
    fold: Fold | None = None
    bodiless: list[int] = field(default_factory=list)
    bodied: list[int] = field(default_factory=list)


def verify_stream(database: Database, stream: str, sealed: Sealed | None = None) -> Iterator[Flaw]:
    """Flaws in the order of the stream, those of its standing last; a stream never heard of has none.

    :param sealed: where the stream was when it was last checkpointed
    """
    if suspected := set(_walked(database, stream, sealed)):
        yield from (flaw for flaw in _walked(database, stream, sealed) if flaw in suspected)


def _walked(database: Database, stream: str, sealed: Sealed | None) -> Iterator[Flaw]:
    heads = database.fetch(_HEAD, {"stream": stream})
    upto = heads[0].version if heads else 2**62
    walk = _Walk(stream, sealed, hash=genesis(stream), fold=Fold(stream))
    while rows := database.fetch(_RECORDS, {"stream": stream, "after": walk.version, "upto": upto}):
        known = _keys_of(database, rows)
        for row in rows:
            yield from (Flaw(stream, row.version, message) for message in _follow(walk, row, known))
    yield from (Flaw(stream, walk.version, message) for message in _close(walk, heads[0] if heads else None))
    if sealed is not None and walk.version < sealed[0]:
        yield Flaw(stream, sealed[0], f"a checkpoint saw the stream up to here, and it ends at {walk.version}")
    if _beyond(database, stream, walk.version):
        yield Flaw(stream, walk.version, "the stream goes on after its standing")


def _keys_of(database: Database, rows: Sequence[Row[Any]]) -> dict[str, tuple[str, int]]:
    """Where the keys of these records point."""
    keys = sorted({key for row in rows for key in keys_in(row.own_keys)})
    parts = (keys[at : at + _PAGE] for at in range(0, len(keys), _PAGE))
    return {row.key: (row.stream, row.version) for part in parts for row in database.fetch(_KEYS, {"keys": part})}


def keys_in(packed: bytes | None) -> list[str]:
    """A record's keys, as the keys table names them."""
    packed = packed or b""
    return [packed[at : at + KEY_BYTES].hex() for at in range(0, len(packed), KEY_BYTES)]


def _beyond(database: Database, stream: str, version: int) -> bool:
    """Whether there are records that the standing does not know, which a writer would have moved along with them."""
    more = database.fetch(_RECORDS, {"stream": stream, "after": version, "upto": 2**62})
    heads = database.fetch(_HEAD, {"stream": stream})
    return bool(more and heads) and heads[0].version == version


def _follow(walk: _Walk, row: Row[Any], known: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    if row.version != walk.version + 1:
        yield f"versions {walk.version + 1} to {row.version - 1} are missing"
    if row.hash != link(walk.hash, row.kind, row.at_us, row.occurred_us, row.body_hash, row.own_keys):
        yield "the record does not follow from the one before it"
    if row.at_us < walk.at_us or row.seq <= walk.seq:
        yield "the record is older than the one before it"
    if any(known.get(key) != (row.stream, row.version) for key in keys_in(row.own_keys)):
        yield "the record is not found under its keys"
    if walk.sealed is not None and row.version == walk.sealed[0] and row.hash != walk.sealed[1]:
        yield "the record is not the one that a checkpoint saw"
    yield from _body(walk, row)
    walk.version, walk.hash, walk.at_us, walk.seq = row.version, row.hash, row.at_us, row.seq
    walk.fold = _fold(walk.fold, row)


def _body(walk: _Walk, row: Row[Any]) -> Iterator[str]:
    if row.body is None:
        if row.kind == "tombstone" or row.salt is not None:
            yield "the body is gone, and was not erased"
        walk.bodiless.append(row.version)
        return
    if row.salt is None or row.body_hash != hash_body(row.salt, row.body):
        yield "the body is not the one that was appended"
    if row.kind != "tombstone":
        walk.bodied.append(row.version)


def _fold(fold: Fold | None, row: Row[Any]) -> Fold | None:
    """The fold so far; None from the first body on that is gone or cannot be folded, until a tombstone."""
    if row.kind == "tombstone":
        return Fold(row.stream, row.version, erased=True)
    if fold is not None and fold.erased:
        return replace(fold, version=row.version)
    if fold is None or row.body is None:
        return None
    try:
        return apply(fold, row.kind, from_json(row.body), row.version, row.occurred_us)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _close(walk: _Walk, head: Row[Any] | None) -> Iterator[str]:
    erased = walk.fold is not None and walk.fold.erased
    if walk.bodiless and not erased:
        yield f"the bodies of {len(walk.bodiless)} records are gone, and nobody erased the subject"
    if walk.bodied and erased:
        yield f"the subject was erased, and the bodies of {len(walk.bodied)} records are here"
    if head is None:
        if walk.version:
            yield "the stream has records but no standing"
    elif (head.version, head.head_hash, head.at_us) != (walk.version, walk.hash, walk.at_us):
        yield "the stream does not end where its standing says"
    elif walk.fold is None:
        if not walk.bodiless:
            yield "the standing cannot be checked: a record cannot be folded"
    elif not says(head.body, walk.fold):
        yield "the standing is not what the records fold to"
