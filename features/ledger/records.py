"""What goes into the ledger and what comes out."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import Row

from decisioning.errors import Conflict, Refused, RequestError
from decisioning.times import DAY_US
from features.ledger.chain import hash_body, new_salt
from features.ledger.standing import KINDS

_STREAM = re.compile(r"[0-9a-f]{40}")
_FUTURE_US = DAY_US
"""Clocks of other systems may be wrong by this much; a later time would make the fold forget all that is older."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append. The bodies of each kind: `features.ledger.standing`.

    `occurred_us`: when it happened in the world. `expected`: the version of the stream that the writer read, before
    this append; None appends at the head. `key`: appended at most once in the whole ledger under this name; `aliases`
    are further such names, under which `lookup` finds it as well.
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
    """A record as it stands in the ledger; `body` is None once its subject is erased.

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
    """From `at_us` on, `environment` served `release`; `by` is who said so."""

    seq: int
    environment: str
    release: str
    at_us: int
    by: str


class Duplicate(Conflict):
    """A record with this key is there already (`record`); nothing of the append was written."""

    def __init__(self, record: Record) -> None:
        self.record = record
        super().__init__("a record with this key is in the ledger already")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An entry as the writer takes it: checked, encoded, salted and hashed by the thread that submits it."""

    entry: Entry
    raw: bytes
    salt: bytes
    body_hash: bytes
    keys: tuple[str, ...]


def keyed_hash(secret: bytes, text: str) -> str:
    """HMAC-SHA256 in hex, its first 40 characters: streams and keys hold no ids."""
    return hmac.digest(secret, text.encode(errors="surrogatepass"), "sha256").hex()[:40]


@dataclass(frozen=True, slots=True)
class Names:
    """How streams and keys are named; can be handed to another process."""

    secret: bytes = field(repr=False)

    def stream_of(self, kind: str, subject_id: str) -> str:
        """The stream of a subject."""
        return keyed_hash(self.secret, f"{kind}:{subject_id}")

    def key_of(self, text: str) -> str:
        """Under which something is kept once."""
        return keyed_hash(self.secret, f"key:{text}")


def prepare(entry: Entry, secret: bytes, now_us: int) -> Prepared:
    """
    :raises RequestError: `occurred_us` lies more than a day ahead
    :raises Refused: the kind is unknown, or the body is no JSON object
    """
    if entry.kind not in KINDS:
        raise Refused(f"the ledger appends no records of kind {entry.kind!r}")
    if not _STREAM.fullmatch(entry.stream):
        raise Refused("a stream is named by stream_of(), never by an id")
    if not -(2**62) < entry.occurred_us <= now_us + _FUTURE_US:
        raise RequestError("occurred_at", "lies in the future; check the sender's clock and time zone")
    raw, salt = encode_body(entry.body), new_salt()
    names = entry.aliases if entry.key is None else (entry.key, *entry.aliases)
    keys = tuple(keyed_hash(secret, f"key:{name}") for name in names)
    return Prepared(entry, raw, salt, hash_body(salt, raw), keys)


def encode_body(body: Mapping[str, Any]) -> bytes:
    """
    :raises Refused: it is no JSON object
    """
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise Refused("the body of a record must be a JSON object") from error


def record_of(row: Row[Any]) -> Record:
    """A row of the records table, its body decoded."""
    body = None if row.body is None else from_json(row.body, cache_strings="keys")
    return Record(row.seq, row.stream, row.version, row.kind, row.at_us, row.occurred_us, body)
