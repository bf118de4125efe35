"""What a person does about an error of SQLite, in words; SQLite's own texts name tables, not causes."""

import sqlite3

_FULL = "the disk is full, or a limit stops the file from growing"
_ADVICE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: f"reading or writing it failed: {_FULL}, or the disk is damaged",
    sqlite3.SQLITE_READONLY: "it can only be read: get the permission to write to it and to its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that it is a file, and that it and its folder are yours",
    sqlite3.SQLITE_NOTADB: "it is no database, or it is damaged: restore it from your backup",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from your backup",
    sqlite3.SQLITE_BUSY: "another program holds it: try again",
    sqlite3.SQLITE_LOCKED: "another program holds it: try again",
    sqlite3.SQLITE_ERROR: "it has other tables than this version expects: restore it from your backup",
}


def sqlite_cause(error: BaseException | None) -> sqlite3.Error | None:
    """Return the error of SQLite that an error is, wraps or follows from; None if there is none."""
    while error is not None:
        for each in (error, getattr(error, "orig", None)):
            if isinstance(each, sqlite3.Error):
                return each
        error = error.__cause__
    return None


def sqlite_advice(error: sqlite3.Error) -> str:
    """Return what is wrong and what to do; without a known cause, the class of the error."""
    return _ADVICE.get(getattr(error, "sqlite_errorcode", -1) & 0xFF, type(error).__name__)


def is_read_only(error: BaseException) -> bool:
    """Tell whether a connection refused to write because it can only read."""
    cause = sqlite_cause(error)
    return cause is not None and getattr(cause, "sqlite_errorcode", -1) & 0xFF == sqlite3.SQLITE_READONLY
