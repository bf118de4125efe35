"""Rows that moved between pages leave copies behind in SQLite's files; putting all rows again removes them."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from features.remains import PROGRESS, ROWS, Rows, paced, rewrite_some, truncate_log

ORDERED = Rows("ordered", ("subject", "view"), ("subject", "view", "body"))
NUMBERED = Rows("numbered", ("rowid",), ("rowid", "subject", "view", "body"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "secure_delete=ON"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(PROGRESS)
    columns = "subject BLOB, view INTEGER, body BLOB, PRIMARY KEY (subject, view)"
    db.execute(f"CREATE TABLE ordered ({columns}) WITHOUT ROWID")
    db.execute(f"CREATE TABLE numbered ({columns})")
    yield db
    db.close()


def filled(db: sqlite3.Connection, rows: Rows, random: Random, n: int) -> list[bytes]:
    """Insert n subjects in random order, and change some now and then so that rows move; return the subjects."""
    subjects = [random.randbytes(20) for _ in range(n)]
    db.execute("BEGIN")
    for i, subject in enumerate(subjects):
        db.execute(f"INSERT INTO {rows.table} (subject, view, body) VALUES (?, 1, ?)", (subject, body(subject, random)))
        if i % 10 == 0:
            changed = random.choice(subjects[: i + 1])
            db.execute(f"UPDATE {rows.table} SET body = ? WHERE subject = ?", (body(changed, random), changed))
    db.execute("COMMIT")
    return subjects


def body(subject: bytes, random: Random) -> bytes:
    return mark(subject) + b"x" * random.randrange(20, 900) + mark(subject)


def mark(subject: bytes) -> bytes:
    return b"<%s>" % subject.hex()[:14].encode()


def rewrite(db: sqlite3.Connection, rows: Rows, pass_us: int) -> None:
    def some() -> bool:
        db.execute("BEGIN IMMEDIATE")
        more = rewrite_some(db, rows, pass_us)
        db.execute("COMMIT")
        return more

    paced(some)


@pytest.mark.promise("erasure.every-file")
@pytest.mark.parametrize("rows", [ORDERED, NUMBERED], ids=lambda rows: rows.table)
def test_no_copy_of_a_deleted_row_stays_once_all_rows_were_put_again(db, rows, tmp_path: Path) -> None:
    random, left = Random(6), 0
    for turn in range(3):
        subjects = filled(db, rows, random, 2000)
        erased = random.sample(subjects, 300)
        db.executemany(f"DELETE FROM {rows.table} WHERE subject = ?", [(subject,) for subject in erased])
        truncate_log(db)
        left += len(traces(tmp_path, erased))
        before = db.execute(f"SELECT * FROM {rows.table} ORDER BY subject").fetchall()
        rewrite(db, rows, turn)
        assert truncate_log(db)
        assert traces(tmp_path, erased) == []
        assert db.execute(f"SELECT * FROM {rows.table} ORDER BY subject").fetchall() == before
    assert left > 0  # secure_delete alone does not suffice


def traces(folder: Path, subjects: list[bytes]) -> list[bytes]:
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    return sorted({mark(subject) for subject in subjects} & set(re.findall(rb"<[0-9a-f]{14}>", content)))


def test_a_pass_goes_on_where_another_process_left_it(db, tmp_path: Path) -> None:
    filled(db, ORDERED, Random(1), 5 * ROWS // 2)
    other = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    assert [rewrite_some(connection, ORDERED, 7) for connection in (db, other, db, other)] == [True, True, False, False]
    assert rewrite_some(other, ORDERED, 8)  # another pass begins at the first row
    other.close()


def test_a_log_that_is_being_read_is_not_waited_for(db, tmp_path: Path) -> None:
    filled(db, ORDERED, Random(1), 10)
    reader = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM ordered").fetchone()
    filled(db, ORDERED, Random(2), 10)
    assert not truncate_log(db)
    assert db.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    reader.close()
    assert truncate_log(db)
