"""Whether the whole ledger is as it was written: checkpoints first, then what they say of every stream."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from sqlalchemy import bindparam, select, union

from decisioning.hashes import content_id
from features.ledger.checking.checkpoints import (
    Checkpoint,
    CheckpointFile,
    Signer,
    activations_upto,
    all_of,
    order_of,
    span,
)
from features.ledger.checking.verification import Flaw, Sealed, keys_in, verify_stream
from features.ledger.database import Database
from features.ledger.tables import ACTIVATIONS, KEYS, RECORDS, RELEASES, STANDINGS

_PAGE = 500
_STREAMS = (
    union(
        select(STANDINGS.c.stream).where(STANDINGS.c.stream > bindparam("after")),
        select(RECORDS.c.stream).where(RECORDS.c.stream > bindparam("after")),
    )
    .order_by("stream")
    .limit(_PAGE)
)
_KEYS = (
    select(KEYS, RECORDS.c.own_keys, RECORDS.c.seq)
    .outerjoin(RECORDS, (KEYS.c.stream == RECORDS.c.stream) & (KEYS.c.version == RECORDS.c.version))
    .where(KEYS.c.key > bindparam("after"))
    .order_by(KEYS.c.key)
    .limit(_PAGE)
)
_RELEASES = select(RELEASES.c.hash)
_SERVED = select(ACTIVATIONS.c.release).distinct().order_by(ACTIVATIONS.c.release)


@dataclass(slots=True)
class Audit:
    """One look at everything; `flaws` may be run once.

    :param kept: the file outside the database, if this machine has one
    """

    database: Database
    signer: Signer
    kept: Path | None = None
    checkpoints: int = 0
    sealed: dict[str, Sealed] = field(default_factory=dict)

    def flaws(self) -> Iterator[Flaw]:
        """What is not as it was written; memory goes with the number of streams."""
        yield from self._checkpoints()
        yield from self._streams()
        yield from self._keys()
        yield from self._releases()

    def _checkpoints(self) -> Iterator[Flaw]:
        outside = CheckpointFile(self.kept).lines() if self.kept is not None else iter(())
        digest, after = "", 0
        for number, (found, line) in enumerate(zip_longest(all_of(self.database), outside), start=1):
            inside, upto = found or (None, None)
            yield from (Flaw("checkpoints", number, message) for message in _compared(inside, line))
            checkpoint = next((c for c in (line, inside) if c is not None and self._trusted(c, number)), None)
            if checkpoint is None:
                yield Flaw("checkpoints", number, "it is not the one that was signed")
                continue
            told = checkpoint.told
            if (told["previous"], told["after"]) != (digest, after) or upto not in (None, told["upto"]):
                yield Flaw("checkpoints", number, "it does not follow from the one before it")
            yield from self._kept_to(checkpoint)
            digest, after, self.checkpoints = checkpoint.digest, told["upto"], number

    def _trusted(self, checkpoint: Checkpoint, number: int) -> bool:
        return self.signer.holds(checkpoint) and checkpoint.number == checkpoint.told["number"] == number

    def _kept_to(self, checkpoint: Checkpoint) -> Iterator[Flaw]:
        """Whether the records are those that it saw; where each stream ended is remembered for the stream's turn."""
        told = checkpoint.told
        self.sealed.update((stream, (version, bytes.fromhex(digest))) for stream, version, digest in told["heads"])
        if order_of(span(self.database, checkpoint)) != told["order"]:
            yield Flaw("checkpoints", checkpoint.number, "its records are not there as they were, or in another order")
        if activations_upto(self.database, told["activations"][0]) != told["activations"]:
            yield Flaw("checkpoints", checkpoint.number, "which release served until then is not what it was")

    def _streams(self) -> Iterator[Flaw]:
        left, after = dict(self.sealed), ""
        while rows := self.database.fetch(_STREAMS, {"after": after}):
            for row in rows:
                yield from verify_stream(self.database, row.stream, left.pop(row.stream, None))
            after = rows[-1].stream
        for stream, (version, _) in sorted(left.items()):
            yield Flaw(stream, version, "a checkpoint saw the stream up to here, and all of it is gone")

    def _keys(self) -> Iterator[Flaw]:
        """Keys that no record has; of records from before the chain covered them, only those without a record."""
        after = ""
        while rows := self.database.fetch(_KEYS, {"after": after}):
            for row in rows:
                listed = row.own_keys is None or row.key in keys_in(row.own_keys)
                if row.seq is None or not listed:
                    yield Flaw(row.stream, row.version, "a key leads here that is not the record's")
            after = rows[-1].key

    def _releases(self) -> Iterator[Flaw]:
        names = {row.hash for row in self.database.fetch(_RELEASES)}
        for name in sorted(names):
            content = self.database.fetch(select(RELEASES.c.bytes).where(RELEASES.c.hash == name))
            if content and content_id([content[0].bytes]) != name:
                yield Flaw("releases", 0, f"the bytes of {name} are not what it names")
        for row in self.database.fetch(_SERVED):
            if row.release not in names:
                yield Flaw("releases", 0, f"{row.release} served, and is gone")


def _compared(inside: Checkpoint | None, outside: Checkpoint | None) -> Iterator[str]:
    """A file that is behind the database is appended to; a database that is behind the file has lost something."""
    if inside is None:
        yield "it is kept outside the database, and gone from it"
    elif outside is not None and outside != inside:
        yield "the one that is kept outside the database is another"
