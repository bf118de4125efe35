"""The statements since the last compaction, in a small SQLite file that is durable before a write is acknowledged.

Its write transaction also serialises writers of the online store across processes.
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
    """The spool file of a workspace, with one connection for all threads of a process."""

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
        """Exclude all other writers of this workspace; appended statements are kept only if the body succeeds.

        Raises Unavailable when another writer takes longer than `BUSY_S`, or the disk fails.
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
        """Add one statement; call inside `writing`."""
        facts = json.dumps(dict(statement.facts), separators=(",", ":"), sort_keys=True, allow_nan=False)
        self._db.execute(
            "INSERT INTO statement (subject, event_us, created_us, facts) VALUES (?, ?, ?, ?)",
            (subject, *statement.stamp, facts),
        )

    def read(self) -> tuple[int, list[tuple[str, Statement]]]:
        """Return the id up to which `drop` may delete, and all statements as (subject, statement), oldest first."""
        with self._thread:
            rows = self._db.execute(
                "SELECT id, subject, event_us, created_us, facts FROM statement ORDER BY id"
            ).fetchall()
        statements = [(subject, Statement(Stamp(e, c), json.loads(facts))) for _, subject, e, c, facts in rows]
        return (rows[-1][0] if rows else 0), statements

    def of(self, subject: str) -> list[Statement]:
        """Return the statements about one subject, oldest first."""
        with self._thread:
            rows = self._db.execute(
                "SELECT event_us, created_us, facts FROM statement WHERE subject = ? ORDER BY id", (subject,)
            ).fetchall()
        return [Statement(Stamp(event_us, created_us), json.loads(facts)) for event_us, created_us, facts in rows]

    def drop(self, up_to: int) -> None:
        """Delete the statements up to this id, which are now in the Parquet files."""
        with self.writing():
            self._db.execute("DELETE FROM statement WHERE id <= ?", (up_to,))

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects; call inside `writing`, and call `scrub` afterwards."""
        self._db.executemany("DELETE FROM statement WHERE subject = ?", [(s,) for s in subjects])

    def scrub(self) -> None:
        """Remove erased bytes from the log. Raises Unavailable while another process still reads it."""
        scrub(self._db, "the feature history")

    def rewrite(self) -> None:
        """Write every row into a new file, so that no erased byte stays between rows. Raises Unavailable as `scrub`."""
        with self._thread:
            rewrite(self._db, "the feature history")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def scrub(db: sqlite3.Connection, what: str) -> None:
    """Move the write-ahead log of `db` into its file and truncate the log. Raises Unavailable while it is being read.

    `what` names the database in the error.
    """
    try:
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:
        busy = True
    if busy:
        raise Unavailable(f"{what} is being read elsewhere; erased values are still in its log: erase again")


def rewrite(db: sqlite3.Connection, what: str) -> None:
    """Write every row into a new file, as SQLite leaves copies behind when rows move between pages; then `scrub`."""
    try:
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{what} is busy; erased values may still be in its file: erase again") from error
    scrub(db, what)
