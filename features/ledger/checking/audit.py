"""Verify that the whole ledger is as it was written: first the checkpoints, then every stream against them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat, zip_longest
from pathlib import Path

from sqlalchemy import bindparam, select, union

from decisioning.hashes import content_id
from features.ledger.checking.checkpoints import (
    SEALED,
    Checkpoint,
    CheckpointFile,
    Signer,
    checkpoints_after,
    newest_checkpoint,
    order_hash,
    records_in,
    sealed_hash,
)
from features.ledger.checking.damaged import page_flaws, schema_flaws, survive
from features.ledger.checking.handovers import handover_flaws
from features.ledger.checking.listings import look_flaws, request_flaws
from features.ledger.checking.mirror import Mirror
from features.ledger.checking.tables import table_flaws
from features.ledger.checking.verification import Flaw, SignedHead, keys_in, verify_stream
from features.ledger.database import Database
from features.ledger.past.rules_book import RulesBook
from features.ledger.records import Bodies
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
_SEALED = {"activations": "which release served", "approvals": "who proposed, approved and paused what"}
_SERVED = select(ACTIVATIONS.c.release).distinct().order_by(ACTIVATIONS.c.release)


@dataclass(slots=True)
class Audit:
    """One verification of the whole ledger; `flaws` can be run once.

    `file`: the file of checkpoints outside the database. `mirror`: the copy of the last one elsewhere, if there is one.
    After `flaws`, `checkpoints` is how many could be used, and `signed_heads` where they saw each stream end.
    """

    database: Database
    rules: RulesBook
    bodies: Bodies
    signer: Signer
    file: Path | None = None
    mirror: Path | None = None
    checkpoints: int = 0
    signed_heads: dict[str, SignedHead] = field(default_factory=dict)

    def flaws(self) -> Iterator[Flaw]:
        """Yield everything that is not as it was written. Memory grows with the number of streams.

        What is damaged ends one part of this at most, which is then a flaw by itself.
        """
        parts: dict[str, Callable[[], Iterator[Flaw]]] = {
            "database": self._pages,
            "mirror": self._mirror_flaws,
            "checkpoints": self._checkpoints,
            "streams": self._streams,
            "keys": self._keys,
            "releases": self._releases,
            "looks": partial(look_flaws, self.database, self.bodies),
            "requests": partial(request_flaws, self.database, self.bodies),
            "handovers": partial(handover_flaws, self.database, self.bodies),
            "tables": partial(table_flaws, self.database, self.bodies),
        }
        for name, part in parts.items():
            ended: list[str] = []
            yield from survive(part(), ended)
            yield from (Flaw(name, 0, message) for message in ended)

    def _mirror_flaws(self) -> Iterator[Flaw]:
        if self.mirror is not None:
            yield from Mirror(self.mirror, self.database, self.signer).flaws()

    def _pages(self) -> Iterator[Flaw]:
        yield from (Flaw("database", 0, message) for message in page_flaws(self.database))
        yield from (Flaw("ledger_schema", 0, message) for message in schema_flaws(self.database))

    def _checkpoints(self) -> Iterator[Flaw]:
        newest, lines = newest_checkpoint(self.database), iter(self._lines())
        first = next(lines, None)
        outside = chain(repeat(None, self._begins(first) - 1), () if first is None else (first,), lines)
        digest, after, seen = "", 0, 0
        for number, (row, line) in enumerate(zip_longest(checkpoints_after(self.database), outside), start=1):
            inside, upto = row or (None, None)
            seen = seen if line is None else number
            yield from (Flaw("checkpoints", number, message) for message in _differences(inside, line))
            checkpoint = next((c for c in (line, inside) if c is not None and self._trusted(c, number)), None)
            if checkpoint is None:
                yield Flaw("checkpoints", number, "it is not the one that was signed")
                continue
            content = checkpoint.content
            if (content["previous"], content["after"]) != (digest, after) or upto not in (None, content["upto"]):
                yield Flaw("checkpoints", number, "it does not follow from the one before it")
            yield from self._content_flaws(checkpoint)
            digest, after, self.checkpoints = checkpoint.digest, content["upto"], number
        if self.file is not None and newest is not None:
            yield from (Flaw("checkpoints", n, why) for n, why in self._file_flaws(first, seen, newest.number))

    def _lines(self) -> Iterator[Checkpoint]:
        return iter(()) if self.file is None else CheckpointFile(self.file).lines()

    def _begins(self, first: Checkpoint | None) -> int:
        """Return the number of the first checkpoint that the file says it holds, if that is signed, else 1."""
        return int(first.content["number"]) if first is not None and self.signer.verifies(first) else 1

    def _file_flaws(self, first: Checkpoint | None, last: int, newest: int) -> Iterator[tuple[int, str]]:
        """Yield what the file lacks: the last one may be on its way, and a server may have joined others later."""
        if first is None:
            yield newest, "the file that is kept outside the database is gone or empty"
        elif last < newest - 1:
            yield last, "the file that is kept outside the database ends here"
        if self.database.sqlite and (begins := self._begins(first)) > 1:
            yield begins, "the file that is kept outside the database begins here: the one before it was deleted"

    def _trusted(self, checkpoint: Checkpoint, number: int) -> bool:
        return self.signer.verifies(checkpoint) and checkpoint.number == checkpoint.content["number"] == number

    def _content_flaws(self, checkpoint: Checkpoint) -> Iterator[Flaw]:
        """Compare records and activations with a checkpoint, and keep its heads to compare them with the streams."""
        content = checkpoint.content
        heads = ((stream, (version, bytes.fromhex(digest))) for stream, version, digest in content["heads"])
        self.signed_heads.update(heads)
        if order_hash(records_in(self.database, checkpoint)) != content["order"]:
            yield Flaw("checkpoints", checkpoint.number, "its records are not there as they were, or in another order")
        for name in SEALED.keys() & content.keys():
            if sealed_hash(self.database, name, content[name][0]) != content[name]:
                yield Flaw("checkpoints", checkpoint.number, f"{_SEALED[name]} until then is not what it was")

    def _streams(self) -> Iterator[Flaw]:
        remaining, after = dict(self.signed_heads), ""
        while rows := self.database.fetch(_STREAMS, {"after": after}):
            for row in rows:
                signed = remaining.pop(row.stream, None)
                yield from verify_stream(self.database, self.rules, self.bodies, row.stream, signed)
            after = rows[-1].stream
        for stream, (version, _) in sorted(remaining.items()):
            yield Flaw(stream, version, "a checkpoint saw the stream up to here, and all of it is gone")

    def _keys(self) -> Iterator[Flaw]:
        """Yield keys that their record does not list, and keys without a record; older records list none."""
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


def _differences(inside: Checkpoint | None, outside: Checkpoint | None) -> Iterator[str]:
    """Yield how the database's checkpoint differs from the file's.

    A checkpoint that only the database has is no flaw: it is yet to be appended to the file.
    """
    if inside is None:
        yield "it is kept outside the database, and gone from it"
    elif outside is not None and outside != inside:
        yield "the one that is kept outside the database is another"
