"""Logs of the workspace that processes write for as long as a server runs: each keeps to a bounded size."""

from contextlib import suppress
from pathlib import Path

MAX_BYTES = 10_000_000
"""How large a log grows before it is rotated; with the one before it, it takes twice that at most."""


def append(file: Path, lines: bytes, max_bytes: int = MAX_BYTES) -> None:
    """Add lines to a log, which is rotated first if it is full; they are dropped if they cannot be written."""
    rotate(file, max_bytes)
    with suppress(OSError), file.open("ab") as log:
        log.write(lines)


def rotate(file: Path, max_bytes: int = MAX_BYTES) -> None:
    """Rename a log of `max_bytes` or more to NAME.1, in place of the one before it.

    A process that has the log open goes on writing to it under its new name, so no line is lost.
    """
    with suppress(OSError):
        if file.stat().st_size >= max_bytes:
            file.replace(file.with_name(f"{file.name}.1"))
