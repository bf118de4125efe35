"""Files that are replaced as a whole: whoever reads, also after a crash, finds the old file or the new one."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def unfinished(path: Path) -> Path:
    """Return where `replace_file` writes before it renames: a hidden file beside `path`."""
    return path.with_name(f".{path.name}.half")


def replace_file(
    path: Path, write: Callable[[Path], object], *, durable: bool = False, contended: bool = False
) -> None:
    """Write a file beside `path`, then rename it over `path`.

    :param write: creates the file at the path that it is given; if it raises, `path` stays as it was
    :param durable: wait until file and folder are on disk, so that the new file survives a loss of power
    :param contended: other processes may replace the same file at the same time: write under a name that none shares
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.half") if contended else unfinished(path)
    write(draft)
    if durable:
        _sync(draft)
    os.replace(draft, path)
    if durable:
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
