"""Signed checkpoints over the heads of the streams that moved, in the database and in a file outside it.

A chain of hashes reveals a changed record. It does not reveal a stream that was written again from some record on, or
cut off together with its standing. So every ten seconds one of the processes signs the heads of the streams that moved
since the last checkpoint, the order of the records, which releases served, and who approved them; each checkpoint names
the hash of the one before. It reads only new records, outside the writer's thread: quiet streams cost nothing, and
decisions do not wait for it.

The signature is an HMAC under a key derived from the workspace's secret. A verifier needs that secret anyway, as it
names the streams, and no key file or library is required. Whoever has the secret can sign; whoever has only the
database cannot.
"""

import fcntl
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, Table, bindparam, func, insert, select

from decisioning.errors import Unavailable
from features.files import replace_file
from features.ledger.database import Database, claim
from features.ledger.tables import ACTIVATIONS, APPROVALS, CHECKPOINTS, RECORDS

Run = Callable[[Callable[[Connection], bool]], bool]
"""Runs a function in a transaction and returns its result, as `Writer.run` does."""
PERIOD_S: Final = 10.0
_CLAIM: Final = "checkpoint"
_MAX_RECORDS: Final = 10_000
"""Of one checkpoint; after an import several checkpoints cover the backlog."""
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
SEALED: Final = {"activations": ACTIVATIONS, "approvals": APPROVALS}
"""The tables that every checkpoint seals whole, by the name under which it does."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it is stored: `number` counts from 1, `body` is JSON."""

    number: int
    body: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """The hash by which the next checkpoint names this one."""
        return sha256(self.signature + self.body).hexdigest()

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed body. Verify the signature before using it."""
        content: dict[str, Any] = from_json(self.body, cache_strings="keys")
        return content

    @property
    def line(self) -> bytes:
        """The line of the file outside the database."""
        return b"%d %s %s\n" % (self.number, self.signature.hex().encode(), self.body)


UNREADABLE: Final = Checkpoint(0, b"", b"")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks under a key made from the workspace's secret."""

    secret: bytes

    def sign(self, body: bytes) -> bytes:
        """Return the HMAC-SHA256 of `body`, 32 bytes."""
        return hmac.digest(hmac.digest(self.secret, b"ledger checkpoints", "sha256"), body, "sha256")

    def verifies(self, checkpoint: Checkpoint) -> bool:
        """Tell whether the checkpoint is as this signer signed it."""
        return hmac.compare_digest(self.sign(checkpoint.body), checkpoint.signature)


class Checkpoints:
    """Adds checkpoints to one ledger."""

    def __init__(self, database: Database, run: Run, signer: Signer) -> None:
        self._database, self._run, self._signer = database, run, signer

    def take(self, now_us: int) -> Iterator[Checkpoint]:
        """Sign what is new, unless another process has claimed that, and yield each checkpoint once it is added.

        :raises Unavailable: the database cannot be reached
        """
        last = newest_checkpoint(self._database)
        if not self._has_news(last) or not self._run(partial(_claim, now_us=now_us)):
            return
        upto = self._database.settled_seq()
        while (new := self._next(last, upto, now_us)) is not None:
            if not self._run(partial(_put, new=new)):
                break  # the claim expired, and another process continued
            last = new
            yield new

    def _has_news(self, last: Checkpoint | None) -> bool:
        """Tell whether a record, or a row of a sealed table, came after the last checkpoint."""
        newest = [self._database.fetch(_NEWEST)[0].seq or 0, *(_last_seq(self._database, t) for t in SEALED.values())]
        return newest != [last.content["upto"] if last else 0, *(_sealed(last, name)[0] for name in SEALED)]

    def _next(self, last: Checkpoint | None, upto: int, now_us: int) -> Checkpoint | None:
        """Return the checkpoint after `last`, or None if nothing is new in records and sealed tables."""
        after = last.content["upto"] if last else 0
        rows = self._database.fetch(_SPAN, {"after": after, "upto": upto, "most": _MAX_RECORDS})
        sealed = {name: sealed_hash(self._database, name) for name in SEALED}
        if not rows and all(_sealed(last, name) == now for name, now in sealed.items()):
            return None
        heads = {row.stream: [row.stream, row.version, row.hash.hex()] for row in rows}
        number = last.number + 1 if last else 1
        body = to_json(
            {
                "number": number,
                "previous": last.digest if last else "",
                "at_us": now_us,
                "after": after,
                "upto": rows[-1].seq if rows else after,
                "records": len(rows),
                "order": order_hash(rows),
                **sealed,
                "heads": list(heads.values()),
            }
        )
        return Checkpoint(number, body, self._signer.sign(body))


