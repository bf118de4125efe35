"""Files that are replaced as a whole, so that whoever reads finds the old one or the new one; and files held open."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from decisioning.errors import Unavailable


class OpenedFile:
    """A file as it was when it was opened. One that was since removed or replaced takes writes, and nobody finds them.

    :param advice: what to do if it was removed
    :raises Unavailable: there is no such file
    """

    def __init__(self, path: Path, advice: str = "put it back from your backup") -> None:
        self._path, self._advice = path, advice
        self._identity = self._identity_now()

    def check(self) -> None:
        """Raise Unavailable if the path leads to another file by now, or to none, or if it cannot be written now."""
        if self._identity_now() != self._identity:
            raise Unavailable(f"{self._path.name} was replaced while it was in use: restart to use the new one")
        self.check_writable()

    def check_writable(self) -> None:
        """Raise Unavailable if the file cannot be written now, as `require_writable` does."""
        require_writable(self._path)

    def _identity_now(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            raise Unavailable(f"{self._path.name} was removed while it was in use: {self._advice}") from None
        return status.st_dev, status.st_ino


def require_writable(path: Path) -> None:
    """Raise Unavailable if a file cannot be written now. Nothing is opened, so no lock is lost.

    Call it before SQLite reads or writes a database with a write-ahead log: readers too write to the log's index, which
    is mapped, and where the file system became read-only, a write to mapped memory ends the process (SIGBUS).
    """
    if not os.access(path, os.W_OK) and path.exists():
        raise Unavailable(f"{path.name} can only be read now: see that its file system and the file can be written")


def unfinished(path: Path) -> Path:
    """Return where `replace_file` writes before it renames: a hidden file beside `path`."""
    return path.with_name(f".{path.name}.half")


def replace_file(
    path: Path, write: Callable[[Path], object], *, durable: bool = False, contended: bool = False
) -> None:
    """Write a file beside `path`, for its owner alone, then rename it over `path`.

    :param write: fills the file at the path that it is given; if it raises, `path` stays as it was
    :param durable: wait until file and folder are on disk, so that the new file survives a loss of power
    :param contended: other processes may replace the same file at the same time: write under a name that none shares
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.half") if contended else unfinished(path)
    create_private(draft)
    write(draft)
    if durable:
        _sync(draft)
    os.replace(draft, path)
    if durable:
        _sync(path.parent)


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600, in place of one that is there."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
