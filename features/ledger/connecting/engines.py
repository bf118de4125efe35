"""How connections to the ledger's database are made: their settings, their limits, and their isolation."""

import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from decisioning.errors import Unavailable

_READ_MS: Final = 1000
"""How long a read of SQLite waits for a lock. Readers need none, but while a file is opened first or after a crash."""
_PRAGMAS: Final = ("synchronous=FULL", "secure_delete=ON")


def database_url(url_or_path: str | Path) -> URL:
    """Return the address of a SQLite file, or of a server; raises Unavailable."""
    address = str(url_or_path)
    if "://" not in address:
        return URL.create("sqlite", database=str(Path(address).absolute()))
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise Unavailable("the ledger's database url cannot be read") from error
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url


def create_private(path: str | None) -> None:
    """Create the file with mode 0600, which SQLite gives to its log too; a file that is there is not opened.

    Closing it would take away the locks that another connection of this process holds (see `check_whole`).
    """
    try:
        if not os.path.isfile(str(path)):
            os.close(os.open(str(path), os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unavailable(f"the ledger's file cannot be opened: {error.strerror}") from error


def engine_for(url: URL, *, autocommit: bool, waits: bool) -> Engine:
    """Return an engine.

    :param waits: whether its connections wait where SQLite is busy; the writers do not, as `transact` tries again
    """
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"check_same_thread": False} if sqlite else {}
    isolation: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None} if autocommit else {}
    pool = {"pool_size": 8, "max_overflow": 24} if waits else {"pool_size": 1, "max_overflow": 2}
    try:
        engine = create_engine(url, hide_parameters=True, connect_args=arguments, **pool, **isolation)
        if not sqlite:
            _tune_postgresql(engine)
    except ImportError as error:
        raise Unavailable("PostgreSQL's driver is not installed: pip install 'central-brain[postgresql]'") from error
    if sqlite:
        _tune_sqlite(engine, autocommit=autocommit, waits=waits)
    return engine


def _tune_postgresql(engine: Engine) -> None:
    from features import postgresql  # noqa: PLC0415 (its driver is not always installed)

    def on_connect(dialect: Any, record: Any, args: Any, parameters: dict[str, Any]) -> Any:
        return postgresql.connect(*args, **parameters)

    event.listen(engine, "do_connect", on_connect)


def _tune_sqlite(engine: Engine, *, autocommit: bool, waits: bool) -> None:
    """Set pragmas. The writer waits in `transact`, in steps under 2 ms: SQLite itself sleeps up to 100 ms at a time."""
    wait_ms = _READ_MS if waits else 0

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # `on_begin` begins transactions, not the driver
        for pragma in (*_PRAGMAS, f"busy_timeout={wait_ms}"):
            connection.execute(f"PRAGMA {pragma}")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    if not autocommit:
        event.listen(engine, "begin", on_begin)


def is_silence(error: SQLAlchemyError) -> bool:
    """Tell whether the server did not answer in time; SQLite never is silent."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if cause is None or isinstance(cause, sqlite3.Error):
        return False
    from features import postgresql  # noqa: PLC0415 (its driver is not always installed)

    return postgresql.is_silence(cause)
