"""Files with personal data that commands wrote where they were told to: noted here, so that an erasure reaches them.

The note holds a path, what is in the file and its hash, and of an export the subject's stream: no id. A file that is
no longer as it was written is somebody else's by now, and left alone.
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

What = Literal["export", "batch"]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file; `stream` is whose export it is."""

    path: str
    what: What
    digest: str
    stream: str | None = None


def register(workspace: Workspace, path: Path, what: What, stream: str | None = None) -> None:
    """Remember a file that was just written."""
    with _notes(workspace) as notes:
        others = [n for n in notes if n.path != str(path.resolve())]
        notes[:] = [*others, ExportedFile(str(path.resolve()), what, _digest(path), stream)]


def clean(workspace: Workspace, erased: frozenset[str], stream_of: Callable[[str], str]) -> int:
    """Take erased subjects out of every noted file that is still as it was written; how many files changed.

    :param stream_of: of a customer's id, their stream
    """
    if not workspace.written_file.exists():
        return 0
    with _notes(workspace) as notes:
        before = list(notes)
        notes[:] = [kept for one in before if (kept := _cleaned(one, erased, stream_of)) is not None]
        return sum(one not in notes for one in before)


def _cleaned(one: ExportedFile, erased: frozenset[str], stream_of: Callable[[str], str]) -> ExportedFile | None:
    """The note of what is left; None where the file is gone, or no longer ours."""
    path = Path(one.path)
    if not path.is_file() or _digest(path) != one.digest:
        return None
    if one.what == "export":
        if one.stream not in erased:
            return one
        path.unlink()
        return None
    table = pq.read_table(path)
    gone = pa.array([stream_of(customer) in erased for customer in table["customer_id"].to_pylist()], pa.bool_())
    if not pc.any(gone).as_py():
        return one
    replace_file(path, lambda half: pq.write_table(table.filter(pc.invert(gone)), half))
    return replace(one, digest=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _notes(workspace: Workspace) -> Iterator[list[ExportedFile]]:
    """What is noted, alone; written back where it was changed."""
    handle = os.open(workspace.written_file, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        notes = [ExportedFile(**json.loads(line)) for line in file]
        before = list(notes)
        yield notes
        if notes != before:
            file.seek(0)
            file.truncate()
            file.writelines(f"{json.dumps(asdict(one))}\n" for one in notes)
