"""The online store in a SQLite file: one packed row per subject and view, read by key. Does not import Feast.

All views of a subject lie beside each other, so that one statement reads them with one descent of the tree. A row names
the list of columns it was packed with, which the file keeps by number: a release that adds, drops or retypes a feature
rewrites nothing, and two releases may write at the same time. Writers take SQLite's write lock, which excludes writers
of other processes too, before they read. Readers have a connection of their own, which never waits for a writer.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from decisioning.errors import Unavailable
from features.files import OpenedFile
from features.mounts import require_local
from features.profile.stores.packing import Columns, Packing, columns_for, is_older, number_of
from features.profile.stores.rows import BUSY_S, READ_S, Change, OnlineRow, Reader, Table, as_whole
from features.profile.versions import State
from features.remains import PROGRESS, Rows, empty_log, paced, probe, rewrite_some, truncate_log
from features.sqlite_errors import (
    REPAIR,
    STOP_AND_REPAIR,
    check_owner,
    check_whole,
    damage_of,
    is_damage,
    is_read_only,
    size_of,
    sqlite_advice,
)
from features.views import PROFILE, SCORES, SIGNALS

NUMBERS: Mapping[str, int] = {PROFILE: 1, SCORES: 2, SIGNALS: 3}
"""The number of each view within a subject's rows; a number never gets another meaning."""
FILLED = 2
"""The file's user_version once the history was written to it; 1 is that of Feast's layout, used until December 2026."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS packing (number INTEGER PRIMARY KEY, columns TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS facts (subject BLOB NOT NULL, view INTEGER NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (subject, view)) WITHOUT ROWID",
    PROGRESS,
)
_FACTS = Rows("facts", ("subject", "view"), ("subject", "view", "body"))
_ONE = "SELECT view, body FROM facts WHERE subject = ?"
_PUT = "INSERT INTO facts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_RETIRED = "retired_profile"
_MANY = 500
"""Subjects per SELECT; SQLite allows a statement 32,766 parameters."""

Key = bytes | str
Unpack = Callable[[bytes], OnlineRow]
Ways = dict[int, tuple[int, Table, dict[bytes, Unpack]]]
"""Number of a view -> its place among the tables of a reader, the table, and how to read it by the packing's number."""


