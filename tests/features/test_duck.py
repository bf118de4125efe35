"""DuckDB spills into a private folder of the workspace, which a killed process does not leave for good."""

import os
import stat
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from features.duck import connected, remove_abandoned
from tests.features.processes import child

pytestmark = pytest.mark.promise("erasure.spilled")
_SORT = "SELECT count(*) FROM (SELECT md5(range::VARCHAR) AS a FROM range(400000) ORDER BY a) WHERE a > '8'"


def spilled(folder: Path) -> list[Path]:
    return [path for path in (folder / "spill").rglob("*") if path.is_file() and path.suffix != ".lock"]


def spill(pipe: Connection, folder: Path) -> None:
    """Sort more than the memory holds, and wait with the result unread."""
    with connected(folder) as connection:
        connection.sql("SET memory_limit = '8MB'")
        connection.sql("CREATE TABLE many AS SELECT md5(range::VARCHAR) AS a FROM range(400000)")
        connection.sql("INSERT INTO many SELECT a || 'x' FROM many")
        pipe.send(os.getcwd())
        pipe.recv()


def test_what_does_not_fit_in_memory_is_private_and_goes_with_its_process(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with child(spill, folder) as other:
        ran_in = Path(other.pipe.recv())
        assert spilled(folder), "nothing was spilled, so that the test shows nothing"
        assert not (ran_in / ".tmp").exists()
        (own,) = (path for path in (folder / "spill").iterdir() if path.is_dir())
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder / "spill", own)] == [0o700, 0o700]
        assert remove_abandoned(folder) == 0
        assert spilled(folder)
        other.process.kill()
        other.process.join()
    assert spilled(folder)
    assert remove_abandoned(folder) == 1
    assert list((folder / "spill").iterdir()) == []


def test_nothing_is_left_of_a_database_that_was_closed(tmp_path: Path) -> None:
    with connected(tmp_path) as connection:
        assert connection.sql(_SORT).fetchall()
        assert len(list((tmp_path / "spill").iterdir())) == 2
    assert list((tmp_path / "spill").iterdir()) == []
