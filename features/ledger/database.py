"""One database, SQLite or PostgreSQL: connections, retries, migrations, and its errors as errors of the brain.

Readers have connections of their own and never wait for the writer. Whatever else the two databases do differently is
in this module too: how a write transaction begins, which errors are transient, and what an erasure requires.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    Row,
    Table,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.sql import Executable

from decisioning.errors import Unavailable
from decisioning.times import TOLERANCE_US
from features.deadlines import Silence, answering_within
from features.files import OpenedFile
from features.ledger import driver
from features.ledger.connecting.engines import create_private, database_url, engine_for, is_silence
from features.ledger.connecting.settled import SettledNumbers
from features.ledger.tables import (
    AGENTS,
    CLAIMS,
    CONTACTS,
    CONVERSATION_WORDS,
    CUSTOMER_CODES,
    CUSTOMER_SESSIONS,
    DELIVERIES,
    HANDOVERS,
    LOOKS,
    NEWEST,
    OUTCOMES,
    RECORDS,
    REQUESTS,
    SIGNAL_STATES,
    SIGNALS,
    STANDINGS,
    VERSION_TABLE,
    WATCHES,
)
from features.mounts import require_local
from features.remains import empty_log, truncate_log
from features.sqlite_errors import is_read_only, sqlite_advice, sqlite_cause

_T = TypeVar("_T")
PATIENCE_S: Final = 5.0
"""How long a write is retried while others hold a lock that it needs, or the server is away."""
_FIRST_PAUSE_S: Final = 0.0003
_LONGEST_PAUSE_S: Final = 0.002
_RECONNECT_PAUSE_S: Final = 0.1
_MIGRATION_LOCK: Final = 0x6C6564676572  # an arbitrary constant: PostgreSQL's advisory locks are numbers
_SQLITE_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_POSTGRES_TRANSIENT: Final = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout
_LARGE_CACHE_KB: Final = 65_536
_ERASED_FROM: Final = ", ".join(
    table.name
    for table in (
        *(RECORDS, STANDINGS, CONTACTS, OUTCOMES, SIGNALS, SIGNAL_STATES, WATCHES, DELIVERIES, LOOKS),
        *(CUSTOMER_CODES, CUSTOMER_SESSIONS, REQUESTS),
        *(HANDOVERS, CONVERSATION_WORDS, AGENTS),
    )
)
_NAME: Final = "the ledger's database"


class Database:
    """Connections to one ledger database, whose tables are brought up to the newest version.

    :raises Unavailable: it cannot be opened
    :raises Refused: it is a file on a shared file system
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self.url = database_url(url_or_path)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            require_local(Path(str(self.url.database)))
            create_private(self.url.database)
        self._writer = engine_for(self.url, autocommit=False, waits=False)
        self._hot_writer = engine_for(self.url, autocommit=True, waits=False)
        self._reader = engine_for(self.url, autocommit=True, waits=True)
        self._hot: Connection | None = None
        self._silence = Silence(_NAME, partial(self._read_once, _ask))
        self._file = OpenedFile(Path(str(self.url.database))) if self.sqlite else None
        if self.sqlite:
            self._use_wal()
        self._migrate()

    @property
    def address(self) -> str:
        """What another process opens the same database by; on PostgreSQL it holds the password."""
        return str(self.url.database) if self.sqlite else self.url.render_as_string(hide_password=False)

    def fetch(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Return all rows of one reading statement: one round trip, one snapshot.

        :raises Unavailable: the database cannot be reached
        """
        return self._read(lambda connection: connection.execute(statement, parameters).all())

    def fetch_hot(self, sql: str, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """Return what `fetch` does, as tuples, for a statement that every decision runs (see `features.ledger.driver`).

        :raises Unavailable: the database cannot be reached
        """
        return self._read(lambda connection: driver.fetch(connection, sql, parameters))

    def fetch_together(self, read: Callable[[Connection], _T]) -> _T:
        """Return what `read` returns, whose statements all see one moment.

        :raises Unavailable: the database cannot be reached
        """
        begin = "BEGIN" if self.sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

        def snapshot(connection: Connection) -> _T:
            connection.exec_driver_sql(begin)
            try:
                return read(connection)
            finally:
                connection.exec_driver_sql("ROLLBACK")

        return self._read(snapshot)

    def _read(self, read: Callable[[Connection], _T]) -> _T:
        """Run `read`, and once more if the connection was lost: the server may be back by now.

        Of a server that does not answer, nothing is asked until it does.
        """
        self._silence.check()
        self._check_writable()
        try:
            return self._read_once(read)
        except DBAPIError as error:
            if error.connection_invalidated and not is_silence(error):
                return self._read_again(read)
            raise self._failed(error) from error
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def _read_again(self, read: Callable[[Connection], _T]) -> _T:
        try:
            return self._read_once(read)
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def _check_writable(self) -> None:
        if self._file is not None:
            self._file.check_writable()

    def _failed(self, error: SQLAlchemyError) -> Unavailable:
        """Return what to raise; if the server was silent, ask it nothing more, and drop the other connections to it."""
        if is_silence(error):
            self._reader.dispose()
            self._silence.begin()
        return _unavailable(error)

    def _read_once(self, read: Callable[[Connection], _T]) -> _T:
        with self._reader.connect() as connection:
            return read(connection)

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` in one write transaction; run it again from the start if another writer interferes.

        `work` must be safe to run again. An error of the brain that it raises rolls back and is raised to the caller.

        :raises Unavailable: it could not be committed within `PATIENCE_S`
        """

        def once() -> _T:
            with self._writer.begin() as connection:
                return work(connection)

        return self._patiently(once)

    def transact_hot(self, work: Callable[[Connection], _T]) -> _T:
        """Do what `transact` does, for one thread at a time and for work that runs statements by `driver` alone.

        Its connection is kept, and SQLAlchemy takes no part in the transaction: that alone took as long as the rest.

        :raises Unavailable: it could not be committed within `PATIENCE_S`
        """
        return self._patiently(lambda: driver.transact(self._hot_connection(), work))

    def _hot_connection(self) -> Connection:
        if self._hot is None or self._hot.invalidated:
            self._hot = self._hot_writer.connect()
        return self._hot

    def _patiently(self, once: Callable[[], _T]) -> _T:
        """Return what `once` returns, called again as long as other writers interfere."""
        deadline, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
        if self._file is not None:
            self._file.check()
        while True:
            try:
                return once()
            except SQLAlchemyError as error:
                if is_read_only(error):
                    self._open_writers_again()
                if not _is_transient(error) or time.monotonic() > deadline:
                    raise _unavailable(error) from error
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
            time.sleep(_RECONNECT_PAUSE_S if lost else pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _open_writers_again(self) -> None:
        """SQLite opens a file for reading only while it cannot be written, and the connection stays so for good."""
        self._writer.dispose()
        if self._hot is not None:
            self._hot.invalidate()

    def settled_seq(self) -> int:
        """Return the highest `seq` so far; records that are committed later have higher ones.

        On PostgreSQL this waits until those have ended who write now.

        :raises Unavailable: the database cannot be reached, or somebody writes for longer than `PATIENCE_S`
        """
        numbers = self.numbers_of(RECORDS)
        highest, settled = numbers.highest(), numbers.upto(PATIENCE_S)
        if settled < highest:
            raise Unavailable(f"{_NAME} cannot be read now (a transaction is open for long)")
        return settled

    def numbers_of(self, table: Table) -> SettledNumbers:
        """Return what tells up to which `seq` all rows of a table can be read."""
        return SettledNumbers(self.fetch, table, sqlite=self.sqlite)

    def truncate_log(self) -> bool:
        """Empty SQLite's write-ahead log, which holds what was deleted; return False if it was busy just now.

        :raises Unavailable: the database cannot be reached
        """
        if not self.sqlite:
            return True
        self._check_writable()
        try:
            with self._reader.connect() as connection:
                return truncate_log(connection.connection.driver_connection)  # type: ignore[arg-type]
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _unavailable(error) from error

    def vacuum(self) -> None:
        """Let PostgreSQL overwrite what was deleted; neither readers nor writers wait for it.

        :raises Unavailable: the database cannot be reached
        """
        try:
            with self._reader.connect() as connection, answering_within(math.inf):
                _vacuum(connection)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._silence.end()
        if self._hot is not None:
            self._hot.close()
        self._hot_writer.dispose()
        self._writer.dispose()
        self._reader.dispose()

    def _use_wal(self) -> None:
        """Switch the file to WAL mode. This locks it for a moment, so two processes that open it at once take turns."""
        self._check_writable()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._reader.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except SQLAlchemyError as error:
                if not _is_transient(error) or time.monotonic() > deadline:
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
        if current is not None and current > NEWEST:
            raise Unavailable("a newer version of the software has written this ledger: update the software to open it")
        if current != NEWEST:
            with answering_within(math.inf):
                self.transact(upgrade)
            if self.sqlite and current is not None:
                empty_log(self.truncate_log, "the ledger")  # which holds what was in the old tables


def enlarge_cache(connection: Connection) -> None:
    """Let a write connection to SQLite keep 64 MB of pages: with its 2 MB, a large transaction writes some twice."""
    if not driver.is_postgresql(connection):
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_LARGE_CACHE_KB}")


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


def claim(connection: Connection, name: str, now_us: int, until_us: int) -> bool:
    """Claim shared work until a time, unless another process has it; an older claim that lies further ahead is void."""
    made_ahead = CLAIMS.c.until_us > until_us + TOLERANCE_US  # by a clock that was wrong
    free = (CLAIMS.c.name == name) & ((CLAIMS.c.until_us <= now_us) | made_ahead)
    if connection.execute(update(CLAIMS).where(free).values(until_us=until_us)).rowcount:
        return True
    if connection.execute(select(CLAIMS.c.name).where(CLAIMS.c.name == name)).first():
        return False
    connection.execute(insert(CLAIMS).values(name=name, until_us=until_us))
    return True


def _vacuum(connection: Connection) -> None:
    """Vacuum without a time limit, as the time grows with the tables; neither readers nor writers wait for it."""
    connection.execute(text("SET statement_timeout = 0"))
    try:
        connection.execute(text(f"VACUUM {_ERASED_FROM}"))
    finally:
        connection.execute(text("RESET statement_timeout"))


def _ask(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1")


def _is_transient(error: SQLAlchemyError) -> bool:
    """Tell whether the same work may succeed a moment later."""
    if isinstance(error, IntegrityError):
        return True  # another process took a key or began a stream between the lookup and the insert
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return (getattr(error.orig, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_BUSY
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _POSTGRES_TRANSIENT


def _unavailable(error: SQLAlchemyError | sqlite3.Error) -> Unavailable:
    sqlite = sqlite_cause(error)
    cause = type(error.orig).__name__ if isinstance(error, DBAPIError) else type(error).__name__
    if sqlite is not None:
        cause = sqlite_advice(sqlite)
    return Unavailable(f"{_NAME} cannot be used now ({cause})")


def _schema_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(sql_column("version_num")).select_from(sql_table(VERSION_TABLE))).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 (a third of a second, needed only for a new database)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
