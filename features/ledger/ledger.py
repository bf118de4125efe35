"""The ledger: one append-only stream per subject, what it folds to, and the releases decisions were made with."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Connection, Row, bindparam, case, insert, null, select, union_all
from sqlalchemy.sql import Executable

from decisioning.errors import NotFound, Refused
from decisioning.facts.standing import Standing
from decisioning.hashes import content_id
from features.ledger.checking.audit import Audit
from features.ledger.checking.checkpoints import CheckpointFile, Checkpoints, Signer
from features.ledger.checking.verification import Flaw, verify_stream
from features.ledger.database import Database, upsert
from features.ledger.links import erase_subject
from features.ledger.records import Activation, Entry, Names, Prepared, Record, prepare, record_of
from features.ledger.snapshot import decode
from features.ledger.standing import NEVER_US, Fold, apply
from features.ledger.tables import ACTIVATIONS, CLAIMS, KEYS, PAUSES, RECORDS, RELEASES, SIGNAL_STATES, STANDINGS
from features.ledger.writer import Submission, Writer

_T = TypeVar("_T")
SubjectKind = Literal["person", "account", "visitor"]
_PAGE = 500
_IMPORT_CHUNK = 200
_IMPORT_PAUSE_S = 0.001
_COLUMNS = (STANDINGS.c.stream, STANDINGS.c.version, STANDINGS.c.body)
_TWO = select(*_COLUMNS).where((STANDINGS.c.stream == bindparam("first")) | (STANDINGS.c.stream == bindparam("second")))
_SEVERAL = select(*_COLUMNS).where(STANDINGS.c.stream.in_(bindparam("streams", expanding=True)))
_SIGNALS = case((SIGNAL_STATES.c.body.is_(None), -1), else_=SIGNAL_STATES.c.version)
_SIGNALLED = select(SIGNAL_STATES.c.stream, _SIGNALS.label("version"), null().label("body"))
_SEVERAL_SIGNALLED = union_all(
    _SEVERAL, _SIGNALLED.where(SIGNAL_STATES.c.stream.in_(bindparam("streams", expanding=True)))
)
_TWO_SIGNALLED = union_all(
    _TWO,
    _SIGNALLED.where((SIGNAL_STATES.c.stream == bindparam("first")) | (SIGNAL_STATES.c.stream == bindparam("second"))),
)
_BY_KEY = (
    select(RECORDS)
    .join(KEYS, (KEYS.c.stream == RECORDS.c.stream) & (KEYS.c.version == RECORDS.c.version))
    .where(KEYS.c.key == bindparam("key"))
)
_OF_STREAM = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.version > bindparam("after"))
    .order_by(RECORDS.c.version)
    .limit(_PAGE)
)
_REWRITTEN = select(CLAIMS.c.until_us).where(CLAIMS.c.name == "rewritten")
_ERASED = (
    select(SIGNAL_STATES.c.stream)
    .where(SIGNAL_STATES.c.body.is_(None), SIGNAL_STATES.c.at_us >= bindparam("since_us"))
    .limit(1)
)
_SLACK_US = 10_000_000
"""An erasure may be committed this much later than its time, and other machines' clocks be behind."""


