"""Signed checkpoints over the heads of the streams that moved, in the database and in a file outside it.

A chain of hashes shows what was changed, not what was made anew from some record on, or cut off with its standing. So
every ten seconds one of all processes signs where each stream ends that moved since the checkpoint before, and in
which order all records stand; each checkpoint names the hash of the one before. It reads the new records alone, not in
the writer's thread: quiet streams cost nothing, and the path of a decision is as long as it was.

The signature is an HMAC under a key made from the workspace's secret. Whoever checks needs that secret anyway, as it
names the streams, and it asks for no key file and no library; who holds the secret can sign, who holds the database
cannot.
"""

import fcntl
import hmac
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from decisioning.errors import Unavailable
from features.ledger.database import Database
from features.ledger.tables import ACTIVATIONS, CHECKPOINTS, CLAIMS, RECORDS
from features.ledger.writer import Writer

PERIOD_S: Final = 10.0
_CLAIM: Final = "checkpoint"
_MAX_RECORDS: Final = 10_000
"""In one checkpoint: what is behind, after an import, is caught up with in several."""
_PAGE: Final = 50
_BLOCK: Final = 65_536
_LAST = select(CHECKPOINTS).order_by(CHECKPOINTS.c.number.desc()).limit(1)
_AFTER = (
    select(CHECKPOINTS)
    .where(CHECKPOINTS.c.number > bindparam("after"))
    .order_by(CHECKPOINTS.c.number)
    .limit(bindparam("most"))
)
_NEWEST = select(func.max(RECORDS.c.seq).label("seq"))
_SPAN = (
    select(RECORDS.c.seq, RECORDS.c.stream, RECORDS.c.version, RECORDS.c.hash)
    .where(RECORDS.c.seq > bindparam("after"), RECORDS.c.seq <= bindparam("upto"))
    .order_by(RECORDS.c.seq)
    .limit(bindparam("most"))
)
_ACTIVATIONS = select(ACTIVATIONS).where(ACTIVATIONS.c.seq <= bindparam("upto")).order_by(ACTIVATIONS.c.seq)
_LAST_ACTIVATION = select(func.max(ACTIVATIONS.c.seq).label("seq"))


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as it is kept; `number` counts from 1, `body` is JSON."""

    number: int
    body: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """What the next one names."""
        return sha256(self.signature + self.body).hexdigest()

    @cached_property
    def told(self) -> dict[str, Any]:
        """The body; to be read of one whose signature holds."""
        found: dict[str, Any] = from_json(self.body, cache_strings="keys")
        return found

    @property
    def line(self) -> bytes:
        """As the file outside the database has it."""
        return b"%d %s %s\n" % (self.number, self.signature.hex().encode(), self.body)


NONE: Final = Checkpoint(0, b"", b"")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks under a key made from the workspace's secret."""

    secret: bytes

    def sign(self, body: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes."""
        return hmac.digest(hmac.digest(self.secret, b"ledger checkpoints", "sha256"), body, "sha256")

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether it was signed here as it is."""
        return hmac.compare_digest(self.sign(checkpoint.body), checkpoint.signature)


class Checkpoints:
    """What takes the checkpoints of one ledger."""

    def __init__(self, database: Database, writer: Writer, signer: Signer) -> None:
        self._database, self._writer, self._signer = database, writer, signer

    def take(self, now_us: int) -> int:
        """Sign what is new, unless another process has that in hand; how many checkpoints were added.

        :raises Unavailable: the database cannot be reached
        """
        last = last_of(self._database)
        if self._database.fetch(_NEWEST)[0].seq in (None, last.told["upto"] if last else 0):
            return 0
        if not self._writer.run(partial(_claim, now_us=now_us)):
            return 0
        upto, taken = self._database.settled(), 0
        while (new := self._next(last, upto, now_us)) is not None:
            if not self._writer.run(partial(_put, new=new)):
                break  # our claim had lapsed, and another went on from there
            last, taken = new, taken + 1
        return taken

    def _next(self, last: Checkpoint | None, upto: int, now_us: int) -> Checkpoint | None:
        """The checkpoint after `last`; None where nothing is new."""
        after = last.told["upto"] if last else 0
        rows = self._database.fetch(_SPAN, {"after": after, "upto": upto, "most": _MAX_RECORDS})
        if not rows:
            return None
        heads = {row.stream: [row.stream, row.version, row.hash.hex()] for row in rows}
        number = last.number + 1 if last else 1
        body = to_json(
            {
                "number": number,
                "previous": last.digest if last else "",
                "at_us": now_us,
                "after": after,
                "upto": rows[-1].seq,
                "records": len(rows),
                "order": order_of(rows),
                "activations": activations_upto(self._database),
                "heads": list(heads.values()),
            }
        )
        return Checkpoint(number, body, self._signer.sign(body))


def order_of(rows: Sequence[Row[Any]]) -> str:
    """A hash over (seq, hash) of records, in the order of seq."""
    return sha256(b"".join(row.seq.to_bytes(8, "big") + row.hash for row in rows)).hexdigest()


def activations_upto(database: Database, upto: int | None = None) -> list[Any]:
    """[seq of the last activation of a release, a hash over all of them until then]."""
    if upto is None:
        upto = int(database.fetch(_LAST_ACTIVATION)[0].seq or 0)
    rows = [list(row) for row in database.fetch(_ACTIVATIONS, {"upto": upto})]
    return [upto, sha256(to_json(rows)).hexdigest()]


def span(database: Database, checkpoint: Checkpoint) -> Sequence[Row[Any]]:
    """The records that a checkpoint is about, as they are now; one more than it counted, where there are more."""
    told = checkpoint.told
    return database.fetch(_SPAN, {"after": told["after"], "upto": told["upto"], "most": told["records"] + 1})


def last_of(database: Database) -> Checkpoint | None:
    """The newest checkpoint in the database."""
    rows = database.fetch(_LAST)
    return _checkpoint(rows[0]) if rows else None


def all_of(database: Database, after: int = 0) -> Iterator[tuple[Checkpoint, int]]:
    """Every checkpoint in the database from a number on, with what its column `upto` says."""
    while rows := database.fetch(_AFTER, {"after": after, "most": _PAGE}):
        yield from ((_checkpoint(row), row.upto) for row in rows)
        after = rows[-1].number


def _checkpoint(row: Row[Any]) -> Checkpoint:
    return Checkpoint(row.number, bytes(row.body), bytes(row.signature))


def _claim(connection: Connection, now_us: int) -> bool:
    """Whether it is ours to take the next; a little less than the period, as looks come late rather than early."""
    until_us = now_us + round(0.95 * PERIOD_S * 1_000_000)
    mine = (CLAIMS.c.name == _CLAIM) & (CLAIMS.c.until_us <= now_us)
    if connection.execute(update(CLAIMS).where(mine).values(until_us=until_us)).rowcount:
        return True
    if connection.execute(select(CLAIMS.c.name).where(CLAIMS.c.name == _CLAIM)).first():
        return False
    connection.execute(insert(CLAIMS).values(name=_CLAIM, until_us=until_us))
    return True


def _put(connection: Connection, new: Checkpoint) -> bool:
    newest = connection.execute(select(func.max(CHECKPOINTS.c.number))).scalar() or 0
    if newest != new.number - 1:
        return False
    values = {"number": new.number, "upto": new.told["upto"], "body": new.body, "signature": new.signature}
    connection.execute(insert(CHECKPOINTS).values(values))
    return True


class CheckpointFile:
    """The checkpoints in a file outside the database, one a line, only ever appended to.

    Every machine that serves keeps its own, whoever took them: a database that is cut, or put back, has fewer than the
    file, or others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, database: Database) -> None:
        """Append what the database has and the file has not, durably.

        What does not follow on the file's last line is not appended: `verify` tells of it.

        :raises Unavailable: the file cannot be written
        """
        with _written(self._path) as file:
            last = _last_line(file)
            if last is None and file.tell():
                return
            number, digest = (last.number, last.digest) if last else (0, "")
            for checkpoint, _ in all_of(database, number):
                if checkpoint.told["previous"] != digest:
                    break
                file.write(checkpoint.line)
                digest = checkpoint.digest
            if digest != (last.digest if last else ""):
                file.flush()
                os.fsync(file.fileno())

    def lines(self) -> Iterator[Checkpoint]:
        """Every line in order, `NONE` for one that cannot be read; nothing where there is no file.

        A line that was cut off by a crash is left out: its checkpoint is in the database, and appended again.
        """
        size = self._path.stat().st_size if self._path.exists() else 0
        return self._read(size)

    def _read(self, size: int) -> Iterator[Checkpoint]:
        """What was there at the call: the database, looked at later, has it too."""
        if size:
            with self._path.open("rb") as file:
                for line in file:
                    size -= len(line)
                    if size >= 0 and line.endswith(b"\n"):
                        yield _parsed(line) or NONE


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """Open for appending, private, and ours alone; a line that a crash cut off is taken away."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise Unavailable(f"the file of checkpoints cannot be written: {error.strerror}") from error


def _last_line(file: BinaryIO) -> Checkpoint | None:
    """The last whole line; what follows it is cut away."""
    end, tail = file.seek(0, os.SEEK_END), b""
    at = end
    while at and tail.count(b"\n") < 2:
        size = min(_BLOCK, at)
        at = file.seek(at - size)
        tail = file.read(size) + tail
        file.seek(at)
    whole = tail[: tail.rfind(b"\n") + 1]
    file.truncate(end - len(tail) + len(whole))
    file.seek(0, os.SEEK_END)
    return _parsed(whole.splitlines(keepends=True)[-1]) if whole else None


def _parsed(line: bytes) -> Checkpoint | None:
    try:
        number, signature, body = line[:-1].split(b" ", 2)
        return Checkpoint(int(number), body, bytes.fromhex(signature.decode()))
    except ValueError:
        return None
