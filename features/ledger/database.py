"""One database, SQLite or PostgreSQL: connections, retries, migrations, and foreign errors turned into ours.

Readers have connections of their own and never wait for the writer. All else that the two databases do differently is
in this file: how a write transaction begins, which errors pass by themselves, and what erasing takes.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.sql import Executable

from decisioning.errors import Unavailable
from features.ledger.tables import (
    DELIVERIES,
    NEWEST,
    RECORDS,
    SIGNAL_STATES,
    SIGNALS,
    STANDINGS,
    VERSION_TABLE,
    WATCHES,
)

_T = TypeVar("_T")
PATIENCE_S: Final = 5.0
"""How long a write is retried while others hold what it needs, or the server is away."""
_FIRST_PAUSE_S: Final = 0.0003
_LONGEST_PAUSE_S: Final = 0.002
_RECONNECT_PAUSE_S: Final = 0.1
_MIGRATION_LOCK: Final = 0x6C6564676572  # any constant of our own; PostgreSQL's advisory locks are numbers
_SQLITE_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_POSTGRES_PASSING: Final = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout
_PRAGMAS: Final = ("synchronous=FULL", "secure_delete=ON")
_ERASED_FROM: Final = ", ".join(kept.name for kept in (RECORDS, STANDINGS, SIGNALS, SIGNAL_STATES, WATCHES, DELIVERIES))
_HIGHEST: Final = select(func.max(RECORDS.c.seq).label("seq"))
_POSTGRES_OPTIONS: Final = "-c lock_timeout=2000 -c statement_timeout=60000"


class Database:
    """Open connections to one ledger database whose tables are the newest.

    :raises Unavailable: it cannot be opened
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self.url = _url(url_or_path)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            _create_private(self.url.database)
        self._writer = _engine(self.url, readonly=False)
        self._reader = _engine(self.url, readonly=True)
        if self.sqlite:
            self._use_wal()
        self._migrate()

    def fetch(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows of one reading statement: one round trip, one snapshot.

        :raises Unavailable: the database cannot be reached
        """
        try:
            return self._fetch(statement, parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise _unavailable(error) from error
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        try:
            return self._fetch(statement, parameters)  # the server had gone away and may be back
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def _fetch(self, statement: Executable, parameters: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        with self._reader.connect() as connection:
            return connection.execute(statement, parameters).all()

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` in one write transaction, again from the start when another writer got in its way.

        `work` must be safe to run again; what it raises of ours rolls back and goes through.

        :raises Unavailable: it could not be committed within `PATIENCE_S`
        """
        deadline, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
        while True:
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                if not _passing(error) or time.monotonic() > deadline:
                    raise _unavailable(error) from error
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
            time.sleep(_RECONNECT_PAUSE_S if lost else pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def settled(self) -> int:
        """The highest `seq` so far; whatever is committed from now on has a higher one.

        SQLite numbers and commits under one lock. PostgreSQL numbers before it commits, so there this waits a moment,
        until no transaction that holds a number is still open.
        """
        if self.sqlite:
            return int(self.fetch(_HIGHEST)[0].seq or 0)

        def highest(connection: Connection) -> int:
            connection.execute(text("LOCK TABLE records IN SHARE MODE"))
            return int(connection.execute(_HIGHEST).scalar() or 0)

        return self.transact(highest)

    def scrub(self) -> None:
        """Leave nothing of deleted bodies in the database's files.

        SQLite overwrites freed bytes (secure_delete) and then empties its write-ahead log. PostgreSQL vacuums the
        tables; its write-ahead log keeps what it had until segments are recycled, and its backups are its owner's.

        :raises Unavailable: readers kept the log busy for `PATIENCE_S`; nothing is lost by asking again
        """
        if not self._scrubbed():
            raise Unavailable("the subject is erased, but the log is still being read: erase again to empty it")

    def rewrite(self) -> None:
        """Every row into a new file: SQLite overwrites what it frees, not what it leaves in a page when rows move on.

        Takes as long as the file is large, and writers wait meanwhile. PostgreSQL's files are its owner's.

        :raises Unavailable: others kept it busy; ask again
        """
        if self.sqlite:
            try:
                with self._reader.connect() as connection:
                    connection.exec_driver_sql("VACUUM")
            except SQLAlchemyError as error:
                raise _unavailable(error) from error
        self.scrub()

    def _scrubbed(self) -> bool:
        try:
            with self._reader.connect() as connection:
                if self.sqlite:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
                    return not busy
                _vacuum(connection)
                return True
        except SQLAlchemyError as error:
            if _passing(error):
                return False
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def _use_wal(self) -> None:
        """Once per file; takes it for a moment, so that two processes opening at once have to take turns."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._reader.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except SQLAlchemyError as error:
                if not _passing(error) or time.monotonic() > deadline:
                    raise _unavailable(error) from error
            time.sleep(_LONGEST_PAUSE_S)

    def _migrate(self) -> None:
        def upgrade(connection: Connection) -> None:
            if not self.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            if _schema_version(connection) != NEWEST:
                _upgrade(connection)

        try:
            with self._reader.connect() as connection:
                current = _schema_version(connection)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        if current != NEWEST:
            self.transact(upgrade)


def upsert(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    initial: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Set `values` in the row with this `key`; insert the row where there is none.

    :param initial: further columns of an inserted row; an existing row keeps its own
    """
    here = [table.c[name] == value for name, value in key.items()]
    if not connection.execute(update(table).where(*here).values(**values)).rowcount:
        connection.execute(insert(table).values(**key, **initial, **values))


def _url(url_or_path: str | Path) -> URL:
    given = str(url_or_path)
    if "://" not in given:
        return URL.create("sqlite", database=str(Path(given).absolute()))
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise Unavailable("the ledger's database url cannot be read") from error
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url


def _create_private(path: str | None) -> None:
    """The file with mode 0600, which SQLite gives to its log as well."""
    try:
        os.close(os.open(str(path), os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unavailable(f"the ledger's file cannot be opened: {error.strerror}") from error


def _engine(url: URL, *, readonly: bool) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"check_same_thread": False} if sqlite else _postgres_arguments()
    isolation: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None} if readonly else {}
    pool = {"pool_size": 8, "max_overflow": 24} if readonly else {"pool_size": 1, "max_overflow": 2}
    try:
        engine = create_engine(url, hide_parameters=True, connect_args=arguments, **pool, **isolation)
    except ImportError as error:
        raise Unavailable("PostgreSQL's driver is not installed: pip install 'central-brain[postgresql]'") from error
    if sqlite:
        _tune_sqlite(engine, readonly=readonly)
    return engine


def _postgres_arguments() -> dict[str, Any]:
    return {"connect_timeout": 3, "options": _POSTGRES_OPTIONS}


def _tune_sqlite(engine: Engine, *, readonly: bool) -> None:
    """The writer waits in `transact`, in steps of under 2 ms; SQLite's own waiting sleeps up to 100 ms at a time."""
    wait_ms = int(PATIENCE_S * 1000) if readonly else 0

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        for pragma in (*_PRAGMAS, f"busy_timeout={wait_ms}"):
            connection.execute(f"PRAGMA {pragma}")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    if not readonly:
        event.listen(engine, "begin", on_begin)


def _vacuum(connection: Connection) -> None:
    """Takes as long as the tables are large, so no time limit; it blocks neither readers nor writers."""
    connection.execute(text("SET statement_timeout = 0"))
    try:
        connection.execute(text(f"VACUUM {_ERASED_FROM}"))
    finally:
        connection.execute(text("RESET statement_timeout"))


def _passing(error: SQLAlchemyError) -> bool:
    """Whether the same work may succeed a moment later."""
    if isinstance(error, IntegrityError):
        return True  # another process took a key or began a stream between our look and our insert
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return (getattr(error.orig, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_BUSY
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _POSTGRES_PASSING


def _unavailable(error: SQLAlchemyError) -> Unavailable:
    cause = type(error.orig).__name__ if isinstance(error, DBAPIError) else type(error).__name__
    return Unavailable(f"the ledger's database cannot be used now ({cause})")


def _schema_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(sql_column("version_num")).select_from(sql_table(VERSION_TABLE))).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 (a third of a second that only a new database pays)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
