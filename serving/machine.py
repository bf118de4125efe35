"""What a machine must offer before anything is written on it: a Python and a processor that were tried, and room."""

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Final

from decisioning.errors import Refused

OLDEST: Final = (3, 11)
NEWEST: Final = (3, 13)
"""The Pythons that the brain was tried on; `requires-python` and the Makefile name the same."""
TRIED: Final = ("Linux", "x86_64")
MB: Final = 1_000_000


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Raise Refused for a Python that the brain was not tried on."""
    if not OLDEST <= version[:2] <= NEWEST:
        oldest, newest, this = (".".join(map(str, v)) for v in (OLDEST, NEWEST, version))
        raise Refused(f"Python {oldest} to {newest} is needed, and this is {this}: install the brain with one of these")


def advice(system: str = platform.system(), processor: str = platform.machine()) -> str:
    """Return what to expect of a machine that the brain was not tried on; empty for one that it was."""
    if (system, processor) == TRIED:
        return ""
    return f"this was tried on Linux x86_64 only, and this is {system} {processor}: it may not work, or be slower"


def check_empty(folder: Path) -> None:
    """Raise Refused if `folder`, which a new workspace is to be made in, has files already."""
    if folder.is_dir() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty; name a new folder")


def check_room(folder: Path, needed_mb: int) -> None:
    """Raise Refused if nothing can be written in `folder`, which need not exist yet, or its disk is too full."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise Refused(f"{there} is a file: name a folder, or move the file away")
    if not os.access(there, os.W_OK | os.X_OK):
        raise Refused(f"nothing can be written in {there}: get the permission for it, or name a folder that is yours")
    if (free_mb := shutil.disk_usage(there).free // MB) < needed_mb:
        raise Refused(f"the disk of {there} has {free_mb} MB left, and {needed_mb} are needed: make room on it")
