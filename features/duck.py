"""DuckDB in memory: what does not fit there goes into a private folder of the workspace, which ends with the process.

DuckDB's own default is a folder `.tmp` where the process runs, readable by all and left behind by a kill. So this is
the only module that imports `duckdb`.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from duckdb import DuckDBPyConnection
from duckdb import connect as _connect

__all__ = ["DuckDBPyConnection", "SpillFolder", "connected", "remove_abandoned"]
_SPILL: Final = "spill"
_LOCK: Final = ".lock"


class SpillFolder:
    """A new folder below `folder`, for its owner alone. While it is held, `remove_abandoned` leaves it there."""

    def __init__(self, folder: Path) -> None:
        parent = folder / _SPILL
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_abandoned(folder)
        self.path = parent / uuid.uuid4().hex
        self._lock: IO[bytes] = _locked(self.path.with_suffix(_LOCK))
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the folder with what is in it."""
        _remove(self.path.with_suffix(_LOCK))
        self._lock.close()


@contextmanager
def connected(folder: Path) -> Iterator[DuckDBPyConnection]:
    """Open a database in memory that loads no extensions and uses one thread, so that sums have one order.

    :param folder: of the workspace; what does not fit in memory goes into a folder below it, until the database closes
    """
    spill = SpillFolder(folder)
    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    try:
        with _connect(config={"threads": 1, "temp_directory": str(spill.path), **offline}) as connection:
            yield connection
    finally:
        spill.remove()


def remove_abandoned(folder: Path) -> int:
    """Remove what killed processes left of databases that were opened with this folder; return of how many."""
    removed = 0
    for lock in (folder / _SPILL).glob(f"*{_LOCK}"):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(lock)
                removed += 1
        except (FileNotFoundError, BlockingIOError):  # another process removed it, or its own holds it
            continue
    return removed


def _locked(path: Path) -> IO[bytes]:
    """Create a file and lock it for as long as it is open; again if it was taken for an abandoned one in between."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def _remove(lock: Path) -> None:
    """Remove a folder, then its lock: without a lock there is no folder."""
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)
