"""Entries that go into the ledger, and records that come out of it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import Row

from decisioning.catalogue.release import Release
from decisioning.errors import ConfigError, Conflict, NotFound, Refused, RequestError
from decisioning.facts.forms import canonical
from decisioning.records.formats import heading_in, is_packed, release_of, unpack
from decisioning.review.drawn_odds import figures_in
from decisioning.times import AS_RECORDED, FUTURE_TIME, TOLERANCE_US, counted_us
from features.ledger.chain import hash_body, new_salt
from features.ledger.past.changes import NO_CHANGES, PastChanges, changes_of
from features.ledger.past.counted import Counted
from features.ledger.standing import KINDS

_BLOCK = 64
"""Bytes that SHA-256 takes at a time."""
_STREAM = re.compile(r"[0-9a-f]{40}")
_FOREVER_US = 2**62
_OURS = frozenset(("decision", "account_decision"))
"""Kinds of records whose times are of our own clock: they are never refused."""
_WORDS = frozenset(("consent", "link", "unlink", "linked_to", "flag"))
"""Kinds of records of which a newer one takes the place of an older one."""
PACKED_KIND = "decision"
"""The kind of records whose body may be packed."""
UNUSABLE_BODY = (KeyError, TypeError, ValueError, AttributeError, Refused, NotFound, ConfigError)
"""What reading or folding a record's body raises if it lacks what the standing is made of."""
LOOK = "look"
"""The kind of records that somebody looked at a subject."""
OVERRIDE, CORRECTION = JUDGEMENTS = ("override", "correction")
"""The kinds of records of what a person said of a suggestion, and of a message."""
_JUDGEMENT_IDS = ("override_id", "correction_id")
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PackedBody:
    """The body of a decision as it is kept, and what folding reads of it: the contacts that the decision reserves."""

    raw: bytes
    contacts: Sequence[Fields]

    @property
    def folded(self) -> Fields:
        """The fields that folding reads."""
        return {"contacts": self.contacts}


def encode_body(body: Fields | PackedBody) -> bytes:
    """Return the body as bytes: as it was packed, else as JSON.

    :raises Refused: it is not a JSON object
    """
    if isinstance(body, PackedBody):
        return body.raw
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise Refused("the body of a record must be a JSON object") from error


class Bodies:
    """Reads bodies. `release_bytes` returns the bytes of a release by its name, as `Ledger.get_release` does."""

    def __init__(self, release_bytes: Callable[[str], bytes]) -> None:
        self._release_bytes = release_bytes
        self.release = lru_cache(maxsize=32)(self._compiled)

    def _compiled(self, name: str) -> Release:
        """Return the release of this name, compiled; raises as `Ledger.get_release` does, and ConfigError."""
        return Release.from_bytes(self._release_bytes(name))

    def read(self, raw: bytes) -> dict[str, Any]:
        """Return a body as JSON types.

        :raises Refused: a newer version packed it, or it is not as it was packed
        :raises NotFound: the release that it needs is not kept here
        :raises ValueError: it is not JSON
        """
        if is_packed(raw):
            return unpack(raw, self.release(release_of(raw)))
        body: dict[str, Any] = from_json(raw, cache_strings="keys")
        return body

    def read_folded(self, raw: bytes) -> Fields:
        """Return what folding reads of a body, and of a decision its request; raises as `read` does."""
        return heading_in(raw, self.release(release_of(raw))) if is_packed(raw) else self.read(raw)

    def figures_as_json(self, raw: bytes) -> bytes:
        """Return a body as JSON, of a packed decision what models are trained on; raises as `read` does."""
        return canonical(figures_in(raw, self.release(release_of(raw)))) if is_packed(raw) else raw


def reason_of(look: Mapping[str, Any]) -> str:
    """Return why a look was taken, as its table has it: `ROLE:PURPOSE`."""
    return f"{look['role']}:{look['purpose']}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append. `features.ledger.standing` describes the body of each kind.

    `occurred_us`: when it happened in the world; None: at the stream's own time, which never decreases. `expected`: the
    version of the stream that the caller has read; None appends to the stream whatever its version. `key`: a name under
    which the ledger accepts at most one record; `aliases`: further such names, under which `lookup` finds the record.
    """

    stream: str
    kind: str
    body: Fields | PackedBody
    occurred_us: int | None
    expected: int | None = None
    key: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def folded(self) -> Fields:
        """What folding reads of the body."""
        return self.body.folded if isinstance(self.body, PackedBody) else self.body


@dataclass(frozen=True)
class Record:
    """A record of the ledger.

    `seq`: its number in the whole ledger, ascending in the order of `scan`. `at_us`: when it was recorded. `raw`: its
    body as it is kept, None once its subject has been erased. `bodies` reads it.
    """

    seq: int
    stream: str
    version: int
    kind: str
    at_us: int
    occurred_us: int
    raw: bytes | None
    bodies: Bodies = field(repr=False, compare=False)

    @property
    def counted_us(self) -> int:
        """When it counts as having happened."""
        return AS_RECORDED.counted_us(self.occurred_us, self.at_us)

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The body as JSON types, None once its subject has been erased; raises as `Bodies.read` does."""
        return None if self.raw is None else self.bodies.read(self.raw)

    @property
    def folded(self) -> Fields | None:
        """What folding reads of the body, and of a decision `request` and `release`; None once it was erased.

        Reading it is much less work than reading all of a decision; raises as `Bodies.read` does.
        """
        return None if self.raw is None else self.bodies.read_folded(self.raw)


