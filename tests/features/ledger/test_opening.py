"""A ledger is opened only if it is the one that is known, whole, and written under the secret that is here."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from decisioning.errors import Refused
from features.ledger import KnownLedger, Ledger
from tests.features.ledger.builders import consent
from tests.permits import activate

SECRET = bytes(range(32))


@pytest.fixture
def known(tmp_path: Path, migrated_sqlite: Path) -> KnownLedger:
    """Files beside a ledger with some records and two checkpoints, and a copy from between the two."""
    shutil.copy(migrated_sqlite, tmp_path / "ledger.db")
    files = KnownLedger(tmp_path / "identity", tmp_path / "checkpoints")
    at_us = 1_790_000_000_000_000
    for part in range(2):
        with Ledger.open(tmp_path / "ledger.db", SECRET, lambda at_us=at_us + part * 10**8: at_us, files) as ledger:
            ledger.append_many(consent(f"{n:040x}", occurred_us=at_us) for n in range(300 * part, 300 * part + 300))
            assert ledger.checkpoint(files.checkpoints) == 1
        shutil.copy(tmp_path / "ledger.db", tmp_path / f"copy-{part}.db")
    return files


def opened(known: KnownLedger, secret: bytes = SECRET) -> None:
    Ledger.open(known.identity.with_name("ledger.db"), secret, known=known).close()


def other_ledger(path: Path) -> None:
    path.unlink()
    Ledger.open(path, b"another" * 5).close()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is missing, and this workspace had a ledger"),
    "empty": (lambda path: path.write_bytes(b""), "is empty, and this workspace had a ledger"),
    "cut in half": (lambda path: os.truncate(path, path.stat().st_size // 2), "its end is missing"),
    "no database": (lambda path: path.write_bytes(b"no database" * 100), "it is no database"),
    "another's": (other_ledger, "it is another workspace's"),
    "an older one": (lambda path: shutil.copy(path.with_name("copy-0.db"), path), "an older one was put back"),
}


@pytest.mark.promise("ledger.start-checks")
@pytest.mark.parametrize("case", BROKEN)
def test_a_ledger_that_is_not_the_known_one_is_refused(known: KnownLedger, case: str) -> None:
    opened(known)
    damage, says = BROKEN[case]
    path = known.identity.with_name("ledger.db")
    damage(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(Refused, match=says) as error:
        opened(known)
    assert "back" in str(error.value)
    assert (path.read_bytes() if path.exists() else None) == before, "nothing is made in its place"


@pytest.mark.promise("ledger.start-checks")
def test_another_workspaces_ledger_beside_the_log_of_ones_own_is_refused_before_the_log_is_read(
    known: KnownLedger, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """SQLite takes the log for the file's own: its pages replace those of the file."""
    path, other = known.identity.with_name("ledger.db"), tmp_path / "other" / "ledger.db"
    other.parent.mkdir()
    shutil.copy(migrated_sqlite, other)
    opened(KnownLedger(other.with_name("identity"), other.with_name("checkpoints")), bytes(32))
    with Ledger.open(path, SECRET, known=known) as ledger:
        ledger.append([consent("a" * 40)])
        log = path.with_name("ledger.db-wal").read_bytes()
    shutil.copy(other, path)
    path.with_name("ledger.db-wal").write_bytes(log)
    before = path.read_bytes()
    with pytest.raises(Refused, match="is another workspace's; put it back"):
        opened(known)
    assert (path.read_bytes(), path.with_name("ledger.db-wal").read_bytes()) == (before, log), "nothing was replayed"


def test_a_copy_of_a_workspaces_files_and_a_ledger_without_a_mark_are_opened(
    known: KnownLedger, tmp_path: Path
) -> None:
    opened(known)
    copy = KnownLedger(tmp_path / "copy" / "identity", tmp_path / "copy" / "checkpoints")
    copy.identity.parent.mkdir()
    for name in ("ledger.db", "identity", "checkpoints"):
        shutil.copy(known.identity.with_name(name), copy.identity.with_name(name))
    opened(copy)
    with closing(sqlite3.connect(copy.identity.with_name("ledger.db"), isolation_level=None)) as db:
        db.execute("PRAGMA application_id=0")
    opened(copy)
    with closing(sqlite3.connect(copy.identity.with_name("ledger.db"))) as db:
        assert db.execute("PRAGMA application_id").fetchone()[0], "it is marked again"


@pytest.mark.promise("ledger.start-checks")
@pytest.mark.parametrize("without_file", [False, True])
def test_another_secret_is_refused(known: KnownLedger, without_file: bool) -> None:
    if without_file:
        known.identity.unlink()
    with pytest.raises(Refused, match=r"the secret is not|written with another secret"):
        opened(known, bytes(32))


def test_a_ledger_of_an_earlier_version_notes_its_secret_at_the_first_opening(known: KnownLedger) -> None:
    path = known.identity.with_name("ledger.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM claims WHERE name = 'secret'")
    with pytest.raises(Refused, match="another secret"):
        opened(known, bytes(32))
    opened(known)
    with pytest.raises(Refused, match="the secret is not the one"):
        opened(known, bytes(32))


def test_a_seal_of_an_activation_alone_stops_no_start(known: KnownLedger) -> None:
    """It signs no record, as none came after the seal before."""
    path = known.identity.with_name("ledger.db")
    with Ledger.open(path, SECRET, lambda: 1_790_001_000_000_000, known) as ledger:
        activate(ledger, "dev", ledger.put_release(b"release"), "jo")
        assert ledger.checkpoint(known.checkpoints) == 1
    opened(known)
    shutil.copy(path.with_name("copy-1.db"), path)
    with pytest.raises(Refused, match="an older one was put back"):
        opened(known)


def test_what_can_be_made_anew_stops_no_start(known: KnownLedger) -> None:
    for damage in (Path.unlink, lambda path: path.write_bytes(b"x\n")):
        for file in (known.identity, known.checkpoints):
            kept = file.read_bytes()
            damage(file)
            opened(known)
            file.write_bytes(kept)


def test_a_file_whose_end_is_still_in_its_log_is_whole(known: KnownLedger) -> None:
    """As after a crash while the log was moved into the file."""
    path, crashed = known.identity.with_name("ledger.db"), known.identity.with_name("crashed.db")
    size = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE more AS SELECT zeroblob(200000)")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    os.truncate(crashed, size)
    Ledger.open(crashed, SECRET, known=known).close()
    os.truncate(crashed, size // 2)
    with pytest.raises(Refused, match="its end is missing"):
        Ledger.open(crashed, SECRET, known=known)
