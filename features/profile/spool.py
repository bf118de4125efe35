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
from features.files import OpenedFile
from features.mounts import require_local
from features.profile.versions import Stamp, Statement
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
)

BUSY_S = 5.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS statement (id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL,"
    " event_us INTEGER NOT NULL, created_us INTEGER NOT NULL, facts TEXT NOT NULL)",
    PROGRESS,
    "CREATE INDEX IF NOT EXISTS statement_subject ON statement (subject)",
)
_COLUMNS = ("id", "subject", "event_us", "created_us", "facts")
_STATEMENTS = Rows("statement", ("id",), _COLUMNS)
_COUNTED = 1
"""The file's user_version since statements count as of their recording at the latest."""


class Spool:
    """The spool file of a workspace, with one connection for all threads of a process.

    :param identity: the workspace's (see `check_owner`)
    :raises Refused: it is on a shared file system, damaged, or another workspace's
    """

    def __init__(self, path: Path, identity: Path | None = None) -> None:
        require_local(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._identity = identity
        self._path, self._thread = path, threading.RLock()
        self._can_only_read = False
        self._open()

    def _open(self) -> None:
        if size_of(self._path):
            check_whole(self._path, REPAIR)
        self._db = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        if self._identity is not None:
            check_owner(self._db, self._path, self._identity, REPAIR)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        for statement in _TABLES:
            self._db.execute(statement)
        self._file = OpenedFile(self._path, STOP_AND_REPAIR)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Exclude all other writers of this workspace; appended statements are kept only if the body succeeds.

        Raises Unavailable when another writer takes longer than `BUSY_S`, or the disk fails.
        """
        with self._thread:
            self._file.check()
            try:
                if self._can_only_read:  # the connection would stay so for good
                    self._open()
                    self._can_only_read = False
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._can_only_read = self._can_only_read or is_read_only(error)
                advice = f"it is damaged: {STOP_AND_REPAIR}" if is_damage(error) else "try again"
                raise Unavailable(f"the feature history cannot be written; {advice}") from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Exclude other threads of this process. Raises Unavailable if the file can only be read now."""
        with self._thread:
            self._file.check_writable()
            yield

    def append(self, subject: str, statement: Statement) -> None:
        """Add one statement; call inside `writing`."""
        facts = json.dumps(dict(statement.facts), separators=(",", ":"), sort_keys=True, allow_nan=False)
        self._db.execute(
            "INSERT INTO statement (subject, event_us, created_us, facts) VALUES (?, ?, ?, ?)",
            (subject, *statement.stamp, facts),
        )

    def read(self) -> tuple[int, list[tuple[str, Statement]]]:
        """Return the id up to which `drop` may delete, and all statements as (subject, statement), oldest first."""
        with self._reading():
            rows = self._db.execute(
                "SELECT id, subject, event_us, created_us, facts FROM statement ORDER BY id"
            ).fetchall()
        statements = [(subject, Statement(Stamp(e, c), json.loads(facts))) for _, subject, e, c, facts in rows]
        return (rows[-1][0] if rows else 0), statements

    def of(self, subject: str) -> list[Statement]:
        """Return the statements about one subject, oldest first."""
        with self._reading():
            rows = self._db.execute(
                "SELECT event_us, created_us, facts FROM statement WHERE subject = ? ORDER BY id", (subject,)
            ).fetchall()
        return [Statement(Stamp(event_us, created_us), json.loads(facts)) for event_us, created_us, facts in rows]

    def drop(self, up_to: int) -> None:
        """Delete the statements up to this id, which are now in the Parquet files."""
        with self.writing():
            self._db.execute("DELETE FROM statement WHERE id <= ?", (up_to,))

    def forget(self, subjects: Sequence[str]) -> None:
        """Erase subjects, and empty the log, which holds their rows too, unless it is being read just now."""
        with self.writing():
            self._db.executemany("DELETE FROM statement WHERE subject = ?", [(s,) for s in subjects])
        self._truncate()

    def probe(self) -> None:
        """Write something that nobody reads. Raises Unavailable as `writing` does."""
        with self.writing():
            probe(self._db)

    def remove_remains(self, pass_us: int) -> None:
        """Remove copies of what was deleted before a pass began. Raises Unavailable while the log is being read."""

        def some() -> bool:
            with self.writing():
                return rewrite_some(self._db, _STATEMENTS, pass_us)

        paced(some)
        empty_log(self._truncate, "the feature history")

    def _truncate(self) -> bool:
        with self._reading():
            try:
                return truncate_log(self._db)
            except sqlite3.Error as error:
                raise Unavailable("the feature history cannot be written; try again") from error

    def are_times_counted(self) -> bool:
        """Tell whether nothing that is stored in this workspace is later than its recording."""
        with self._reading():
            return bool(self._db.execute("PRAGMA user_version").fetchone()[0] >= _COUNTED)

    def note_times_counted(self) -> None:
        """Note that nothing that is stored in this workspace is later than its recording."""
        with self._reading():
            self._db.execute(f"PRAGMA user_version={_COUNTED}")

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the file."""
        with self._reading():
            return damage_of(self._db)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
