"""What a command says of an error that nothing below it expected: one line, and nothing of the data."""

import errno
import os
import sqlite3
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from decisioning.errors import BrainError, Refused, Unavailable

_ROOT = Path(__file__).resolve().parents[2]
_ADVICE = {
    errno.ENOSPC: "make room on the disk, and run the command again",
    errno.EDQUOT: "make room on the disk, and run the command again",
    errno.EFBIG: "a limit of the system stops the file from growing",
    errno.EROFS: "it can only be read; use a copy of the folder that you may write to",
    errno.EACCES: "get the permission for it, or use a copy of the folder that is yours",
    errno.EPERM: "get the permission for it, or use a copy of the folder that is yours",
    errno.ENOENT: "restore it from your backup, or name another",
    errno.EISDIR: "name a file, or move the folder away",
    errno.ENOTDIR: "name a folder, or move the file away",
    errno.EEXIST: "move it away, or name another",
    errno.EMFILE: "allow more open files (ulimit -n)",
}
_FULL = "the disk is full, or a limit stops the file from growing"
_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: f"reading or writing it failed: {_FULL}, or the disk is damaged",
    sqlite3.SQLITE_READONLY: "it can only be read: get the permission to write it, and to its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that it and its folder are there, and yours",
    sqlite3.SQLITE_NOTADB: "it is no database, or it is damaged: restore it from your backup",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from your backup",
    sqlite3.SQLITE_BUSY: "another program holds it; try again",
    sqlite3.SQLITE_LOCKED: "another program holds it; try again",
}


def failure_of(error: Exception) -> BrainError:
    """Return any error as one that holds a line for a person; one of the brain's own is returned as it is."""
    if isinstance(error, BrainError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable("there is not enough memory for this: close other programs, or use a larger machine")
    if isinstance(error, OSError):
        return _of_system(error)
    if (cause := _sqlite_cause(error)) is not None:
        return Unavailable(f"a database of the workspace cannot be used: {_sqlite_advice(cause)}")
    return _mistake(error)


def _of_system(error: OSError) -> BrainError:
    """Return the error of a file, a folder or a connection; the words are those of the system."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    advice = _ADVICE.get(error.errno or 0)
    return Refused(_one_line(f"{where}{reason}{f'; {advice}' if advice else ''}"))


def _sqlite_cause(error: BaseException | None) -> sqlite3.Error | None:
    """Return the error of SQLite that an error is or follows from."""
    while error is not None:
        for each in (error, getattr(error, "orig", None)):
            if isinstance(each, sqlite3.Error):
                return each
        error = error.__cause__
    return None


def _sqlite_advice(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _SQLITE.get(code, "it holds other tables than this version expects: restore it from your backup")


def _mistake(error: Exception) -> BrainError:
    """Return a line that says where a mistake of the brain is; the error's own text may hold personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(_ROOT) and "site-packages" not in frame.filename
    ]
    at = (own or frames)[-1]
    place = Path(at.filename)
    name = place.relative_to(_ROOT) if place.is_relative_to(_ROOT) else place.name
    return BrainError(
        f"this is a mistake in the brain ({_version()}), not yours: {type(error).__name__} at {name}:{at.lineno}; "
        "report this line, which holds nothing of your data"
    )


def _version() -> str:
    try:
        return version("central-brain")
    except PackageNotFoundError:
        return "not installed"


def _one_line(text: str) -> str:
    return " ".join(text.split())
