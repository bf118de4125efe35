"""The list of erasures that are not finished in every file, and what finishes them in the ledger's database.

Every transaction here changes at most `ROWS` rows, so that appends wait for milliseconds, however much there is.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, tuple_, union, update

from features.ledger import driver
from features.ledger.database import Database, upsert
from features.ledger.records import looks_of
from features.ledger.tables import (
    AGENTS,
    CLAIMS,
    CONTACTS,
    CONVERSATION_WORDS,
    CUSTOMER_CODES,
    CUSTOMER_SESSIONS,
    DELIVERIES,
    EMPTIED,
    ERASURES,
    FIRED,
    HANDOVERS,
    LOOKS,
    OUTCOMES,
    PRIVACY_CONTROLS,
    RECORDS,
    REQUESTS,
    SIGNAL_STATES,
    SIGNALS,
    STANDINGS,
    WATCHES,
    Name,
)
from features.remains import ROWS, Rows, empty_log, paced, rewrite_next, rewrite_some

_OF_CUSTOMERS: Final = (CUSTOMER_CODES, CUSTOMER_SESSIONS, REQUESTS)
_ABOUT_SUBJECTS: Final = (
    *(CONTACTS, OUTCOMES, WATCHES, FIRED, PRIVACY_CONTROLS, DELIVERIES, LOOKS),
    *_OF_CUSTOMERS,
    *(HANDOVERS, CONVERSATION_WORDS, AGENTS),
)
_MOVING: Final = (STANDINGS, SIGNAL_STATES, SIGNALS, *_ABOUT_SUBJECTS)
_ERASED: Final = select(SIGNAL_STATES.c.stream).where(SIGNAL_STATES.c.body.is_(None)).scalar_subquery()
_ADDED_AFTERWARDS: Final = union(
    *(select(t.c.stream).where(t.c.stream.in_(_ERASED)) for t in (WATCHES, FIRED, PRIVACY_CONTROLS, DELIVERIES))
)
_FILES: Final = "files"
_FILES_CLEANED: Final = select(CLAIMS.c.until_us).where(CLAIMS.c.name == _FILES)
_LISTED: Final = select(ERASURES).order_by(ERASURES.c.at_us)


class ListedErasure(NamedTuple):
    """An erasure that is not finished.

    `at_us`: when it was recorded. `emptied`: whether the subject's rows are gone; if so, copies of them may be left in
    the files. `pass_us`: when the pass began that removes those, None if it has not.
    """

    stream: str
    at_us: int
    emptied: bool
    pass_us: int | None


class Erasures:
    """The list, and the work on the ledger's database. Any number of processes may do it at once.

    :param run: runs a function in a write transaction, after what other writers wait for
    """

    def __init__(
        self, database: Database, run: Callable[[Callable[[Connection], Any]], Any], clock: Callable[[], int]
    ) -> None:
        self._database, self._run, self._clock = database, run, clock

    def listed(self) -> list[ListedErasure]:
        """Return the erasures that are not finished, oldest first."""
        return [ListedErasure._make(row) for row in self._database.fetch(_LISTED)]

    def empty(self, stream: str) -> None:
        """Overwrite or delete every row about an erased subject, the looks at it too; safe to repeat."""
        self._overwrite(stream)
        self._overwrite(looks_of(stream))
        self._repeat(partial(_empty_some_signals, stream=stream))
        for table in _ABOUT_SUBJECTS:
            self._repeat(partial(_delete_some, table=table, stream=stream))
        self._run(lambda connection: connection.execute(_emptied(stream)))
        self._database.truncate_log()

    def _overwrite(self, stream: str) -> None:
        """Overwrite the bodies and salts of a stream's records."""
        after = 0

        def overwrite() -> bool:
            nonlocal after
            after = self._run(lambda connection: _overwrite_some(connection, stream, after))
            return bool(after)

        paced(overwrite)

    def forget(self, stream: str, kinds: Sequence[str], before_us: int) -> int:
        """Overwrite the bodies and salts of records of these kinds that are older than a time; return of how many."""
        here = (RECORDS.c.stream == stream) & RECORDS.c.kind.in_(kinds) & (RECORDS.c.at_us < before_us)
        forgotten = 0

        def some() -> bool:
            nonlocal forgotten
            count = int(self._run(lambda connection: _forget_some(connection, here)))
            forgotten += count
            return count == ROWS

        paced(some)
        return forgotten

    def list_again(self, streams: Sequence[str]) -> None:
        """List erased subjects of whom something was found after their erasure had been finished."""
        finished = sorted({*streams} - {erasure.stream for erasure in self.listed()})
        for stream in finished:
            self._run(partial(list_erasure, stream=stream, now_us=self._clock()))

    def empty_again(self) -> int:
        """Delete moments and deliveries of erased subjects that were added after their erasure; return of how many.

        Earlier versions could add some. What that leaves in the files is removed by the next pass.
        """
        streams = [row.stream for row in self._database.fetch(_ADDED_AFTERWARDS)]
        for stream in streams:
            self._run(partial(list_erasure, stream=stream, now_us=self._clock()))
            self.empty(stream)
        return len(streams)

    def files_cleaned_us(self) -> int:
        """Return when the files outside the database were last cleaned; 0 if never."""
        rows = self._database.fetch(_FILES_CLEANED)
        return int(rows[0].until_us) if rows else 0

    def note_files_cleaned(self, began_us: int) -> None:
        """Note that the files outside the database were cleaned of everyone who was erased before `began_us`."""
        self._run(lambda connection: upsert(connection, CLAIMS, {"name": _FILES}, {"until_us": began_us}))

    def _repeat(self, step: Callable[[Connection], bool]) -> None:
        paced(lambda: bool(self._run(step)))

    def begin_pass(self, now_us: int) -> int:
        """Return the name of the pass that is to finish what is listed: of the one that was begun, else a new one."""
        return int(self._run(lambda connection: _begin_pass(connection, now_us)))

    def remove_remains(self, pass_us: int) -> None:
        """Remove what is left in the database's files of rows that were deleted before the pass began.

        PostgreSQL vacuums its tables; its write-ahead log keeps deleted bytes until segments are recycled, and backups
        are its owner's.

        :raises Unavailable: readers kept the write-ahead log busy; it can be run again
        """
        if not self._database.sqlite:
            self._database.vacuum()
            return
        for table in _MOVING:
            self._repeat(partial(_rewrite_some, rows=_rows_of(table), pass_us=pass_us))
        empty_log(self._database.truncate_log, "the ledger")

    def clean(self, table: Table) -> None:
        """Remove what is left in the database's files of deleted rows of one table, beside any pass; safe to repeat.

        :raises Unavailable: as `remove_remains`
        """
        if not self._database.sqlite:
            self._database.vacuum()
            return
        after: tuple[Any, ...] | None = None

        def rewrite() -> bool:
            nonlocal after
            after = self._run(partial(_rewrite_next, rows=_rows_of(table), after=after))
            return after is not None

        paced(rewrite)
        empty_log(self._database.truncate_log, "the ledger")

    def end_pass(self, pass_us: int) -> None:
        """Take what the pass has finished off the list."""
        self._run(lambda connection: connection.execute(delete(ERASURES).where(ERASURES.c.pass_us == pass_us)))