def now_us() -> int:
    """The wall clock, int microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Ledger:
    """Open ledger; safe to use from any thread. Every method may raise `Unavailable`."""

    def __init__(self, database: Database, secret: bytes, clock: Callable[[], int]) -> None:
        self._database, self._secret, self._clock = database, secret, clock
        self.names = Names(secret)
        self._writer = Writer(database, clock)
        self._signer = Signer(secret)
        self._checkpoints = Checkpoints(database, self._writer, self._signer)

    @classmethod
    def open(cls, url_or_path: str | Path, secret: bytes, clock: Callable[[], int] = now_us) -> Self:
        """A path is a SQLite file, made if absent; `postgresql://…` is a server. Tables are brought up to date.

        :param secret: keys the hashes that stand for ids; another secret finds none of the streams
        """
        return cls(Database(url_or_path), secret, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what was submitted, then close."""
        self._writer.close()
        self._database.close()

    def stream_of(self, kind: SubjectKind, subject_id: str) -> str:
        """The stream of a subject: 40 hex characters from which the id cannot be found without the secret."""
        return self.names.stream_of(kind, subject_id)

    def key_of(self, text: str) -> str:
        """Under which something is kept once, as 40 hex characters."""
        return self.names.key_of(text)

    def read(self, *streams: str) -> tuple[Standing, ...]:
        """What each stream folds to, all at one moment; version 0 for one never heard of."""
        return _standings(streams, self._of_streams(_TWO, _SEVERAL, streams))

    def read_with_signals(self, *streams: str) -> tuple[tuple[Standing, ...], tuple[int, ...]]:
        """`read`, and at the same moment the version of each stream's signal state: 0 for none, -1 for one erased."""
        rows = self._of_streams(_TWO_SIGNALLED, _SEVERAL_SIGNALLED, streams)
        versions = {row.stream: int(row.version) for row in rows if row.body is None}
        standings = _standings(streams, [row for row in rows if row.body is not None])
        return standings, tuple(versions.get(stream, 0) for stream in streams)

    def _of_streams(self, two: Executable, several: Executable, streams: Sequence[str]) -> Sequence[Row[Any]]:
        """A statement that needs no expansion takes two thirds of the time."""
        if len(streams) > 2:
            return self._database.fetch(several, {"streams": streams})
        return self._database.fetch(two, {"first": streams[0], "second": streams[-1]}) if streams else ()

    def select(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows of one reading statement over the ledger's tables, for the modules that keep some of their own."""
        return self._database.fetch(statement, parameters)

    def transact(self, work: Callable[[Connection], _T]) -> "Future[_T]":
        """Run `work` in one transaction of the writer thread, again from the start if another process got in its way.

        The future has what it returns, once that is committed. `work` must be short: appends wait behind it.
        """
        return self._writer.start(work)

    def append(self, entries: Sequence[Entry], guards: Mapping[str, int] | None = None) -> tuple[int, ...]:
        """The versions of the entries, which are committed together or not at all.

        :param guards: streams that must still be at these versions, though nothing is appended to them
        :raises Conflict: a stream has moved on from an `expected` or guarded version; never where none is given
        :raises Duplicate: a key is in the ledger already; wins over Conflict, so that a repetition finds itself
        :raises RequestError, Refused: an entry is wrong
        """
        return self.submit(entries, guards).result()

    def submit(self, entries: Sequence[Entry], guards: Mapping[str, int] | None = None) -> "Future[tuple[int, ...]]":
        """`append` without waiting; an entry that is wrong by itself is refused at once, by raising.

        A future that could be cancelled was not written and never will be: a caller that runs out of time cancels.
        """
        return self._writer.submit(Submission(self._prepare(entries), guards or {}))

    def append_many(self, entries: Iterable[Entry]) -> int:
        """Append a backfill in chunks, pausing between them so that decisions are not kept waiting.

        Not atomic as a whole. Entries whose key is in the ledger already are left out, so it can be run again; keep
        entries of one stream together, as each chunk writes a standing once. Returns how many were appended.
        """
        waiting, appended = iter(entries), 0
        while chunk := list(islice(waiting, _IMPORT_CHUNK)):
            appended += len(self._writer.submit(Submission(self._prepare(chunk), {}, skip_known=True)).result())
            time.sleep(_IMPORT_PAUSE_S)
        return appended

    def _prepare(self, entries: Iterable[Entry]) -> list[Prepared]:
        now_us = self._clock()
        return [prepare(entry, self._secret, now_us) for entry in entries]

    def lookup(self, key: str) -> Record | None:
        """The record appended under this key or alias."""
        rows = self._database.fetch(_BY_KEY, {"key": self.names.key_of(key)})
        return record_of(rows[0]) if rows else None

    def records(self, stream: str, upto: int | None = None) -> Iterator[Record]:
        """A stream from its first record, up to and with version `upto`; read page by page."""
        after = 0
        while rows := self._database.fetch(_OF_STREAM, {"stream": stream, "after": after}):
            for row in rows:
                if upto is not None and row.version > upto:
                    return
                yield record_of(row)
            after = rows[-1].version

    def fold_at(self, stream: str, version: int) -> Standing:
        """The standing as it was when the stream was at `version`; erased if its bodies are gone.

        :raises Refused: the stream has not come that far
        """
        fold = Fold(stream)
        for record in self.records(stream, upto=version):
            if record.body is None:
                return Fold(stream, version, erased=True)
            fold = apply(fold, record.kind, record.body, record.version, record.occurred_us)
        if fold.version != version:
            raise Refused(f"the stream has no version {version}")
        return fold

    def scan(self, kinds: Sequence[str], after: int = 0, limit: int = 1000) -> list[Record]:
        """The next records of these kinds by `seq`, of every stream; the cursor is the last record's `seq`.

        Follows the order of commits: a record that is committed later has a higher `seq` than any returned here, so
        a cursor never skips one. Bodies of erased subjects are None.
        """
        return [record_of(row) for row in self.raw(kinds, after, limit)]

    def raw(self, kinds: Sequence[str], after: int = 0, limit: int = 1000) -> Sequence[Row[Any]]:
        """As `scan`, with bodies as the bytes that were appended: for who reads many of them."""
        upto = self._database.settled()
        statement = (
            select(RECORDS)
            .where(RECORDS.c.seq > after, RECORDS.c.seq <= upto, RECORDS.c.kind.in_(kinds))
            .order_by(RECORDS.c.seq)
            .limit(limit)
        )
        return self._database.fetch(statement)

    def erase(self, stream: str) -> tuple[str, ...]:
        """Destroy every body and salt of a stream; a tombstone stays, and with it the subject is left alone for good.

        A person's linked visitors are erased with them; a visitor that is erased is unlinked. Gives the streams that
        were erased. The chains still verify. What is appended later leaves its hash only. Safe to run again.

        :raises Unavailable: also when the bytes are not yet gone from the files; run it again
        """
        erased = self._writer.run(partial(erase_subject, stream=stream, now_us=self._clock()))
        self._database.scrub()
        return erased

    def rewrite(self) -> bool:
        """Leave no byte of the erased between the rows of the database's file; False where nobody was since last time.

        :raises Unavailable: it is busy; ask again
        """
        at_us = self._clock()
        done = self._database.fetch(_REWRITTEN)
        if not self._database.fetch(_ERASED, {"since_us": done[0].until_us if done else NEVER_US}):
            return False
        self._database.rewrite()
        self._writer.run(partial(_rewritten, at_us=at_us - _SLACK_US))
        return True

    def checkpoint(self, kept: Path) -> int:
        """Sign what came since the last time, if it is time and no other process does; how many checkpoints that made.

        To be called about every second by every process that serves, from a thread of its own.

        :param kept: the file outside the database to which every checkpoint, whoever took it, is appended
        """
        taken = self._checkpoints.take(self._clock())
        CheckpointFile(kept).keep(self._database)
        return taken

    def verify(self, stream: str | None = None, kept: Path | None = None) -> Iterator[Flaw]:
        """Everything in a stream, or in the whole ledger, that is not as it was written.

        :param kept: the file that `checkpoint` appends to
        """
        if stream is not None:
            return verify_stream(self._database, stream)
        return self.audit(kept).flaws()

    def audit(self, kept: Path | None = None) -> Audit:
        """`verify` of the whole ledger, to be asked afterwards what it had to go by."""
        return Audit(self._database, self._signer, kept)

    def put_release(self, content: bytes) -> str:
        """Keep the bytes of a release; returns `sha256:<hex>`."""
        name = content_id([content])

        def put(connection: Connection) -> None:
            if connection.execute(select(RELEASES.c.hash).where(RELEASES.c.hash == name)).first() is None:
                connection.execute(insert(RELEASES).values(hash=name, bytes=content))

        self._writer.run(put)
        return name

    def get_release(self, name: str) -> bytes:
        """The bytes of `sha256:<hex>`.

        :raises NotFound: no such release
        :raises Refused: the bytes are not those the hash names
        """
        rows = self._database.fetch(select(RELEASES.c.bytes).where(RELEASES.c.hash == name))
        if not rows:
            raise NotFound("release", "no release with this hash is kept here")
        content = bytes(rows[0].bytes)
        if name != content_id([content]):
            raise Refused("the bytes of this release are not what its hash names: restore the database")
        return content

    def activate(self, environment: str, release: str, by: str) -> Activation:
        """From now on `environment` serves `release`.

        :raises NotFound: its bytes are not kept here
        """
        at_us = self._clock()
        values = {"environment": environment, "release": release, "at_us": at_us, "by": by}
        adding = insert(ACTIVATIONS).values(values).returning(ACTIVATIONS.c.seq)

        def put(connection: Connection) -> int:
            if connection.execute(select(RELEASES.c.hash).where(RELEASES.c.hash == release)).first() is None:
                raise NotFound("release", "no release with this hash is kept here")
            return int(connection.execute(adding).scalar_one())

        return Activation(self._writer.run(put), environment, release, at_us, by)

    def active(self, environment: str) -> str | None:
        """The release that `environment` serves."""
        newest = (
            select(ACTIVATIONS.c.release)
            .where(ACTIVATIONS.c.environment == environment)
            .order_by(ACTIVATIONS.c.seq.desc())
            .limit(1)
        )
        rows = self._database.fetch(newest)
        return str(rows[0].release) if rows else None

    def activations(self, environment: str) -> tuple[Activation, ...]:
        """What `environment` served, oldest first."""
        of_it = select(ACTIVATIONS).where(ACTIVATIONS.c.environment == environment).order_by(ACTIVATIONS.c.seq)
        return tuple(
            Activation(row.seq, row.environment, row.release, row.at_us, row.by) for row in self._database.fetch(of_it)
        )

    def pause(self, action: str) -> None:
        """Stop offering an action, without a release."""
        self._set_paused(action, paused=True)

    def resume(self, action: str) -> None:
        """Offer it again."""
        self._set_paused(action, paused=False)

    def paused(self) -> frozenset[str]:
        """The actions that are not offered now."""
        return frozenset(row.action for row in self._database.fetch(select(PAUSES.c.action).where(PAUSES.c.paused)))

    def _set_paused(self, action: str, *, paused: bool) -> None:
        values = {"paused": paused, "at_us": self._clock()}

        self._writer.run(lambda connection: upsert(connection, PAUSES, {"action": action}, values))


def _rewritten(connection: Connection, at_us: int) -> None:
    upsert(connection, CLAIMS, {"name": "rewritten"}, {"until_us": at_us})


def _standings(streams: Sequence[str], rows: Iterable[Row[Any]]) -> tuple[Standing, ...]:
    found = {row.stream: decode(row.stream, row.version, row.body) for row in rows}
    return tuple(found.get(stream) or Fold(stream) for stream in streams)
