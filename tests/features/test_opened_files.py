"""What happens to stores whose file is removed, replaced or read-only while they are open."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decisioning.errors import Unavailable
from features.ledger import Ledger
from features.profile.spool import Spool
from features.profile.stores.rows import SIGNALS_TABLE
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import Stamp, Statement, Version
from features.views import SIGNALS_VERSION
from tests.features.ledger.builders import consent

Write = Callable[[], object]


def write_ledger(path: Path) -> tuple[Write, Write]:
    """Return a function that writes to a store that is open, and one that makes its connections read-only."""
    ledger = Ledger.open(path, b"secret")
    person = ledger.stream_of("person", "a")
    ledger.append([consent(person)])

    def spoil() -> None:
        ledger._database._hot_connection().exec_driver_sql("PRAGMA query_only=ON")

    return lambda: ledger.append([consent(person)]), spoil


def write_online(path: Path) -> tuple[Write, Write]:
    online = SqliteOnline(path)

    def write() -> None:
        online.update(SIGNALS_TABLE, ["a"], lambda *_: {SIGNALS_VERSION: Version(1, Stamp(1, 1))})

    return write, lambda: online.writer.execute("PRAGMA query_only=ON")


def write_spool(path: Path) -> tuple[Write, Write]:
    spool = Spool(path)

    def write() -> None:
        with spool.writing():
            spool.append("a", Statement(Stamp(1, 1), {"city": "Ede"}))

    return write, lambda: spool._db.execute("PRAGMA query_only=ON")


STORES = pytest.mark.parametrize("opened", [write_ledger, write_online, write_spool], ids=["ledger", "online", "spool"])


@STORES
def test_nothing_is_written_into_a_file_that_was_removed(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    write, _ = opened(path)
    write()
    path.unlink()
    with pytest.raises(Unavailable, match=r"store\.db was removed"):
        write()


@STORES
def test_nothing_is_written_into_a_file_that_was_replaced(opened: Any, tmp_path: Path) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    write, _ = opened(path)
    write()
    shutil.copy(path, other)
    os.replace(other, path)
    with pytest.raises(Unavailable, match="replaced while it was in use"):
        write()


@STORES
def test_a_store_that_could_only_be_read_for_a_while_is_written_again(opened: Any, tmp_path: Path) -> None:
    write, spoil = opened(tmp_path / "store.db")
    write()
    spoil()
    with pytest.raises(Unavailable):
        write()
    write()
