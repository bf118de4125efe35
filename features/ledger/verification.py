"""Whether a stream is as it was appended: every hash recomputed, every version there, the standing its own fold."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Row, bindparam, select

from features.ledger.chain import genesis, hash_body, link
from features.ledger.database import Database
from features.ledger.snapshot import decode
from features.ledger.standing import NEVER_US, Fold, apply
from features.ledger.tables import RECORDS, STANDINGS

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


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in a stream that is not as it was appended; names no subject."""

    stream: str
    version: int
    message: str


@dataclass(slots=True)
class _Walk:
    """How far a stream has been followed; what was lost by erasure shows only once the tombstone is met."""

    stream: str
    version: int = 0
    hash: bytes = b""
    at_us: int = NEVER_US
    fold: Fold | None = None
    bodiless: list[int] = field(default_factory=list)


def verify_stream(database: Database, stream: str) -> Iterator[Flaw]:
    """Flaws in the order of the stream, those of its standing last; a stream never heard of has none."""
    heads = database.fetch(_HEAD, {"stream": stream})
    upto = heads[0].version if heads else 2**62
    walk = _Walk(stream, hash=genesis(stream), fold=Fold(stream))
    while rows := database.fetch(_RECORDS, {"stream": stream, "after": walk.version, "upto": upto}):
        for row in rows:
            yield from (Flaw(stream, row.version, message) for message in _follow(walk, row))
    yield from (Flaw(stream, walk.version, message) for message in _close(walk, heads[0] if heads else None))
    if _beyond(database, stream, walk.version):
        yield Flaw(stream, walk.version, "the stream goes on after its standing")


def _beyond(database: Database, stream: str, version: int) -> bool:
    """Whether there are records that the standing does not know, which a writer would have moved along with them."""
    more = database.fetch(_RECORDS, {"stream": stream, "after": version, "upto": 2**62})
    heads = database.fetch(_HEAD, {"stream": stream})
    return bool(more and heads) and heads[0].version == version


def _follow(walk: _Walk, row: Row[Any]) -> Iterator[str]:
    if row.version != walk.version + 1:
        yield f"versions {walk.version + 1} to {row.version - 1} are missing"
    if row.hash != link(walk.hash, row.kind, row.at_us, row.occurred_us, row.body_hash):
        yield "the record does not follow from the one before it"
    if row.at_us < walk.at_us:
        yield "the record is older than the one before it"
    if row.body is None:
        walk.bodiless.append(row.version)
    elif row.salt is None or row.body_hash != hash_body(row.salt, row.body):
        yield "the body is not the one that was appended"
    walk.version, walk.hash, walk.at_us = row.version, row.hash, row.at_us
    walk.fold = _fold(walk.fold, row)


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
    if head is None:
        if walk.version:
            yield "the stream has records but no standing"
    elif (head.version, head.head_hash, head.at_us) != (walk.version, walk.hash, walk.at_us):
        yield "the stream does not end where its standing says"
    elif walk.fold is None:
        if not walk.bodiless:
            yield "the standing cannot be checked: a record cannot be folded"
    elif decode(walk.stream, head.version, head.body) != walk.fold:
        yield "the standing is not what the records fold to"
