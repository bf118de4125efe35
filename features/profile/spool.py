"""What was stated since the last compaction: a small SQLite file, durable before a write is acknowledged.

Its write transaction is also what serialises writers of the online store across processes.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from decisioning.errors import Unavailable
from features.profile.versions import Stamp, Statement

BUSY_S = 5.0


class Spool:
    """One connection for all threads of a process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        self._thread = threading.RLock()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS statement (id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL,"
            " event_us INTEGER NOT NULL, created_us INTEGER NOT NULL, facts TEXT NOT NULL)"
        )
        self._db.execute("CREATE INDEX IF NOT EXISTS statement_subject ON statement (subject)")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone among all writers of this workspace; everything spooled inside is kept only if the body succeeds.

        Raises Unavailable when another writer holds on for longer than `BUSY_S`, or the disk fails.
        """
        with self._thread:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable("the feature history cannot be written; try again") from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def append(self, subject: str, statement: Statement) -> None:
        """Keep one statement; call inside `writing`."""
        facts = json.dumps(dict(statement.facts), separators=(",", ":"), sort_keys=True, allow_nan=False)
        self._db.execute(
            "INSERT INTO statement (subject, event_us, created_us, facts) VALUES (?, ?, ?, ?)",
            (subject, *statement.stamp, facts),
        )

    def read(self) -> tuple[int, list[tuple[str, Statement]]]:
        """Everything spooled, oldest first, and the id up to which `drop` may forget it."""
        with self._thread:
            rows = self._db.execute(
                "SELECT id, subject, event_us, created_us, facts FROM statement ORDER BY id"
            ).fetchall()
        said = [(subject, Statement(Stamp(e, c), json.loads(facts))) for _, subject, e, c, facts in rows]
        return (rows[-1][0] if rows else 0), said

    def of(self, subject: str) -> list[Statement]:
        """What is spooled of one subject, oldest first."""
        with self._thread:
            rows = self._db.execute(
                "SELECT event_us, created_us, facts FROM statement WHERE subject = ? ORDER BY id", (subject,)
            ).fetchall()
        return [Statement(Stamp(event_us, created_us), json.loads(facts)) for event_us, created_us, facts in rows]

    def drop(self, up_to: int) -> None:
        """Forget what is now in the Parquet files."""
        with self.writing():
            self._db.execute("DELETE FROM statement WHERE id <= ?", (up_to,))

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects; call inside `writing`, and `scrub` after it."""
        self._db.executemany("DELETE FROM statement WHERE subject = ?", [(s,) for s in subjects])

    def scrub(self) -> None:
        """Leave no erased byte in the log; raises Unavailable while another process still reads it."""
        scrub(self._db, "the feature history")

    def rewrite(self) -> None:
        """Every row into a new file, so that nothing erased is left between them; raises Unavailable as `scrub`."""
        with self._thread:
            rewrite(self._db, "the feature history")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def scrub(db: sqlite3.Connection, what: str) -> None:
    """Move SQLite's write-ahead log of `db` into its file and cut the log to nothing."""
    try:
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:
        busy = True
    if busy:
        raise Unavailable(f"{what} is being read elsewhere; erased values are still in its log: erase again")


def rewrite(db: sqlite3.Connection, what: str) -> None:
    """As `scrub`, after every row went into a new file: SQLite leaves copies in a page when rows move to another."""
    try:
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{what} is busy; erased values may still be in its file: erase again") from error
    scrub(db, what)
