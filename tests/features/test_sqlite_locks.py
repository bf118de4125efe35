"""A process that looks at a SQLite file a second time keeps the locks of its first connection.

Locks of POSIX belong to a process, and go when it closes any file descriptor of the file. Then another process takes
itself for the last one, and removes the write-ahead log, with all that the first connection commits afterwards.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from features.ledger.database import Database
from features.profile.spool import Spool
from features.profile.stores.sqlite import SqliteOnline

PASSER_BY = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM sqlite_schema'); db.close()"
)


def _ledger(path: Path) -> object:
    database = Database(path)
    database.transact(lambda _: None)
    return database


OPEN: dict[str, Callable[[Path], object]] = {
    "spool": Spool,
    "online store": lambda path: SqliteOnline(path).writer,
    "ledger": _ledger,
}


@pytest.mark.promise("workspace.locks")
@pytest.mark.parametrize("kind", OPEN)
def test_a_second_look_at_the_file_takes_no_lock_of_the_first(tmp_path: Path, kind: str) -> None:
    path, log = tmp_path / "file.db", tmp_path / "file.db-wal"
    first = OPEN[kind](path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE told (n INTEGER)")
        db.commit()
    second = OPEN[kind](path)
    second.close()  # type: ignore[attr-defined]
    before = log.stat().st_ino
    subprocess.run([sys.executable, "-c", PASSER_BY, str(path)], check=True)
    assert log.exists(), "another process removed the log"
    assert log.stat().st_ino == before
    first.close()  # type: ignore[attr-defined]
