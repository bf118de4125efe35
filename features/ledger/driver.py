"""The hot statements of the ledger, run on the driver itself.

Every decision reads standings and appends records. SQLAlchemy's compilation, caching and result layers take several
times as long for these few statements as the database does, so they are written out here and both drivers prepare them.
Everything else goes through SQLAlchemy. Errors are raised as SQLAlchemy raises them, so that callers handle one kind.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Parameters = Sequence[Any]
_MAX_PARAMETERS = 500
_ONE_BY_ONE = nullcontext()
_T = TypeVar("_T")


def fetch(connection: Connection, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Return all rows of one reading statement, whose parameters are written `?`."""
    driver = connection.connection.driver_connection
    try:
        rows: list[tuple[Any, ...]] = driver.execute(_in_dialect(connection, sql), parameters).fetchall()  # type: ignore[union-attr]
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, sql, error)
    return rows


def execute_many(connection: Connection, sql: str, rows: Sequence[Parameters]) -> None:
    """Run one writing statement for every row of parameters; PostgreSQL's driver sends them as one pipeline."""
    driver = connection.connection.driver_connection
    try:
        driver.cursor().executemany(_in_dialect(connection, sql), rows)  # type: ignore[union-attr]
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, sql, error)


def transact(connection: Connection, work: Callable[[Connection], _T]) -> _T:
    """Run `work`, whose statements are all run by this module, in one write transaction, and return what it returns.

    PostgreSQL's driver sends what is not read in between as one pipeline. The connection must be in autocommit mode.
    """
    driver: Any = connection.connection.driver_connection
    postgresql = is_postgresql(connection)
    try:
        with driver.pipeline() if postgresql else _ONE_BY_ONE:
            driver.execute("BEGIN" if postgresql else "BEGIN IMMEDIATE")
            result = work(connection)
            _commit(driver)
    except BaseException as error:
        _roll_back(driver, connection)
        if isinstance(error, connection.dialect.loaded_dbapi.Error):
            _raise(connection, "COMMIT", error)
        raise
    return result


def _commit(driver: Any) -> None:
    driver.execute("COMMIT")


def _roll_back(driver: Any, connection: Connection) -> None:
    """Undo the transaction, if there is one; a lost connection has none."""
    with suppress(connection.dialect.loaded_dbapi.Error):
        driver.rollback()


def is_postgresql(connection: Connection) -> bool:
    """Tell whether the connection is to PostgreSQL rather than SQLite."""
    return connection.dialect.name == "postgresql"


def in_chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield parts of up to 500 values, because databases limit the parameters of a statement."""
    return (values[at : at + _MAX_PARAMETERS] for at in range(0, len(values), _MAX_PARAMETERS))


@lru_cache(maxsize=64)
def placeholders(n: int) -> str:
    """Return `n` placeholders, separated by commas."""
    return ", ".join("?" * n)


def insert_into(table: Table, *columns: str) -> str:
    """Return the statement that inserts a row with these columns."""
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({placeholders(len(columns))})"  # noqa: S608 (names of our own)


def _in_dialect(connection: Connection, sql: str) -> str:
    return _with_percent(sql) if is_postgresql(connection) else sql


@lru_cache(maxsize=256)
def _with_percent(sql: str) -> str:
    return sql.replace("?", "%s")


def _raise(connection: Connection, sql: str, error: Exception) -> NoReturn:
    """Raise what SQLAlchemy would: of the class that the driver's error has there, and marked if the server is gone."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(error)
    base = dialect.loaded_dbapi.Error
    raise DBAPIError.instance(
        sql, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=dialect
    ) from error
