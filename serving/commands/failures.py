"""What a command says of an error that nothing below it expected: one line, and nothing of the data."""

import errno
import json
import os
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from decisioning.errors import BrainError, Refused, Unavailable
from features.sqlite_errors import sqlite_advice, sqlite_cause

_ROOT = Path(__file__).resolve().parents[2]
_ADVICE = {
    errno.ENOSPC: "make room on the disk, and run the command again",
    errno.EDQUOT: "make room on the disk, and run the command again",
    errno.EFBIG: "the disk is full, or a limit stops the file from growing",
    errno.EROFS: "it can only be read; use a copy of the folder that you may write to",
    errno.EACCES: "get the permission for it, or use a copy of the folder that is yours",
    errno.EPERM: "get the permission for it, or use a copy of the folder that is yours",
    errno.ENOENT: "restore it from your backup, or name another",
    errno.EISDIR: "name a file, or move the folder away",
    errno.ENOTDIR: "name a folder, or move the file away",
    errno.EEXIST: "move it away, or name another",
    errno.EMFILE: "allow more open files (ulimit -n)",
}
_DAMAGED = UnicodeDecodeError | json.JSONDecodeError | yaml.YAMLError
"""Raised for files of the workspace that nobody writes by hand; those that people write are checked where they are."""
_DATA_LIBRARIES = ("pyarrow", "duckdb", "_duckdb")


def failure_of(error: Exception) -> BrainError:
    """Return any error as one that holds a line for a person; one of the brain's own is returned as it is."""
    if isinstance(error, BrainError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable("there is not enough memory for this: close other programs, or use a larger machine")
    if isinstance(error, OSError) and error.errno:
        return _of_system(error)
    if (cause := sqlite_cause(error)) is not None:
        return Unavailable(f"a database of the workspace cannot be used: {sqlite_advice(cause)}")
    if isinstance(error, OSError | _DAMAGED) or _of_data_library(error):
        return Refused(
            f"a file cannot be read ({type(error).__name__} at {_place(error)}): it is damaged or of another kind; "
            "if it is in the workspace's data folder, restore it from your backup"
        )
    return _mistake(error)


def _of_data_library(error: Exception) -> bool:
    """Tell whether an error is about the content of a table; its text may hold values."""
    return any(kind.__module__.partition(".")[0] in _DATA_LIBRARIES for kind in type(error).__mro__)


def _of_system(error: OSError) -> BrainError:
    """Return the error of a file, a folder or a connection; the words are those of the system."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else "a file: "
    number = error.errno or 0
    advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
    return Refused(_one_line(f"{where}{os.strerror(number)}{advice}"))


def _mistake(error: Exception) -> BrainError:
    """Return a line that says where a mistake of the brain is; the error's own text may hold personal data."""
    return BrainError(
        f"this is a mistake in the brain ({_version()}), not yours: {type(error).__name__} at {_place(error)}; report "
        "this line, which holds nothing of your data"
    )


def _place(error: Exception) -> str:
    """Return file and line of the last of our own functions on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(_ROOT) and "site-packages" not in f.filename]
    at = (own or frames)[-1]
    file = Path(at.filename)
    return f"{file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else file.name}:{at.lineno}"


def _version() -> str:
    try:
        return version("central-brain")
    except PackageNotFoundError:
        return "not installed"


def _one_line(text: str) -> str:
    return " ".join(text.split())
