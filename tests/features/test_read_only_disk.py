"""Stores with a write-ahead log on a file system that turns read-only while they are open, and back.

SQLite maps the log's index, and readers write to it too. Where nothing can be written, such a write ends the process by
SIGBUS, so each store is tried in a process of its own.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decisioning.errors import Unavailable
from features.ledger import Ledger
from features.ledger.database import Database
from features.profile.spool import Spool
from features.profile.stores.rows import SIGNALS_TABLE
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import Stamp, Statement, Version
from features.views import SIGNALS_VERSION
from tests.features.ledger.builders import consent
from tests.serving.disk import Frozen, freezing

SIZE_MB = 20
Uses = dict[str, Callable[[], object]]


def ledger_uses(path: Path) -> Uses:
    ledger = Ledger.open(path, b"secret")
    person = ledger.stream_of("person", "a")
    return {
        "write": lambda: ledger.append([consent(person)]),
        "read": lambda: ledger.lookup("nothing"),
        "read together": lambda: ledger._database.fetch_together(
            lambda connection: connection.exec_driver_sql("SELECT 1")
        ),
        "empty the log": ledger._database.truncate_log,
        "open again": lambda: Database(path),
    }


def online_uses(path: Path) -> Uses:
    online, version = SqliteOnline(path), iter(range(1, 100))
    read = online.reader([SIGNALS_TABLE])

    def write() -> None:
        number = next(version)
        online.update(SIGNALS_TABLE, ["a"], lambda *_: {SIGNALS_VERSION: Version(number, Stamp(number, number))})

    return {
        "write": write,
        "read": lambda: read(["a"]),
        "read states": lambda: online.states(SIGNALS_TABLE, ["a"]),
        "empty the log": lambda: online.forget([SIGNALS_TABLE], ["b"]),
        "open again": lambda: SqliteOnline(path).writer,
    }


def spool_uses(path: Path) -> Uses:
    spool = Spool(path)

    def write() -> None:
        with spool.writing():
            spool.append("a", Statement(Stamp(1, 1), {"city": "Ede"}))

    return {
        "write": write,
        "read": spool.read,
        "read one": lambda: spool.of("a"),
        "empty the log": lambda: spool.remove_remains(1),
        "open again": lambda: Spool(path),
    }


STORES = {"ledger.db": ledger_uses, "online.db": online_uses, "spool.db": spool_uses}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Frozen]:
    with freezing(tmp_path / "disk", SIZE_MB) as disk:
        yield disk


@pytest.mark.promise("serving.read-only")
def test_stores_on_a_disk_that_turns_read_only_refuse_every_use_until_it_can_be_written(disk: Frozen) -> None:
    command = [sys.executable, "-m", __name__, str(disk.folder)]
    try:
        used = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        disk.thaw()
    assert (used.returncode, used.stdout) == (0, "refused whatever was asked\n"), used.stderr


def main(folder: str) -> None:
    """Use stores on a disk that is read-only, and after it; fail if a use does not say that nothing can be written.

    Each use comes after a write that no reader has seen: that is when a reader writes to the log's index.
    """
    disk = Frozen(Path(folder))
    opened = {name: uses_of(Path(folder) / name) for name, uses_of in STORES.items()}
    for step in range(max(map(len, opened.values()))):
        used = {f"{store}: {list(uses)[step]}": list(uses.values())[step] for store, uses in opened.items()}
        for uses in opened.values():
            uses["read"]()
            uses["write"]()
        disk.freeze()
        refused = [name for name, use in used.items() if is_refused(use)]
        disk.thaw()
        assert refused == list(used)
        assert not [name for name, use in used.items() if is_refused(use)]
    print("refused whatever was asked", flush=True)  # noqa: T201 (to the test)


def is_refused(use: Callable[[], object]) -> bool:
    try:
        use()
    except Unavailable:
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1])
