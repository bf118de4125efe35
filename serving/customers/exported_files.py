"""Files with personal data that commands wrote outside the workspace, recorded here so that an erasure cleans them.

An entry holds the file's path, its kind, its hash and, for an export, the subject's stream; it holds no id. A file
that has changed since it was written belongs to somebody else by now, and is left alone.
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

from features.files import replace_file
from serving.settings import Workspace

FileKind = Literal["export", "batch"]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file, and its SHA-256 in hex (`digest`).

    `stream` is the subject whose export it is, `others` are the streams of their other identifiers in it.
    """

    path: str
    what: FileKind
    digest: str
    stream: str | None = None
    others: tuple[str, ...] = ()


def register(workspace: Workspace, path: Path, what: FileKind, streams: tuple[str, ...] = ()) -> None:
    """Record an exported file, so that erasures clean it.

    :param streams: of an export, the subject's and those of all their other identifiers
    """
    with _entries(workspace) as entries:
        before = [e for e in entries if e.path != str(path.resolve())]
        stream, others = next(iter(streams), None), streams[1:]
        entries[:] = [*before, ExportedFile(str(path.resolve()), what, _digest(path), stream, others)]


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

    Returns how many entries changed.

    :param stream_of: customer id -> their stream
    """
    if not workspace.written_file.exists():
        return 0
    with _entries(workspace) as entries:
        before = list(entries)
        entries[:] = [remaining for entry in before if (remaining := _cleaned(entry, erased, stream_of)) is not None]
        return sum(entry not in entries for entry in before)


def _cleaned(entry: ExportedFile, erased: frozenset[str], stream_of: Callable[[str], str]) -> ExportedFile | None:
    """Return the entry of what is left of a file, or None if the file is gone or has changed."""
    path = Path(entry.path)
    if not path.is_file() or _digest(path) != entry.digest:
        return None
    if entry.what == "export":
        if erased.isdisjoint((entry.stream, *entry.others)):
            return entry
        path.unlink()
        return None
    table = pq.read_table(path)
    customers = table["customer_id"].to_pylist()
    is_erased = pa.array([stream_of(customer) in erased for customer in customers], pa.bool_())
    if not pc.any(is_erased).as_py():
        return entry
    replace_file(path, lambda draft: pq.write_table(table.filter(pc.invert(is_erased)), draft))
    return replace(entry, digest=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _entries(workspace: Workspace) -> Iterator[list[ExportedFile]]:
    """Yield all entries under a lock, and write them back if they were changed."""
    handle = os.open(workspace.written_file, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entries = [ExportedFile(**json.loads(line)) for line in file]
        before = list(entries)
        yield entries
        if entries != before:
            file.seek(0)
            file.truncate()
            file.writelines(f"{json.dumps(asdict(entry))}\n" for entry in entries)
