"""Up to which number all rows of a table can be read, so that none appears later with a lower number.

SQLite numbers and commits under one lock. PostgreSQL numbers a row before its transaction commits, so a lower number
may become readable after a higher one. But a transaction holds a lock of the table from before it takes a number until
after its rows can be read. So once those have ended that held such a lock when the highest number was read, nothing up
to that number is missing. To find this out locks nothing: no transaction waits for a reader.
"""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final

from sqlalchemy import Row, Table, func, select, text

_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.02
_WRITING: Final = """
SELECT (SELECT max(seq) FROM {table}) AS seq, array(
  SELECT virtualtransaction FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = '{table}'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS writers
"""
"""The highest number that can be read, and who writes. The number is read as of the beginning of the statement, and the
locks after it."""


class SettledNumbers:
    """Tells up to which `seq` of a table all rows can be read. Safe to use from any thread."""

    def __init__(self, fetch: Callable[..., Sequence[Row[Any]]], table: Table, *, sqlite: bool) -> None:
        self._fetch, self._lock = fetch, Lock()
        self._highest = select(func.max(table.c.seq).label("seq"))
        self._asked = self._highest if sqlite else text(_WRITING.format(table=table.name))
        self._settled = 0
        self._next: tuple[int, frozenset[str]] | None = None
        """A number, and which of those who wrote when it was read have not ended yet."""

    def highest(self) -> int:
        """Return the highest number that can be read; rows with lower ones may still be committed."""
        return int(self._fetch(self._highest)[0].seq or 0)

    def upto(self, within_s: float = 0.0) -> int:
        """Return the highest number known up to which all rows can be read; it never falls.

        :param within_s: for how long at most to wait until those have ended who write now
        """
        ends_s, pause_s = time.monotonic() + within_s, _FIRST_PAUSE_S
        highest = self._ask()
        while self._settled < highest and time.monotonic() + pause_s <= ends_s:
            time.sleep(pause_s)
            pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)
            self._ask()
        return self._settled

    def _ask(self) -> int:
        """Ask for the highest number and for who writes, and return the number."""
        with self._lock:  # of two answers the later one comes last
            (row,) = self._fetch(self._asked)
            highest, writers = int(row.seq or 0), frozenset(getattr(row, "writers", ()))
            if not writers:
                self._settled, self._next = max(self._settled, highest), None
            elif self._next is None or not self._next[1] & writers:
                self._settled = self._settled if self._next is None else max(self._settled, self._next[0])
                self._next = highest, writers
            return highest
