"""Do something as another user of the machine, `nobody`, which only root can."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

NOBODY = 65_534


def as_nobody(work: Callable[[], object], told: Callable[[], bytes] = bytes) -> str:
    """Return the name of the error that `work` ends with in a process of another user, or else what is told then."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
            os.write(write, told()[:10_000])
        except BaseException as error:  # noqa: BLE001 (whatever it is, the test compares its name)
            os.write(write, type(error).__name__.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, encoding="latin-1", newline="") as names:
        return names.read()


def reached(folder: Path) -> dict[str, str]:
    """Return what nobody reaches below a folder, by path, as if nothing were closed above it: `read`, `write` or both.

    A folder that is closed hides what is in it.
    """
    handle = os.open(folder, os.O_RDONLY)

    def look() -> bytes:
        os.fchdir(handle)
        found = [f"{_can(path)} {path}" for path in _below(Path())]
        return "\n".join(line for line in found if not line.startswith(" ")).encode()

    try:
        lines = as_nobody(lambda: None, look).splitlines()
    finally:
        os.close(handle)
    if lines == ["PermissionError"]:
        return {}
    return {path: can for can, _, path in (line.partition(" ") for line in lines)}


def _can(path: Path) -> str:
    return "+".join(name for name, mode in (("read", os.R_OK), ("write", os.W_OK)) if os.access(path, mode))


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    with suppress(PermissionError):
        for entry in sorted(folder.iterdir()):
            found.append(entry)
            if entry.is_dir() and not entry.is_symlink():
                found += _below(entry)
    return found
