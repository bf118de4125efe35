"""A model's files as bytes, and one hash over all of them. Imports nothing that takes time to load."""

import hashlib
from pathlib import Path

from training.model.background import in_slices


def read_files(directory: Path) -> dict[str, bytes]:
    """Return relative path -> bytes of every file beneath a directory."""
    paths = in_slices(sorted(directory.rglob("*")))
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in paths if p.is_file()}


def hash_files(files: dict[str, bytes]) -> str:
    """Return the sha256 (hex) over the sorted names and their bytes."""
    state = hashlib.sha256()
    for name in in_slices(sorted(files)):
        state.update(f"{len(name)}:{name}:{len(files[name])}:".encode())
        state.update(files[name])
    return state.hexdigest()