def list_erasure(connection: Connection, stream: str, now_us: int) -> None:
    """Put an erasure on the list; one that is on it already is to be emptied once more, by the same deadline."""
    again = update(ERASURES).where(ERASURES.c.stream == stream).values(emptied=False, pass_us=None)
    if not connection.execute(again).rowcount:
        connection.execute(insert(ERASURES).values(stream=stream, at_us=now_us, emptied=False, pass_us=None))


def _begin_pass(connection: Connection, now_us: int) -> int:
    begun = connection.execute(select(func.min(ERASURES.c.pass_us))).scalar()
    if begun is None:
        connection.execute(update(ERASURES).where(ERASURES.c.emptied).values(pass_us=now_us))
    return now_us if begun is None else int(begun)


def _emptied(stream: str) -> Any:
    return update(ERASURES).where(ERASURES.c.stream == stream).values(emptied=True)


def _overwrite_some(connection: Connection, stream: str, after: int) -> int:
    """Overwrite the bodies and salts of the next records; return the version to go on after, 0 at the end.

    SQLite overwrites a value in place if its length stays; a shorter one would move rows, which leaves copies behind.
    """
    bodies = (RECORDS.c.stream == stream) & (RECORDS.c.kind != "tombstone") & RECORDS.c.body.is_not(None)
    some = select(RECORDS.c.version).where(bodies, RECORDS.c.version > after).order_by(RECORDS.c.version).limit(ROWS)
    versions = list(connection.execute(some).scalars())
    if not versions:
        return 0
    zeros: Any = None
    if not driver.is_postgresql(connection):
        zeros = {name: func.zeroblob(func.length(RECORDS.c[name])) for name in ("body", "salt")}
    between = RECORDS.c.version.between(versions[0], versions[-1])
    connection.execute(update(RECORDS).where(bodies, between).values(zeros or {"body": None, "salt": None}))
    return int(versions[-1])


