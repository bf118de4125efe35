"""A damaged file is refused, whatever SQLite's message quotes of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from decisioning.errors import Refused
from features.sqlite_errors import check_whole


def test_a_file_whose_damaged_text_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE records(x)")
    check_whole(file, "put it back")
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE", b"CREATE T\xffBLE"))
    with pytest.raises(Refused, match=r"ledger\.db is damaged; put it back"):
        check_whole(file, "put it back")
