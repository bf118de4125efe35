"""A model's files as bytes, and one hash over all of them. Imports nothing that takes time to load."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decisioning.errors import Refused
from training.model.background import in_slices

FORMAT = 2
FORMAT_FROZEN = 3
"""Format of a model that holds frozen actions: a version that cannot read it must not serve it."""


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


def parse_description(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the content of `model.json`; raises Refused if no model is saved there, or one of another format."""
    if "model.json" not in files or "arrays.npz" not in files:
        raise Refused("no model is saved there; train one first")
    document: dict[str, Any] = json.loads(files["model.json"])
    if document["format"] not in (FORMAT, FORMAT_FROZEN):
        raise Refused(f"the model has format {document['format']}, this version reads {FORMAT}; train again")
    return document


def files_in(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files beneath `folder`, which ends in a slash, by their paths relative to it."""
    return {name.removeprefix(folder): data for name, data in files.items() if name.startswith(folder)}
