"""Disks that fail for a while: one that is full, and one whose files nobody can write."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class Disk:
    """A disk at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        """Write until there is no room for one more byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


class Frozen:
    """A folder that can be made read-only, for root and for files that are open, too.

    Linux makes no file system read-only while a file of it is open for writing, except in an emergency, and then all of
    the machine. So every file and folder is made immutable, which has the same effects on ext4 and Btrfs: writing to
    a file that is open fails, and writing to a page of a mapped file ends the process by SIGBUS.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def freeze(self) -> None:
        """Let nobody write; what is mapped is written back first, so that the next write to it is noticed."""
        subprocess.run(["chattr", "-R", "-f", "+i", self.folder], check=False)
        subprocess.run(["sync", "-f", self.folder], check=True)

    def thaw(self) -> None:
        """Let everybody write again."""
        subprocess.run(["chattr", "-R", "-f", "-i", self.folder], check=False)


@contextmanager
def mounted(folder: Path, size_mb: int) -> Iterator[Disk]:
    """Mount a disk of this size; without the rights for it, the test is skipped and says so."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size_mb}m", "small-disk"):
        yield Disk(folder)


@contextmanager
def freezing(folder: Path, size_mb: int) -> Iterator[Frozen]:
    """Mount an ext4 file system of this size; without the rights for it, the test is skipped and says so."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    if shutil.which("mkfs.ext4") is None or shutil.which("chattr") is None:
        pytest.skip("e2fsprogs is not installed")
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with _mounted(folder, "-o", "loop", image):
        yield Frozen(folder)


@contextmanager
def _mounted(folder: Path, *arguments: str | Path) -> Iterator[None]:
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", *arguments, folder], check=False).returncode:
        pytest.skip("mounting a disk needs the rights of root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
