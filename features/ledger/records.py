"""Entries that go into the ledger, and records that come out of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import Row

from decisioning.errors import Conflict, Refused, RequestError
from decisioning.times import DAY_US
from features.ledger.chain import hash_body, new_salt
from features.ledger.past.changes import NO_CHANGES, PastChanges, changes_of
from features.ledger.standing import KINDS

_BLOCK = 64
"""Bytes that SHA-256 takes at a time."""
_STREAM = re.compile(r"[0-9a-f]{40}")
UNUSABLE_BODY = (KeyError, TypeError, ValueError, AttributeError)
"""What folding raises if a record's body lacks what the standing is made of."""
_FUTURE_US = DAY_US
"""Allowance for wrong clocks in other systems. A time further ahead would make the fold drop all that is older."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append. `features.ledger.standing` describes the body of each kind.

    `occurred_us`: when it happened in the world. `expected`: the version of the stream that the caller has read; None
    appends to the stream whatever its version. `key`: a name under which the ledger accepts at most one record;
    `aliases`: further such names, under which `lookup` finds the record too.
    """

    stream: str
    kind: str
    body: Mapping[str, Any]
    occurred_us: int
    expected: int | None = None
    key: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the ledger. `body` is None once its subject has been erased.

    `seq`: its number in the whole ledger, ascending in the order of `scan`. `at_us`: when it was recorded.
    """

    seq: int
    stream: str
    version: int
    kind: str
    at_us: int
    occurred_us: int
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Activation:
    """`environment` serves `release` from `at_us` on; `by` is who activated it."""

    seq: int
    environment: str
    release: str
    at_us: int
    by: str


class Duplicate(Conflict):
    """The ledger already holds a record with this key (`record`); nothing of the append was written."""

    def __init__(self, record: Record) -> None:
        self.record = record
        super().__init__("a record with this key is in the ledger already")


@dataclass(frozen=True, slots=True)
class PreparedEntry:
    """An entry that is ready to write: checked, encoded, salted and hashed by the thread that submits it.

    `changes`: what it changes in the past of its stream; None if its body lacks what it needs.
    """

    entry: Entry
    raw: bytes
    salt: bytes
    body_hash: bytes
    keys: tuple[bytes, ...]
    changes: PastChanges | None = NO_CHANGES


def keyed_hash(secret: bytes, text: str) -> str:
    """Return the first 40 hex characters of HMAC-SHA256, so that streams and keys contain no ids."""
    inner, outer = (padded.copy() for padded in _padded(secret))
    inner.update(text.encode(errors="surrogatepass"))
    outer.update(inner.digest())
    return str(outer.hexdigest()[:40])


@lru_cache(maxsize=8)
def _padded(secret: bytes) -> tuple[Any, Any]:
    """Return the hashes of HMAC's inner and outer key (RFC 2104). Copying them takes half as long as `hmac.digest`."""
    key = (secret if len(secret) <= _BLOCK else sha256(secret).digest()).ljust(_BLOCK, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))


@dataclass(frozen=True, slots=True)
class Names:
    """The naming of streams and keys; can be sent to another process."""

    secret: bytes = field(repr=False)

    def stream_of(self, kind: str, subject_id: str) -> str:
        """Return the stream of a subject of this kind."""
        return keyed_hash(self.secret, f"{kind}:{subject_id}")

    def key_of(self, text: str) -> str:
        """Return the key under which one record or event is kept."""
        return keyed_hash(self.secret, f"key:{text}")


def prepare(entry: Entry, secret: bytes, now_us: int) -> PreparedEntry:
    """Check, encode, salt and hash an entry.

    :raises RequestError: `occurred_us` lies more than a day ahead
    :raises Refused: the kind is unknown, or the body is not a JSON object
    """
    if entry.kind not in KINDS:
        raise Refused(f"the ledger appends no records of kind {entry.kind!r}")
    if not _STREAM.fullmatch(entry.stream):
        raise Refused("a stream is named by stream_of(), never by an id")
    if not -(2**62) < entry.occurred_us <= now_us + _FUTURE_US:
        raise RequestError("occurred_at", "lies in the future; check the sender's clock and time zone")
    raw, salt = encode_body(entry.body), new_salt()
    names = entry.aliases if entry.key is None else (entry.key, *entry.aliases)
    keys = tuple(bytes.fromhex(keyed_hash(secret, f"key:{name}")) for name in names)
    return PreparedEntry(entry, raw, salt, hash_body(salt, raw), keys, _changes_of(entry))


def _changes_of(entry: Entry) -> PastChanges | None:
    try:
        return changes_of(entry.kind, entry.body, entry.occurred_us)
    except UNUSABLE_BODY:
        return None


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Return the body as JSON.

    :raises Refused: it is not a JSON object
    """
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise Refused("the body of a record must be a JSON object") from error


def record_of(row: Row[Any]) -> Record:
    """Return a row of the records table as a record, its body decoded."""
    body = None if row.body is None else from_json(row.body, cache_strings="keys")
    return Record(row.seq, row.stream, row.version, row.kind, row.at_us, row.occurred_us, body)
