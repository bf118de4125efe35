"""The ledger: one append-only stream per subject, its standing, and the releases that decisions were made with."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Connection, Row, Table, bindparam, insert, select
from sqlalchemy.sql import Executable

from decisioning.errors import NotFound, Refused, Unavailable, Unconfirmed
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import StandingRules
from decisioning.hashes import content_id
from features.ledger.activating.served import Served
from features.ledger.checking.audit import Audit
from features.ledger.checking.checkpoints import CheckpointFile, Checkpoints, Signer
from features.ledger.checking.mirror import Mirror
from features.ledger.checking.opening import KnownLedger, open_checked
from features.ledger.checking.verification import Flaw, verify_stream
from features.ledger.connecting.settled import SettledNumbers
from features.ledger.database import Database, upsert
from features.ledger.erasing import Erasures, erase_subject
from features.ledger.past.rules_book import RulesBook
from features.ledger.reading.in_time import StandingsInTime
from features.ledger.reading.looks import looks_query
from features.ledger.reading.now import FOREVER_US, StandingReader
from features.ledger.records import Bodies, Entry, Names, PreparedEntry, Record, prepare, record_of
from features.ledger.standing import Fold
from features.ledger.tables import (
    CLAIMS,
    KEYS,
    RECORDS,
    RECORDS_OF_STREAM,
    RELEASES,
)
from features.ledger.writer import Append, Result, Submission, Writer, results_of

_T = TypeVar("_T")
SubjectKind = Literal["person", "account", "visitor"]
_BLOCK = 128
"""How many appends of many are committed together: about 10 ms, the longest that they may delay a single one."""
_IMPORT_CHUNK = 200
_IMPORT_PAUSE_S = 0.001
_BY_KEY = (
    select(RECORDS)
    .join(KEYS, (KEYS.c.stream == RECORDS.c.stream) & (KEYS.c.version == RECORDS.c.version))
    .where(KEYS.c.key == bindparam("key"))
)


def now_us() -> int:
    """Return the wall clock in int microseconds since 1970 UTC."""
    return time.time_ns() // 1000


SHORTEST_NAME = 4
"""The fewest digits of its hash by which a release may be named."""


class Ledger:
    """An open ledger, safe to use from any thread. Every method may raise `Unavailable`."""

    def __init__(self, database: Database, secret: bytes, clock: Callable[[], int]) -> None:
        self._database, self._secret = database, secret
        self.clock = clock
        """Returns the time now, in int microseconds since 1970 UTC."""
        self.names = Names(secret)
        self._rules = RulesBook(database.fetch)
        self._standings = StandingReader(database, self._rules)
        self._bodies = Bodies(self.get_release)
        self.release = self._bodies.release
        """Returns a stored release by its name, compiled once; raises as `get_release` does, and ConfigError."""
        self.record_of = partial(record_of, bodies=self._bodies)
        """Returns a row of the records table as a record."""
        self._writer = Writer(database, clock, self._rules, self._bodies)
        self.erasures = Erasures(database, self._writer.run, clock)
        self.served = Served(database, self._writer.run, clock)
        self.active, self.activations, self.paused = self.served.active, self.served.activations, self.served.paused
        self._signer = Signer(secret)
        self._checkpoints = Checkpoints(database, self._writer.run, self._signer)

    @classmethod
    def open(
        cls, url_or_path: str | Path, secret: bytes, clock: Callable[[], int] = now_us, known: KnownLedger | None = None
    ) -> Self:
        """Open a SQLite file, created if absent, or a server (`postgresql://…`), and bring its tables up to date.

        :param secret: key of the hashes that stand for ids; with another secret no stream is found
        :param known: what is known of this ledger, so that no other one is taken for it
        :raises Refused: it is not the ledger that is known, or it was written with another secret
        """
        return cls(open_checked(url_or_path, Signer(secret), known), secret, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what was submitted, then close all connections."""
        self._writer.close()
        self._database.close()

    @property
    def address(self) -> str:
        """What a second process opens the ledger's database by, to read it."""
        return self._database.address

    def stream_of(self, kind: SubjectKind, subject_id: str) -> str:
        """Return the stream of a subject: 40 hex characters that do not reveal the id without the secret."""
        return self.names.stream_of(kind, subject_id)

    def key_of(self, text: str) -> str:
        """Return the key, 40 hex characters, under which one record or event is kept."""
        return self.names.key_of(text)

    def read(self, *streams: str, rules: StandingRules | None = None, now_us: int = FOREVER_US) -> tuple[Fold, ...]:
        """Return the standing of each stream, all as of one moment; an unknown stream has version 0.

        :param rules: what of the contacts and outcomes is needed, to decide at `now_us` or later; None: all of them,
            which takes longer the more there are
        """
        return self._standings.read(streams, rules, now_us)

    def read_with_signals(
        self, *streams: str, rules: StandingRules | None = None, now_us: int = FOREVER_US
    ) -> tuple[tuple[Fold, ...], tuple[int, ...]]:
        """Return standings as `read` does, and the version of each stream's signal state: 0 if none, -1 if erased."""
        return self._standings.read_with_signals(streams, rules, now_us)

    def keep_for(self, rules: StandingRules) -> None:
        """Make standings for these rules from now on, and for those of the releases that were served last.

        A standing is made for new rules by the next append to its stream; until then `read` takes what it needs from
        the tables of contacts and outcomes.
        """
        self._rules.refresh()
        if not self._rules.covers(self._rules.newest, rules):
            self._rules.newest = max(self._rules.newest, self._writer.run(partial(self._rules.add, rules=rules)))

    def select(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Return all rows of one reading statement, for modules that have tables in the ledger's database."""
        return self._database.fetch(statement, parameters)

    def numbers_of(self, table: Table) -> SettledNumbers:
        """Return what tells up to which `seq` all rows of a table of this database can be read."""
        return self._database.numbers_of(table)

    def select_hot(self, sql: str, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """Return all rows of one reading statement for `features.ledger.driver`, which costs a fraction of `select`."""
        return self._database.fetch_hot(sql, parameters)

    def transact(self, work: Callable[[Connection], _T], *, hot: bool = False) -> "Future[_T]":
        """Run `work` in a transaction of the writer thread; start it again if another process interferes.

        The future gets what `work` returns, once that is committed. `work` must be short, as appends wait for it.

        :param hot: `work` writes by `features.ledger.driver` alone; its transaction then costs half
        """
        return self._writer.start(work, hot=hot)

    def append(self, entries: Sequence[Entry], guards: Mapping[str, int] | None = None) -> tuple[int, ...]:
        """Commit the entries together or not at all, and return their versions.

        :param guards: streams that must still be at these versions, though nothing is appended to them
        :raises Conflict: a stream is not at its `expected` or guarded version; never if no version is given
        :raises Duplicate: a key is in the ledger already; takes precedence over Conflict, so that a repeated call
            finds its own record
        :raises RequestError, Refused: an entry is invalid
        """
        return self.submit(entries, guards).result()

    def submit(self, entries: Sequence[Entry], guards: Mapping[str, int] | None = None) -> "Future[tuple[int, ...]]":
        """Append without waiting for the commit. Raises at once if an entry is invalid by itself.

        If the future can be cancelled, nothing was or will be written; a caller that runs out of time cancels it.
        """
        return self._writer.submit(Submission(self._prepare(entries), guards or {}))

    def submit_each(self, appends: Iterable[tuple[Sequence[Entry], Mapping[str, int]]]) -> Iterator[Result]:
        """Submit many appends (entries, guards) at once; each of them is committed or refused by itself.

        Returns what becomes of each in their order; a result that is not there yet is waited for. Raises at once as
        `submit` does.
        """
        prepared = [Append(self._prepare(entries), guards) for entries, guards in appends]
        blocks = [prepared[at : at + _BLOCK] for at in range(0, len(prepared), _BLOCK)]
        submitted = [(len(block), self._writer.submit_block(block)) for block in blocks]
        return chain.from_iterable(starmap(results_of, submitted))

    async def commit(
        self,
        entries: Sequence[Entry],
        guards: Mapping[str, int] | None = None,
        if_late: Callable[[], None] | None = None,
    ) -> tuple[int, ...]:
        """Append as `append` does, and wait in an event loop, which is woken once for all that is committed together.

        A caller that is cancelled before its turn has written nothing.

        :param if_late: called, by the writer's thread, if it was written after the caller had been cancelled
        :raises Unconfirmed: the caller is cancelled when it is too late to write nothing
        """
        waiter: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        future = self._writer.submit(Submission(self._prepare(entries), guards or {}, waiter=waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            if future.cancel():
                raise
            if if_late is not None:
                future.add_done_callback(lambda written: None if written.exception() else if_late())
            raise Unconfirmed("it may have been written") from None

    def append_many(self, entries: Iterable[Entry]) -> int:
        """Append a backfill in chunks, with pauses so that decisions do not wait for it, and return how many it added.

        The chunks are not atomic together. Entries whose key the ledger already holds are skipped, so it can be run
        again. Keep entries of one stream together: each chunk writes a standing once.
        """
        waiting, appended = iter(entries), 0
        while chunk := list(islice(waiting, _IMPORT_CHUNK)):
            appended += len(self._writer.submit(Submission(self._prepare(chunk), {}, skip_known=True)).result())
            time.sleep(_IMPORT_PAUSE_S)
        return appended

    def _prepare(self, entries: Iterable[Entry]) -> list[PreparedEntry]:
        now_us = self.clock()
        return [prepare(entry, self._secret, now_us) for entry in entries]

    def lookup(self, key: str) -> Record | None:
        """Return the record that was appended under this key or alias, or None."""
        rows = self._database.fetch(_BY_KEY, {"key": self.names.key_of(key)})
        return self.record_of(rows[0]) if rows else None

    def records(self, stream: str, upto: int | None = None, after: int = 0) -> Iterator[Record]:
        """Yield the records of a stream after version `after` up to version `upto`, inclusive; read page by page."""
        last = FOREVER_US if upto is None else upto
        while after < last and (
            rows := self._database.fetch(RECORDS_OF_STREAM, {"stream": stream, "after": after, "upto": last})
        ):
            yield from map(self.record_of, rows)
            after = rows[-1].version

    def fold_at(self, stream: str, version: int) -> Standing:
        """Return the standing as it was when the stream was at `version`; an erased one if bodies were erased since.

        To look at many versions use one `StandingsInTime`, which reads each stream once.

        :raises Refused: the stream has no such version
        """
        return StandingsInTime(self.records).at(stream, version)

    def scan(self, kinds: Sequence[str], after: int = 0, limit: int = 1000) -> list[Record]:
        """Return the next records of these kinds, of all streams, by `seq`; pass the last `seq` as `after` to go on.

        A record that is committed later has a higher `seq` than any returned here, so that none is ever skipped.
        Bodies of erased subjects are None.
        """
        return [self.record_of(row) for row in self.scan_rows(kinds, after, limit)]

    def scan_rows(self, kinds: Sequence[str], after: int = 0, limit: int = 1000) -> Sequence[Row[Any]]:
        """Return what `scan` does as rows of the records table; `figures_as_json` reads their bodies."""
        upto = self._database.settled_seq()
        statement = (
            select(RECORDS)
            .where(RECORDS.c.seq > after, RECORDS.c.seq <= upto, RECORDS.c.kind.in_(kinds))
            .order_by(RECORDS.c.seq)
            .limit(limit)
        )
        return self._database.fetch(statement)

    def looks(self, after: int, limit: int, streams: Sequence[str] = (), who: str | None = None) -> list[Record]:
        """Return the next looks by `seq`, as `scan` does: at everybody or at these subjects, by everybody or one."""
        asked = looks_query(after, self._database.settled_seq(), limit, streams, who)
        return [self.record_of(row) for row in self._database.fetch(asked)]

    def figures_as_json(self, raw: bytes) -> bytes:
        """Return the body of a row of the records table as JSON, of a packed decision what models are trained on.

        :raises Refused: a newer version packed it, or it is not as it was packed
        """
        return self._bodies.figures_as_json(raw)

    def bar(self, stream: str) -> tuple[str, ...]:
        """Append a tombstone to a stream, which bars all later contact for good, and list its erasure.

        A person's linked visitors are erased too; a visitor that is erased is unlinked. Returns the erased streams.
        """
        return self._writer.run(partial(erase_subject, stream=stream, now_us=self.clock(), rules=self._rules))

    def erase(self, stream: str) -> tuple[str, ...]:
        """Bar a stream as `bar` does, then destroy bodies and salts; return the erased streams.

        The chains still verify. Of anything appended later only the hash is kept. Safe to run again. Copies of what was
        destroyed may be left in the files until `erasures` has removed them.
        """
        erased = self.bar(stream)
        for each in erased:
            self.erasures.empty(each)
        return erased

    def probe(self, within_s: float) -> None:
        """Raise Unavailable if nothing could be committed now, within this time."""
        values = {"until_us": self.clock()}
        writing = self._writer.start(lambda connection: upsert(connection, CLAIMS, {"name": "probe"}, values))
        try:
            writing.result(within_s)
        except TimeoutError:
            writing.cancel()
            raise Unavailable(f"the ledger's writer is busy for more than {within_s:g} s") from None

    def checkpoint(self, file: Path, mirror: Path | None = None) -> int:
        """Sign what came since the last checkpoint, if one is due, and return how many checkpoints were added.

        Every serving process calls this about once a second, from a thread of its own.

        :param file: the file outside the database that gets every checkpoint, whichever process signed it
        :param mirror: the file elsewhere that holds the last one, if there is one
        """
        outside, added = CheckpointFile(file), 0
        outside.append_from(self._database)  # also what was added when a process died
        for _ in self._checkpoints.take(self.clock()):
            outside.append_from(self._database)
            added += 1
        if mirror is not None:
            Mirror(mirror, self._database, self._signer).keep()
        return added

    def verify(self, stream: str | None = None, file: Path | None = None) -> Iterator[Flaw]:
        """Yield everything in a stream, or in the whole ledger, that is not as it was written.

        :param file: the file that `checkpoint` appends to
        """
        if stream is not None:
            return verify_stream(self._database, self._rules, self._bodies, stream)
        return self.audit(file).flaws()

    def audit(self, file: Path | None = None, mirror: Path | None = None) -> Audit:
        """Return a verification of the whole ledger, which also counts the checkpoints that it could use."""
        return Audit(self._database, self._rules, self._bodies, self._signer, file, mirror)

    def put_release(self, content: bytes) -> str:
        """Store the bytes of a release and return its name, `sha256:<hex>`."""
        name = content_id([content])

        def put(connection: Connection) -> None:
            if connection.execute(select(RELEASES.c.hash).where(RELEASES.c.hash == name)).first() is None:
                connection.execute(insert(RELEASES).values(hash=name, bytes=content))

        self._writer.run(put)
        return name

    def whole_name(self, beginning: str) -> str:
        """Return the name of the one release that begins so, with or without `sha256:`.

        Raises NotFound if none does, and if several do.
        """
        digits = beginning.removeprefix("sha256:")
        names = self._database.fetch(
            select(RELEASES.c.hash).where(RELEASES.c.hash.startswith(f"sha256:{digits}", autoescape=True))
        )
        if len(names) != 1 or len(digits) < SHORTEST_NAME:
            raise NotFound("release", f"{beginning} names no release that is kept here: see `brain releases`")
        return str(names[0].hash)

    def get_release(self, name: str) -> bytes:
        """Return the bytes of the release `sha256:<hex>`.

        :raises NotFound: no such release is stored
        :raises Refused: the bytes do not have this hash
        """
        rows = self._database.fetch(select(RELEASES.c.bytes).where(RELEASES.c.hash == name))
        if not rows:
            raise NotFound("release", "no release with this hash is kept here")
        content = bytes(rows[0].bytes)
        if name != content_id([content]):
            raise Refused(
                "the bytes of this release are not what its hash names: put the database back from your backup"
            )
        return content
