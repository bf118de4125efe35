"""Feast's SQLite online store, without its pitfalls.

Feast shares one connection among all threads, opens it without WAL, lets the last writer win and keeps whole seconds.
So writers take SQLite's write lock, which excludes writers of other processes too, before they read, and readers have
a connection of their own, which never waits for a writer.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.Value_pb2 import Value as Proto

from decisioning.errors import Unavailable
from decisioning.times import datetime_at
from features.profile.rows import BUSY_S, Change, Reader, Table, Values, Write, entity_key
from features.profile.spool import rewrite, scrub


class SqliteOnline:
    """The online store over Feast's `store` (a SqliteOnlineStore) with `config` (a RepoConfig)."""

    def __init__(self, store: Any, config: Any) -> None:
        self._store = store
        self._config = config
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    @cached_property
    def writer(self) -> sqlite3.Connection:
        """Feast's connection, set to overwrite what it erases."""
        db: sqlite3.Connection = self._store._get_conn(self._config)
        for pragma in (f"busy_timeout={int(BUSY_S * 1000)}", "synchronous=FULL", "secure_delete=ON"):
            db.execute(f"PRAGMA {pragma}")
        return db

    @cached_property
    def _reader(self) -> sqlite3.Connection:
        path = self._config.online_store.path
        db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA query_only=ON")
        return db

    def reader(self, tables: Sequence[Table]) -> Reader:
        """Return a reader of Feast's rows by our own SELECT.

        It takes a quarter of the time of Feast's `online_read`, which converts a time for each feature.
        """
        columns = frozenset(column for table in tables for column in table.columns)

        def read(subjects: Sequence[str]) -> list[Values]:
            with self._reading, _reached():
                return self._select(self._reader, tables, columns, subjects)

        return read

    def update(self, table: Table, subjects: Sequence[str], change: Change, *, durable: bool = True) -> None:
        """Update the subjects in one transaction that begins with the write lock."""
        with self._writing, _reached(), _immediate(self.writer, "FULL" if durable else "NORMAL") as db:
            current = self._select(db, [table], frozenset(table.columns), subjects)
            writes = {s: change(s, values) for s, values in zip(subjects, current, strict=True)}
            rows = [(entity_key(s), *_feast_row(write)) for s, write in writes.items() if write]
            if rows:
                self._store.online_write_batch(self._config, table.feast, rows, None)  # commits

    def forget(self, tables: Sequence[Table], subjects: Sequence[str]) -> None:
        """Erase subjects with our own DELETE, as Feast cannot erase one entity from SQLite."""
        keys = [(_key(subject),) for subject in subjects]
        with self._writing, _reached():
            with _immediate(self.writer, "FULL") as db:
                for table in tables:
                    db.executemany(f"DELETE FROM {self._name(table)} WHERE entity_key = ?", keys)  # noqa: S608  ours
            scrub(self.writer, "the online store")

    def rewrite(self) -> None:
        """Write every row into a new file."""
        with self._writing, _reached():
            rewrite(self.writer, "the online store")

    def filled(self) -> bool:
        """Tell whether the file's user_version says that it was filled."""
        with self._writing, _reached():
            return bool(self.writer.execute("PRAGMA user_version").fetchone()[0])

    def fill(self) -> None:
        """Set the file's user_version, durably."""
        with self._writing, _reached():
            self.writer.execute("PRAGMA user_version=1")

    def _select(
        self, db: sqlite3.Connection, tables: Sequence[Table], columns: frozenset[str], subjects: Sequence[str]
    ) -> list[Values]:
        keys = [_key(subject) for subject in subjects]
        rows: Mapping[bytes, dict[str, Any]] = {key: {} for key in keys}
        for key, column, value in db.execute(self._statement(tables, len(keys)), keys):
            if column in columns:
                rows[key][column] = Proto.FromString(value)
        return [rows[key] for key in keys]

    def _statement(self, tables: Sequence[Table], n: int) -> str:
        marks = ",".join(f"?{i}" for i in range(1, n + 1))
        return " UNION ALL ".join(
            f"SELECT entity_key, feature_name, value FROM {self._name(t)} WHERE entity_key IN ({marks})"  # noqa: S608
            for t in tables
        )

    def _name(self, table: Table) -> str:
        return f'"{self._config.project}_{table.name}"'


def _key(subject: str) -> bytes:
    return serialize_entity_key(entity_key(subject), entity_key_serialization_version=3)  # type: ignore[no-any-return]


def _feast_row(write: Write) -> tuple[Values, datetime, datetime]:
    event, created = (datetime_at(us) for us in (write.event_us, write.created_us))
    return write.values, event, created


@contextmanager
def _immediate(db: sqlite3.Connection, synchronous: str) -> Iterator[sqlite3.Connection]:
    """Run the body in a transaction with the file's write lock; roll back if it fails."""
    db.execute(f"PRAGMA synchronous={synchronous}")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.commit()
    finally:
        db.rollback()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable("the online feature store cannot be reached") from error
