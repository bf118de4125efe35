"""SQLite: what its errors mean in words, and what a file tells before it is opened: whether it is whole, and whose.

SQLite's own texts name tables, not causes. It makes a new file where there is none, and opens one whose end is missing.
"""

import errno
import os
import sqlite3
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from decisioning.errors import Refused, Unavailable
from features.files import require_writable

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""SQLite names an error of no other kind if tables or columns are not those that are expected."""
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
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


def is_damage(error: BaseException) -> bool:
    """Tell whether the database's file is damaged."""
    cause = sqlite_cause(error)
    return cause is not None and getattr(cause, "sqlite_errorcode", -1) & 0xFF in _DAMAGE


def require_not_held(name: str, error: BaseException) -> None:
    """Raise Unavailable if an error says that another program holds a file: then it is not damaged."""
    cause = sqlite_cause(error)
    if cause is not None and getattr(cause, "sqlite_errorcode", -1) & 0xFF in _HELD:
        raise Unavailable(f"{name}: {sqlite_advice(cause)}") from error


def is_read_only(error: BaseException) -> bool:
    """Tell whether a connection refused to write because it can only read."""
    cause = sqlite_cause(error)
    return cause is not None and getattr(cause, "sqlite_errorcode", -1) & 0xFF == sqlite3.SQLITE_READONLY


REPAIR: Final = "run `brain repair`"
"""What to do about a file that can be made anew from others."""
STOP_AND_REPAIR: Final = f"stop the server and {REPAIR}"
_WAIT_S: Final = 1.0


def size_of(path: Path) -> int:
    """Return the size of a file, or 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_whole(path: Path, advice: str) -> None:
    """Let SQLite look at the file's first page and size. This takes no longer for a large file.

    Nothing but SQLite may open the file: if a process closes a file that SQLite has open too, the process loses its
    locks on it (POSIX), and another process then removes the write-ahead log, with all that is committed later.

    :param advice: what to do if it is damaged
    :raises Refused: it is no database, or pages are missing at its end
    :raises Unavailable: it can only be read now
    :raises IsADirectoryError: it is a folder
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    require_writable(path)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)) as db:
            db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except UnicodeDecodeError as error:  # SQLite's own message quotes the damaged text
        raise Refused(f"{path} is damaged; {advice}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise Refused(f"{path}: it is no database, or it is damaged; {advice}") from error
        if code == sqlite3.SQLITE_CORRUPT:
            raise Refused(f"{path} is damaged, or its end is missing; {advice}") from error


def damage_of(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with the pages of a file, at most a hundred lines."""
    problems = (" ".join(str(problem).split()) for (problem,) in db.execute("PRAGMA integrity_check"))
    return [problem for problem in problems if problem != "ok"]


def check_owner(db: sqlite3.Connection, path: Path, identity: Path, advice: str) -> None:
    """Check that the file belongs to the workspace of this identity; a file of nobody is marked as this workspace's.

    :param identity: a file; without it nothing is checked
    :param advice: what to do if the file is another workspace's
    :raises Refused: the file is another workspace's
    """
    if not identity.exists():
        return
    own = mark_of(identity)
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    if not owner:
        db.execute(f"PRAGMA application_id={own}")
    elif owner != own:
        raise Refused(f"{path} is another workspace's; {advice}")


def check_owner_of_file(path: Path, identity: Path, advice: str) -> None:
    """Check what `check_owner` does by the file alone, before SQLite reads what a write-ahead log beside it adds.

    A log of one database beside the file of another is taken for its own, and its pages replace those of the file.

    :raises Refused: the file is another workspace's
    """
    owner = 0
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
        (owner,) = db.execute("PRAGMA application_id").fetchone()
    if owner not in (0, mark_of(identity)):
        raise Refused(f"{path} is another workspace's; {advice}")


def mark_of(identity: Path) -> int:
    """Return the application_id, from 1 to 2^31 - 1, of the files of the workspace with this identity."""
    return int.from_bytes(sha256(identity.read_bytes().strip()).digest()[:4], "big") >> 1 | 1