def _forget_some(connection: Connection, here: ColumnElement[bool]) -> int:
    """Overwrite some records that have a body, in place where the database can; return how many."""
    values: Any = {"body": None, "salt": None}
    there: ColumnElement[bool] = RECORDS.c.body.is_not(None)
    if not driver.is_postgresql(connection):
        values = {name: func.zeroblob(func.length(RECORDS.c[name])) for name in ("body", "salt")}
        there &= RECORDS.c.body != func.zeroblob(func.length(RECORDS.c.body))
    some = select(RECORDS.c.seq).where(here, there).order_by(RECORDS.c.version).limit(ROWS)
    chosen = RECORDS.c.seq.in_(some.scalar_subquery())
    return int(connection.execute(update(RECORDS).where(chosen).values(values)).rowcount)


def _empty_some_signals(connection: Connection, stream: str) -> bool:
    """Overwrite some events of a stream; return whether there may be more.

    Their keys, which are keyed hashes, stay until their retention is over. So an event of an erased stretch of a
    visitor that is sent again is recognised, and does not become one of whoever is linked next.
    """
    some = select(SIGNALS.c.seq).where(SIGNALS.c.stream == stream, SIGNALS.c.type != EMPTIED).limit(ROWS)
    emptied = update(SIGNALS).where(SIGNALS.c.seq.in_(some.scalar_subquery()))
    values = emptied.values(type=EMPTIED, occurred_us=0, recorded_us=0, body=b"{}", content=None)
    return bool(connection.execute(values).rowcount == ROWS)


def _delete_some(connection: Connection, table: Table, stream: str) -> bool:
    """Delete some rows about a stream; return whether there may be more."""
    is_text = isinstance(table.c.stream.type, Name)
    keys = list(table.primary_key)
    some = select(*keys).where(table.c.stream == (stream if is_text else bytes.fromhex(stream))).limit(ROWS)
    return bool(connection.execute(delete(table).where(tuple_(*keys).in_(some))).rowcount == ROWS)


def _rows_of(table: Table) -> Rows:
    columns = tuple(column.name for column in table.columns)
    if not table.dialect_options["sqlite"]["with_rowid"]:
        return Rows(table.name, tuple(column.name for column in table.primary_key), columns)
    return Rows(table.name, ("rowid",), ("rowid", *(name for name in columns if name != "seq")))


def _rewrite_next(connection: Connection, rows: Rows, after: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return rewrite_next(cast(sqlite3.Connection, connection.connection.driver_connection), rows, after)


def _rewrite_some(connection: Connection, rows: Rows, pass_us: int) -> bool:
    return rewrite_some(cast(sqlite3.Connection, connection.connection.driver_connection), rows, pass_us)