def order_hash(rows: Sequence[Row[Any]]) -> str:
    """Return a hash over (seq, hash) of the records, in the order of seq."""
    return sha256(b"".join(row.seq.to_bytes(8, "big") + row.hash for row in rows)).hexdigest()


def sealed_hash(database: Database, name: str, upto: int | None = None) -> list[Any]:
    """Return [seq of the last row of a sealed table, a hash over all rows up to it]."""
    table = SEALED[name]
    if upto is None:
        upto = _last_seq(database, table)
    rows = database.fetch(select(table).where(table.c.seq <= upto).order_by(table.c.seq))
    return [upto, sha256(to_json([list(row) for row in rows])).hexdigest()]


def _last_seq(database: Database, table: Table) -> int:
    return int(database.fetch(select(func.max(table.c.seq).label("seq")))[0].seq or 0)


def _sealed(checkpoint: Checkpoint | None, name: str) -> list[Any]:
    """Return what a checkpoint sealed of a table; of none, and of one from before the table, that it was empty."""
    empty = [0, sha256(to_json([])).hexdigest()]
    return empty if checkpoint is None else list(checkpoint.content.get(name, empty))


def records_in(database: Database, checkpoint: Checkpoint) -> Sequence[Row[Any]]:
    """Return the records that a checkpoint covers, as they are now: at most one more than it counted."""
    content = checkpoint.content
    limits = {"after": content["after"], "upto": content["upto"], "most": content["records"] + 1}
    return database.fetch(_SPAN, limits)


def newest_checkpoint(database: Database) -> Checkpoint | None:
    """Return the newest checkpoint in the database, or None."""
    rows = database.fetch(_LAST)
    return _checkpoint(rows[0]) if rows else None


def checkpoints_after(database: Database, after: int = 0) -> Iterator[tuple[Checkpoint, int]]:
    """Yield the database's checkpoints whose number is above `after`, each with its column `upto`."""
    while rows := database.fetch(_AFTER, {"after": after, "most": _PAGE}):
        yield from ((_checkpoint(row), row.upto) for row in rows)
        after = rows[-1].number


def _checkpoint(row: Row[Any]) -> Checkpoint:
    return Checkpoint(row.number, bytes(row.body), bytes(row.signature))


def _claim(connection: Connection, now_us: int) -> bool:
    """Claim the next checkpoint for a little less than the period, as calls come late rather than early."""
    return claim(connection, _CLAIM, now_us, now_us + round(0.95 * PERIOD_S * 1_000_000))


def _put(connection: Connection, new: Checkpoint) -> bool:
    """Insert a checkpoint; return False if it does not follow the newest one."""
    newest = connection.execute(select(func.max(CHECKPOINTS.c.number))).scalar() or 0
    if newest != new.number - 1:
        return False
    values = {"number": new.number, "upto": new.content["upto"], "body": new.body, "signature": new.signature}
    connection.execute(insert(CHECKPOINTS).values(values))
    return True


