"""Remove from SQLite files what deleted rows left behind, a few rows at a time, so that no writer waits for long.

SQLite overwrites a row that it deletes (secure_delete), but a page from which rows moved keeps copies of them. So the
rows of a table are deleted and inserted again in the order in which the file holds them, which empties one page after
the other. The file keeps how far this has come: another process, or the next one, goes on from there.
"""

import ast
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from decisioning.errors import Unavailable

PROGRESS: Final = "CREATE TABLE IF NOT EXISTS rewrites (name TEXT PRIMARY KEY, pass_us INTEGER NOT NULL, after TEXT)"
"""Makes the table in which a file keeps how far its tables are rewritten."""
ROWS: Final = 100
"""Rows of one transaction: some milliseconds."""
PATIENCE_S: Final = 5.0
"""How long `empty_log` tries."""
_END: Final = "end"
_BUSY_MS: Final = 20
_LEAST_PAUSE_S: Final = 0.002
_TRY_AGAIN_S: Final = 0.05


class Rows(NamedTuple):
    """A table, the columns of its rows, and the columns by which the file orders them."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


def rewrite_some(db: sqlite3.Connection, rows: Rows, pass_us: int) -> bool:
    """Rewrite the next rows inside the caller's write transaction; return whether there may be more.

    :param pass_us: names the pass; one with another name begins at the first row
    """
    after = _position(db, rows.table, pass_us)
    if after == _END:
        return False
    some = _next(db, rows, None if after is None else ast.literal_eval(after))
    _put_again(db, rows, some)
    last = repr(_key_of(rows, some[-1])) if len(some) == ROWS else _END
    db.execute("INSERT OR REPLACE INTO rewrites (name, pass_us, after) VALUES (?, ?, ?)", (rows.table, pass_us, last))
    return last != _END


def rewrite_next(db: sqlite3.Connection, rows: Rows, after: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Rewrite the rows after a key inside the caller's write transaction, from the first for None.

    Returns the key to go on after, None at the end. For a caller that keeps by itself how far it has come.
    """
    some = _next(db, rows, after)
    _put_again(db, rows, some)
    return _key_of(rows, some[-1]) if len(some) == ROWS else None


def probe(db: sqlite3.Connection) -> None:
    """Change a row of the file inside the caller's write transaction, to see whether it can be written."""
    db.execute("INSERT OR REPLACE INTO rewrites (name, pass_us, after) VALUES ('probe', ?, NULL)", (time.time_ns(),))


def paced(step: Callable[[], bool]) -> None:
    """Call `step` until it returns False; the pause after each call is twice as long as the call was."""
    more = True
    while more:
        began_s = time.perf_counter()
        more = step()
        time.sleep(max(_LEAST_PAUSE_S, 2 * (time.perf_counter() - began_s)))


def truncate_log(db: sqlite3.Connection) -> bool:
    """Move the write-ahead log into the file and empty it; return False if others kept it busy for some milliseconds.

    Most of the work is done by a first checkpoint, which nobody waits for.
    """
    (busy_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    finally:
        db.execute(f"PRAGMA busy_timeout={busy_ms}")


def empty_log(truncate: Callable[[], bool], what: str) -> None:
    """Call `truncate` until it returns True.

    :raises Unavailable: it returned False for `PATIENCE_S`; `what` names the database in the error
    """
    until_s = time.monotonic() + PATIENCE_S
    while not truncate():
        if time.monotonic() > until_s:
            raise Unavailable(f"{what} is being read elsewhere; erased values are still in its log: try again")
        time.sleep(_TRY_AGAIN_S)


def _position(db: sqlite3.Connection, table: str, pass_us: int) -> str | None:
    row = db.execute("SELECT after FROM rewrites WHERE name = ? AND pass_us = ?", (table, pass_us)).fetchone()
    return None if row is None else str(row[0])


def _next(db: sqlite3.Connection, rows: Rows, after: tuple[Any, ...] | None) -> list[tuple[Any, ...]]:
    key, columns = ", ".join(rows.key), ", ".join(rows.columns)
    above = "" if after is None else f"WHERE ({key}) > ({_marks(rows.key)})"
    sql = f"SELECT {columns} FROM {rows.table} {above} ORDER BY {key} LIMIT {ROWS}"  # noqa: S608 (names of our own)
    return db.execute(sql, after or ()).fetchall()


def _put_again(db: sqlite3.Connection, rows: Rows, some: list[tuple[Any, ...]]) -> None:
    is_one = " AND ".join(f"{name} = ?" for name in rows.key)
    db.executemany(f"DELETE FROM {rows.table} WHERE {is_one}", [_key_of(rows, row) for row in some])  # noqa: S608 (as above)
    put = f"INSERT INTO {rows.table} ({', '.join(rows.columns)}) VALUES ({_marks(rows.columns)})"  # noqa: S608 (as above)
    db.executemany(put, some)


def _key_of(rows: Rows, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(row[rows.columns.index(name)] for name in rows.key)


def _marks(names: tuple[str, ...]) -> str:
    return ", ".join("?" * len(names))
