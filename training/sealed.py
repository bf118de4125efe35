"""Sealed copies of models' files: `models/<sha256>/` is read-only and named by its content.

The file `models/<name>@<version>` holds the name of a version's copy.
"""

import shutil
import stat
import uuid
from pathlib import Path

from decisioning.errors import Refused
from features.files import replace_file
from training.model.files import hash_files, read_files

_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP


class SealedCopies:
    """The sealed copies in a folder. `model` is `<name>@<version>`, `content` the hash of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, files: dict[str, bytes]) -> str:
        """Write a read-only copy of the files, unless it is there already, and return its hash.

        It is written under another name and renamed, so that its hash never names a half-written copy.
        """
        content = hash_files(files)
        directory = self.folder / content
        if directory.exists():
            return content
        draft = self.folder / f".{content}-{uuid.uuid4().hex}"
        for name, data in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(_READ_ONLY)
        for path in (*(p for p in draft.rglob("*") if p.is_dir()), draft):
            path.chmod(_READ_ONLY | stat.S_IXUSR | stat.S_IXGRP | (stat.S_IWUSR if path == draft else 0))
        draft.rename(directory)
        directory.chmod(_READ_ONLY | stat.S_IXUSR | stat.S_IXGRP)
        return content

    def name(self, model: str, content: str) -> None:
        """Write the file that names the copy of a model."""
        replace_file(self.folder / model, lambda half: half.write_text(content), contended=True)

    def names(self) -> list[str]:
        """Return all models that have a copy named, sorted."""
        return sorted(path.name for path in self.folder.glob("*@*") if path.is_file())

    def content(self, model: str) -> str | None:
        """Return what a model's copy is named, or None; the copy itself may be missing or damaged."""
        pointer = self.folder / model
        return pointer.read_text(errors="replace").strip() if pointer.is_file() else None

    def is_whole(self, content: str) -> bool:
        """Return whether a copy is there as it was sealed."""
        return is_sealed(self.folder / content)

    def set_aside_damaged(self, content: str) -> Path | None:
        """Give a copy that is not as it was sealed another name, and return that; None if there is no such copy."""
        directory = self.folder / content
        if not directory.exists() or is_sealed(directory):
            return None
        damaged = self.folder / f".{content}-{uuid.uuid4().hex}"
        directory.chmod(stat.S_IRWXU)
        return directory.rename(damaged)

    def forget(self, model: str) -> None:
        """Remove a model's name and, unless another model has the same bytes, its copy."""
        content = self.content(model)
        (self.folder / model).unlink()
        if content and all(self.content(other) != content for other in self.names()):
            remove_sealed(self.folder / content)


def read_sealed(directory: Path) -> dict[str, bytes]:
    """Return the files of a copy by name; raises Refused if they are not those that were sealed."""
    files = read_files(directory)
    if hash_files(files) != directory.name:
        raise Refused("the model's files are not the ones that were sealed; restore them or train again")
    return files


def is_sealed(directory: Path) -> bool:
    """Return whether a folder holds the files that it is named by."""
    try:
        return directory.is_dir() and hash_files(read_files(directory)) == directory.name
    except OSError:
        return False


def remove_sealed(directory: Path) -> None:
    """Remove a copy, which is read-only."""
    for path in (directory, *(p for p in directory.rglob("*") if p.is_dir())):
        path.chmod(stat.S_IRWXU)
    shutil.rmtree(directory)