class CheckpointFile:
    """The checkpoints in a file outside the database, one per line, which is only appended to.

    Every serving machine keeps its own file of all checkpoints: a database that was cut or restored has fewer than the
    file, or others. A copy of the file in another place shows this also if the whole machine is restored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append_from(self, database: Database) -> None:
        """Append the checkpoints that the database has and the file lacks, and wait until they are on disk.

        A checkpoint that does not follow the file's last line is not appended; `verify` reports it. A file that is new,
        or was deleted, begins with the newest checkpoint: what it did not see it must not vouch for.

        :raises Unavailable: the file cannot be written
        """
        with _locked(self._path) as file:
            last = _last_line(file)
            if last is None and file.tell():
                return
            number, digest = (last.number, last.digest) if last else _before_newest(database)
            size = file.tell()
            for checkpoint, _ in checkpoints_after(database, number):
                if checkpoint.content["previous"] != digest:
                    break
                file.write(checkpoint.line)
                digest = checkpoint.digest
            if file.tell() != size:
                file.flush()
                os.fsync(file.fileno())

    def last(self) -> Checkpoint | None:
        """Return the checkpoint of the last whole line; None if there is none, or if it cannot be parsed."""
        try:
            with self._path.open("rb") as file:
                whole = _whole_lines(file)[1]
        except OSError:
            return None
        return _last_of(whole)

    def lines(self) -> Iterator[Checkpoint]:
        """Yield every line in order, `UNREADABLE` for one that cannot be parsed; nothing if there is no file.

        A last line that a crash cut off is left out: its checkpoint is in the database, and will be appended again.
        """
        size = self._path.stat().st_size if self._path.exists() else 0
        return self._read(size)

    def _read(self, size: int) -> Iterator[Checkpoint]:
        """Yield the first `size` bytes' lines: the database, which is read later, has those checkpoints too."""
        if size:
            with self._path.open("rb") as file:
                for line in file:
                    size -= len(line)
                    if size >= 0 and line.endswith(b"\n"):
                        yield parse_line(line)


def _before_newest(database: Database) -> tuple[int, str]:
    """Return number and digest of the checkpoint before the newest one in the database; 0 and none if there is none."""
    newest = newest_checkpoint(database)
    return (newest.number - 1, str(newest.content["previous"])) if newest else (0, "")


def restore_file(database: Database, signer: Signer, path: Path) -> Iterator[tuple[bool, str]]:
    """Write the file anew from the database if it is missing, or if lines of it are damaged.

    Yields whether that was done, with a line about it; nothing if there is nothing to do.
    """
    lines = list(CheckpointFile(path).lines()) if path.is_file() else []
    inside = [checkpoint for checkpoint, _ in checkpoints_after(database)]
    if lines == inside[: len(lines)] and (lines or not inside):
        return
    if any(signer.verifies(line) and line not in inside for line in lines):
        yield False, f"{path} signs what the ledger lacks: put both back from the newest backup"
    elif not all(map(signer.verifies, inside)):
        yield False, "the ledger's checkpoints are not those that were signed: put the ledger back from your backup"
    else:
        replace_file(path, lambda half: _write_lines(half, inside), durable=True)
        yield True, f"{path.name} was written anew from the ledger"


def _write_lines(path: Path, checkpoints: Sequence[Checkpoint]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(checkpoint.line for checkpoint in checkpoints)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open the file for appending, with mode 0600 and an exclusive lock."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise Unavailable(f"the file of checkpoints cannot be written: {error.strerror}") from error


def _last_line(file: BinaryIO) -> Checkpoint | None:
    """Return the checkpoint of the last whole line, and truncate the file after that line."""
    end, whole = _whole_lines(file)
    file.truncate(end)
    file.seek(0, os.SEEK_END)
    return _last_of(whole)


def _last_of(lines: bytes) -> Checkpoint | None:
    last = parse_line(lines.splitlines(keepends=True)[-1]) if lines else UNREADABLE
    return None if last is UNREADABLE else last


def _whole_lines(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the last whole line ends, and the last lines up to there: at least one if there is one."""
    at, tail = file.seek(0, os.SEEK_END), b""
    end = at
    while at and tail.count(b"\n") < 2:
        size = min(_BLOCK, at)
        at = file.seek(at - size)
        tail = file.read(size) + tail
        file.seek(at)
    whole = tail[: tail.rfind(b"\n") + 1]
    return end - len(tail) + len(whole), whole


def parse_line(line: bytes) -> Checkpoint:
    """Return the checkpoint of a line, `UNREADABLE` if there is none."""
    try:
        number, signature, body = line[:-1].split(b" ", 2)
        return Checkpoint(int(number), body, bytes.fromhex(signature.decode()))
    except ValueError:
        return UNREADABLE