def without_undone(records: Iterable[Record]) -> list[Record]:
    """Return records without those of what people judged that were undone, and without what undid them."""
    every = list(records)
    judged = {record.seq: record.body or {} for record in every if record.kind in JUDGEMENTS}
    undone = {body["undoes"] for body in judged.values() if "undoes" in body}
    left_out = {seq for seq, body in judged.items() if "undoes" in body or undone & {*map(body.get, _JUDGEMENT_IDS)}}
    return [record for record in every if record.seq not in left_out]


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

    `occurred_us`: when it counts as having happened. `changes`: what it changes in the past of its stream; None if its
    body lacks what it needs.
    """

    entry: Entry
    raw: bytes
    salt: bytes
    body_hash: bytes
    keys: tuple[bytes, ...]
    occurred_us: int
    changes: PastChanges | None = NO_CHANGES

    def recorded(self, now_us: int, recorded_us: int) -> "PreparedEntry":
        """Return the entry with the time that counts once it is recorded; the times are those of `counted_us`.

        :raises RequestError: it lies more than `TOLERANCE_US` ahead of its recording
        """
        told_us = self.entry.occurred_us
        if told_us is not None and told_us > recorded_us + TOLERANCE_US and self.entry.kind not in _OURS:
            raise RequestError("occurred_at", FUTURE_TIME)
        at_us = counted_us(told_us, now_us, recorded_us) if self.entry.kind in _WORDS else self._at_most(recorded_us)
        if at_us == self.occurred_us and not self._states_times:
            return self
        return replace(self, occurred_us=at_us, changes=_changes_of(self.entry, at_us, recorded_us))

    def _at_most(self, recorded_us: int) -> int:
        """Return the told time as it is, so that it is the same on every stream, but not after its recording."""
        return recorded_us if self.entry.occurred_us is None else min(self.entry.occurred_us, recorded_us)

    @property
    def _states_times(self) -> bool:
        """Whether the body states times of its own."""
        return self.entry.kind == "observation" and "outcomes" in self.entry.folded


def keyed_hash(secret: bytes, text: str) -> str:
    """Return the first 40 hex characters of HMAC-SHA256, so that streams and keys contain no ids."""
    inner, outer = _padded(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(text.encode(errors="surrogatepass"))
    outer.update(inner.digest())
    return str(outer.hexdigest()[:40])


@lru_cache(maxsize=8)
def _padded(secret: bytes) -> tuple[Any, Any]:
    """Return the hashes of HMAC's inner and outer key (RFC 2104). Copying them takes half as long as `hmac.digest`."""
    key = (secret if len(secret) <= _BLOCK else sha256(secret).digest()).ljust(_BLOCK, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))


PERISHING = ("presence", "assignment")
"""The kinds of records, of what agents did, whose bodies are overwritten when their time is over."""


def looks_of(stream: str) -> str:
    """Return the stream with the looks that were taken at a subject.

    It is a stream beside the subject's own, so that a look changes no version and no standing that a decision reads.
    """
    return sha256(f"{stream}.looks".encode()).hexdigest()[:40]


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

    :raises RequestError: `occurred_us` is no time
    :raises Refused: the kind is unknown, or the body is not a JSON object
    """
    if entry.kind not in KINDS or (isinstance(entry.body, PackedBody) and entry.kind != PACKED_KIND):
        raise Refused(f"the ledger appends no such records of kind {entry.kind!r}")
    if not _STREAM.fullmatch(entry.stream):
        raise Refused("a stream is named by stream_of(), never by an id")
    occurred_us = now_us if entry.occurred_us is None else entry.occurred_us
    if not abs(occurred_us) < _FOREVER_US:
        raise RequestError("occurred_at", "is no time that can be kept")
    raw, salt = encode_body(entry.body), new_salt()
    names = entry.aliases if entry.key is None else (entry.key, *entry.aliases)
    keys = tuple(bytes.fromhex(keyed_hash(secret, f"key:{name}")) for name in names)
    changes = _changes_of(entry, occurred_us, _FOREVER_US)
    return PreparedEntry(entry, raw, salt, hash_body(salt, raw), keys, occurred_us, changes)


def _changes_of(entry: Entry, occurred_us: int, recorded_us: int) -> PastChanges | None:
    try:
        at_us, body = Counted(AS_RECORDED).of(entry.kind, entry.folded, occurred_us, recorded_us)
        return changes_of(entry.kind, body, at_us)
    except UNUSABLE_BODY:
        return None


def record_of(row: Row[Any], bodies: Bodies) -> Record:
    """Return a row of the records table as a record, whose body is read when it is asked for."""
    times = {"at_us": row.at_us, "occurred_us": row.occurred_us}
    return Record(row.seq, row.stream, row.version, row.kind, **times, raw=row.body, bodies=bodies)