class SqliteOnline:
    """The online store in the file at `path`, which is created if there is none.

    :param identity: the workspace's (see `check_owner`); opening raises Refused if the file is another workspace's
    """

    def __init__(self, path: Path, identity: Path | None = None) -> None:
        self._path, self._identity = path, identity
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._packings: dict[int, Packing] = {}
        self._by_columns: dict[Columns, Packing] = {}

    @cached_property
    def writer(self) -> sqlite3.Connection:
        """The only connection that writes; it overwrites what it erases. Raises Refused on a shared file system."""
        require_local(self._path)
        if size_of(self._path):
            check_whole(self._path, REPAIR)
        db = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        if self._identity is not None:
            check_owner(db, self._path, self._identity, REPAIR)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            db.execute(f"PRAGMA {pragma}")
        for statement in _TABLES:
            db.execute(statement)
        self._file = OpenedFile(self._path, STOP_AND_REPAIR)
        return db

    @cached_property
    def _reader(self) -> sqlite3.Connection:
        with self._writing:
            self.writer  # noqa: B018  the file and its tables must be there
        db = sqlite3.connect(self._path, timeout=READ_S, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA query_only=ON")
        return db

    @cached_property
    def _cursor(self) -> sqlite3.Cursor:
        """The reader's cursor, which `self._reading` guards: making one for each read takes a tenth of the time."""
        return self._reader.cursor()

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Return a reader of packed rows."""
        wanted: Ways = {NUMBERS[table.name]: (i, table, {}) for i, table in enumerate(tables)}
        nothing: list[OnlineRow | None] = [None] * len(tables)

        def read(subjects: Sequence[str]) -> list[Sequence[OnlineRow | None]]:
            answers: list[Sequence[OnlineRow | None]] = []
            try:
                with self._reading:
                    execute = self._cursor.execute
                    self._file.check_writable()
                    for subject in subjects:
                        rows = nothing.copy()
                        for view, body in execute(_ONE, (key_of(subject),)).fetchall():
                            if view in wanted:
                                place, table, ways = wanted[view]
                                unpack = ways.get(body[:2]) or self._way(body, table, ways)
                                rows[place] = unpack(body)
                        answers.append(rows)
            except sqlite3.Error as error:
                raise _unreachable(error) from error
            return answers

        return read

    def _way(self, body: bytes, table: Table, ways: dict[bytes, Unpack]) -> Unpack:
        """Return how to read rows that are packed as `body` is, and remember it."""
        way = ways[body[:2]] = _reading(self._packing(self._reader, number_of(body)), table)
        return way

    def states(self, table: Table, subjects: Sequence[str]) -> list[State]:
        """Return every version that the table holds of each subject, in the order given, of all columns it ever had."""
        with self._reading, _reached():
            reader = self._reader
            self._file.check_writable()
            states = self._states(reader, NUMBERS[table.name], subjects)
        return [states[key_of(subject)] for subject in subjects]

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Update the subjects in one transaction that begins with the write lock."""
        view, rows = NUMBERS[table.name], []
        with self._transaction("FULL" if durable else "NORMAL") as db:
            states = self._states(db, view, subjects)
            for subject in subjects:
                state = states[key_of(subject)]
                news = change(subject, state)
                if news:
                    state.update(news)
                    packing = self._packing_for(db, columns_for(state, table.kinds))
                    rows.append((key_of(subject), view, packing.pack(state)))
            db.executemany(_PUT, rows)

    def replace(self, table: Table, rows: pa.Table) -> pa.Array:
        """Pack whole columns at a time. Rows in the order of their subjects are written fastest."""
        columns: Columns = tuple(sorted((name, table.kinds[name]) for name in rows.schema.names if name in table.kinds))
        keys = [key_of(subject) for subject in rows["subject"].to_pylist()]
        view, left, writes = NUMBERS[table.name], [], []
        with self._transaction("FULL") as db:
            bodies = self._packing_for(db, columns).pack_all(rows).to_pylist()
            stored = dict(self._bodies(db, view, keys))
            for key, body in zip(keys, bodies, strict=True):
                old = stored.get(key)
                replaces = old is None or is_older(old, body)
                if replaces:
                    writes.append((key, view, body))
                left.append(not replaces and old != body)
            db.executemany(_PUT, writes)
        return pa.array(left, pa.bool_())

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects, and empty the log, which holds their rows too, unless it is being read just now."""
        keys = [(key_of(subject), NUMBERS[table.name]) for subject in subjects for table in tables]
        with self._transaction("FULL") as db:
            db.executemany("DELETE FROM facts WHERE subject = ? AND view = ?", keys)
        self._truncate_log()

    def probe(self) -> None:
        """Write a row that nobody reads."""
        with self._transaction("FULL") as db:
            probe(db)

    def remove_remains(self, pass_us: int) -> None:
        """Put the rows again, some in a transaction, then empty the log, which holds what was deleted too."""

        def some() -> bool:
            with self._transaction("NORMAL") as db:
                return rewrite_some(db, _FACTS, pass_us)

        paced(some)
        empty_log(self._truncate_log, "the online store")

    def _truncate_log(self) -> bool:
        with self._writing, _reached():
            writer = self.writer
            self._file.check_writable()
            return truncate_log(writer)

    def subjects(self, view: str) -> list[str]:
        """Return all subjects that have a row of this view."""
        with self._reading, _reached():
            reader = self._reader
            self._file.check_writable()
            rows = reader.execute("SELECT subject FROM facts WHERE view = ?", (NUMBERS[view],)).fetchall()
        return [key if isinstance(key, str) else key.hex() for (key,) in rows]

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the file."""
        with self._writing, _reached():
            return damage_of(self.writer)

    def close(self) -> None:
        """Close the connections that are open."""
        for name in ("writer", "_reader"):
            if (connection := self.__dict__.pop(name, None)) is not None:
                connection.close()
        self.__dict__.pop("_cursor", None)

    def filled(self) -> bool:
        """Tell whether the file's user_version says that it was filled."""
        with self._writing, _reached():
            return bool(self.writer.execute("PRAGMA user_version").fetchone()[0] == FILLED)

    def fill(self) -> None:
        """Set the file's user_version, durably."""
        with self._writing, _reached():
            self.writer.execute(f"PRAGMA user_version={FILLED}")

    def outdated(self) -> list[str]:
        """Return the names of tables in Feast's layout, which earlier versions of the brain wrote."""
        with self._writing, _reached():
            rows = self.writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [name for (name,) in rows if name.endswith(tuple(f"_{view}" for view in NUMBERS))]

    def retire(self, names: Sequence[str]) -> None:
        """Drop tables and rewrite the file, so that nothing of them stays. Raises Unavailable while others use it.

        Until the file is rewritten, an empty table makes `outdated` return something, so that a crash is noticed.
        """
        with self._writing, _reached():
            self.writer.execute("PRAGMA secure_delete=OFF")  # the file is rewritten as a whole below
        try:
            with self._transaction("FULL") as db:
                for name in names:
                    db.execute(f'DROP TABLE "{name}"')
                db.execute(f"CREATE TABLE IF NOT EXISTS {_RETIRED} (id INTEGER)")
        finally:
            self.writer.execute("PRAGMA secure_delete=ON")
        with self._writing, _reached():
            self.writer.execute("VACUUM")
        empty_log(self._truncate_log, "the online store")
        with self._transaction("FULL") as db:
            db.execute(f"DROP TABLE {_RETIRED}")

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        """Run the body in a transaction with the file's write lock; roll back if it fails."""
        with self._writing, _reached():
            db = self.writer
            self._file.check()
            db.execute(f"PRAGMA synchronous={synchronous}")
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                if is_read_only(error):
                    del self.writer  # the connection would stay so for good: the next transaction opens another
                raise
            finally:
                if db.in_transaction:
                    self._packings.clear()  # some may have been added by this transaction
                    self._by_columns.clear()
                    db.execute("ROLLBACK")

    def _states(self, db: sqlite3.Connection, view: int, subjects: Sequence[str]) -> dict[Key, State]:
        keys = [key_of(subject) for subject in subjects]
        states: dict[Key, State] = {key: {} for key in keys}
        for key, body in self._bodies(db, view, keys):
            states[key] = self._packing(db, number_of(body)).state(body)
        return states

    @staticmethod
    def _bodies(db: sqlite3.Connection, view: int, keys: Sequence[Key]) -> Iterator[tuple[Key, bytes]]:
        """Yield the key and the body of each of these rows that there is."""
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            marks = ",".join("?" * len(part))
            yield from db.execute(
                f"SELECT subject, body FROM facts WHERE subject IN ({marks}) AND view = ?",  # noqa: S608  ours
                (*part, view),
            )

    def _packing(self, db: sqlite3.Connection, number: int) -> Packing:
        if number not in self._packings:
            (columns,) = db.execute("SELECT columns FROM packing WHERE number = ?", (number,)).fetchone()
            self._packings[number] = Packing(number, tuple((name, kind) for name, kind in json.loads(columns)))
        return self._packings[number]

    def _packing_for(self, db: sqlite3.Connection, columns: Columns) -> Packing:
        """Return the packing of these columns; call inside a transaction, which adds it if there is none."""
        if columns not in self._by_columns:
            text = json.dumps(columns, separators=(",", ":"))
            db.execute("INSERT INTO packing (columns) VALUES (?) ON CONFLICT DO NOTHING", (text,))
            (number,) = db.execute("SELECT number FROM packing WHERE columns = ?", (text,)).fetchone()
            self._by_columns[columns] = self._packing(db, number)
        return self._by_columns[columns]


def _reading(packing: Packing, table: Table) -> Unpack:
    """Return a function that reads rows of one packing as one table wants them."""
    kinds = packing.kinds
    floats = [name for name, kind in table.kinds.items() if (kind, kinds.get(name)) == ("d", "q")]
    ints = [name for name, kind in table.kinds.items() if (kind, kinds.get(name)) == ("q", "d")]
    drop = [name for name, kind in kinds.items() if table.kinds.get(name) != kind and name not in (*floats, *ints)]

    def read(body: bytes) -> OnlineRow:
        values, times = packing.read(body)
        for name in drop:
            values.pop(name, None)
        for name in floats:
            if name in values:
                values[name] = float(values[name])
        for name in ints:
            if name in values and (value := as_whole(float(values.pop(name)))) is not None:
                values[name] = value
        return values, times

    return read if drop or floats or ints else packing.read


def key_of(subject: str) -> Key:
    """Return the key of a subject: the 20 bytes of a stream id, or any other text as it is."""
    if len(subject) == 40:
        try:
            key = bytes.fromhex(subject)
        except ValueError:
            return subject
        if key.hex() == subject:
            return key
    return subject


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _unreachable(error) from error


def _unreachable(error: sqlite3.Error) -> Unavailable:
    advice = f"it is no database, or it is damaged: {REPAIR}" if is_damage(error) else sqlite_advice(error)
    return Unavailable(f"the online feature store cannot be reached ({advice})")
