"""Files with personal data that commands wrote outside the workspace, recorded here so that an erasure cleans them.

An entry holds the file's path, its kind, its hash and, for an export, the subject's stream; it holds no id. A file
that has changed since it was written belongs to somebody else by now, and is left alone; the log says so.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from decisioning.errors import Refused
from features.files import create_private, replace_file, unfinished
from features.threads import LOG
from serving.settings import Workspace

FileKind = Literal["export", "batch", "draft"]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file, and its SHA-256 in hex (`digest`); a draft is being written, and has none.

    `stream` is the subject whose export it is, `others` are the streams of their other identifiers in it.
    """

    path: str
    what: FileKind
    digest: str
    stream: str | None = None
    others: tuple[str, ...] = ()


@contextmanager
def written(workspace: Workspace, out: Path, what: FileKind, streams: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield where to write a file, for its owner alone, that takes the place of `out` at the end of the block.

    It is recorded before it is there, so that an erasure finds it whenever the process dies, and removes the draft.

    :param streams: of an export, the subject's and those of all their other identifiers
    """
    if out.exists() and not out.is_file():
        yield out  # a device or a pipe keeps nothing
        return
    half = _draft_of(out)
    draft = ExportedFile(str(half), "draft", "")
    with half.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _note(workspace, draft)
        try:
            yield half
            register(workspace, out, what, streams, content=half)
            half.replace(out.resolve())
        finally:
            half.unlink(missing_ok=True)
            with _entries(workspace) as entries:
                entries[:] = [entry for entry in entries if entry != draft]


def _draft_of(out: Path) -> Path:
    """Create the draft of a file; an error names the file itself, which somebody asked for."""
    half = unfinished(out.resolve())
    try:
        create_private(half)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error
    return half


def register(
    workspace: Workspace, path: Path, what: FileKind, streams: tuple[str, ...] = (), *, content: Path | None = None
) -> None:
    """Record an exported file, so that erasures clean it.

    :param streams: of an export, the subject's and those of all their other identifiers
    :param content: a file with the same content; None: the file itself
    """
    stream, others = next(iter(streams), None), streams[1:]
    _note(workspace, ExportedFile(str(path.resolve()), what, _digest(content or path), stream, others))


def _note(workspace: Workspace, file: ExportedFile) -> None:
    with _entries(workspace) as entries:
        entries[:] = [*(entry for entry in entries if entry.path != file.path), file]


def forget(workspace: Workspace) -> None:
    """Forget every recorded file: this workspace is a copy, and the files are the original's."""
    workspace.written_file.unlink(missing_ok=True)


def move(workspace: Workspace, before: Path) -> None:
    """Follow the recorded files that were in the workspace's folder when it had the path `before`."""
    if not workspace.written_file.exists():
        return
    with _entries(workspace) as entries:
        entries[:] = [replace(entry, path=str(_moved(Path(entry.path), before, workspace.root))) for entry in entries]


def _moved(path: Path, before: Path, now: Path) -> Path:
    return now / path.relative_to(before) if path.is_relative_to(before) else path


def clean(workspace: Workspace, erased: frozenset[str], stream_of: Callable[[str], str]) -> int:
    """Remove erased subjects from every recorded file that is unchanged since it was written.

    Returns how many entries changed. The log names what could not be cleaned; a file that could not be read or written
    is tried again the next time.

    :param stream_of: customer id -> their stream
    """
    if not workspace.written_file.exists():
        return 0
    with _entries(workspace) as entries:
        before = list(entries)
        entries[:] = [remaining for entry in before if (remaining := _tried(entry, erased, stream_of)) is not None]
        return sum(entry not in entries for entry in before)


def _tried(entry: ExportedFile, erased: frozenset[str], stream_of: Callable[[str], str]) -> ExportedFile | None:
    """Return what `_cleaned` does; the entry itself if its file cannot be read or written now."""
    try:
        return _cleaned(entry, erased, stream_of)
    except (OSError, pa.ArrowException) as error:
        why = "erased customers may be in it, and it is tried again"
        LOG.warning("%s cannot be cleaned (%s): %s", entry.path, type(error).__name__, why)
        return entry


def _cleaned(entry: ExportedFile, erased: frozenset[str], stream_of: Callable[[str], str]) -> ExportedFile | None:
    """Return the entry of what is left of a file, or None if the file is gone or has changed."""
    path = Path(entry.path)
    if entry.what == "draft":
        return entry if _is_being_written(path) else None
    unfinished(path).unlink(missing_ok=True)  # of a cleaning that was killed
    if not path.is_file():
        return None
    own = erased.intersection((entry.stream, *entry.others))
    if _digest(path) != entry.digest:
        if own or (entry.what == "batch" and erased):
            LOG.warning("%s has changed since it was written: remove erased customers from it yourself", path)
        return None
    if entry.what == "export":
        if not own:
            return entry
        path.unlink()
        return None
    return _without(path, entry, erased, stream_of)


def _without(path: Path, entry: ExportedFile, erased: frozenset[str], stream_of: Callable[[str], str]) -> ExportedFile:
    """Remove the rows of erased customers from a file of decisions, and return its entry."""
    table = pq.read_table(path)
    customers = table["customer_id"].to_pylist()
    is_erased = pa.array([stream_of(customer) in erased for customer in customers], pa.bool_())
    if not pc.any(is_erased).as_py():
        return entry
    replace_file(path, lambda draft: pq.write_table(table.filter(pc.invert(is_erased)), draft))
    return replace(entry, digest=_digest(path))


def _is_being_written(half: Path) -> bool:
    """Tell whether a process writes this draft; remove one that a killed process left."""
    try:
        with half.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            half.unlink()
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _entries(workspace: Workspace) -> Iterator[list[ExportedFile]]:
    """Yield all entries under a lock, and replace the file as a whole if they were changed.

    Raises Refused if it is damaged.
    """
    lock = workspace.written_file.with_suffix(".lock")
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        content = workspace.written_file.read_bytes() if workspace.written_file.exists() else b""
        entries = _whole(content, workspace.written_file)
        before = list(entries)
        yield entries
        if entries != before or not content.endswith(b"\n"):
            text = "".join(f"{json.dumps(asdict(entry))}\n" for entry in entries)
            replace_file(workspace.written_file, lambda half: half.write_text(text), durable=True)


def _whole(content: bytes, file: Path) -> list[ExportedFile]:
    """Return the entries of a file, without a last line that a crash cut off; the log tells of that."""
    *lines, last = content.split(b"\n")
    try:
        entries = [_entry(line) for line in lines]
    except (ValueError, TypeError):
        raise Refused(f"{file}: it is damaged or of another kind; restore it from your backup") from None
    try:
        return [*entries, _entry(last)] if last else entries
    except (ValueError, TypeError):
        why = "erasures do not clean the exported file that it named: look for one of that time"
        LOG.warning("the last line of %s is cut off: %s", file, why)
        return entries


def _entry(line: bytes) -> ExportedFile:
    """Return the entry of a line; raises ValueError or TypeError if it is damaged."""
    entry = ExportedFile(**json.loads(line))
    return replace(entry, others=tuple(entry.others))
