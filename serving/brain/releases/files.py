"""The files of a catalogue, and the bytes that a release of them would have."""

from collections.abc import Mapping
from pathlib import Path

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import pack, with_wording
from decisioning.catalogue.source import decode
from decisioning.errors import ConfigError, Mistake
from serving.settings import CONFIG_NAME, Workspace

CATALOGUE = "catalogue"
"""The folder of a workspace that holds its catalogue."""


def read_files(workspace: Workspace) -> dict[str, str]:
    """Return the text of every YAML file of the catalogue by path from the workspace; raises ConfigError if none."""
    return read_folder(workspace.catalogue)


def read_folder(folder: Path) -> dict[str, str]:
    """Return the text of every YAML file of a folder as `read_files` does, as if it were the workspace's catalogue."""
    files = _files_in(folder)
    if not files:
        raise ConfigError([Mistake(CATALOGUE, 1, "there is no YAML file here", "make one with: brain new DIR")])
    return files


def existing_files(workspace: Workspace) -> dict[str, str]:
    """Return the text of every YAML file of the catalogue by path from the workspace; empty if there is none."""
    return _files_in(workspace.catalogue)


def _files_in(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    names = {f"{CATALOGUE}/{p.relative_to(folder)}": p for p in files}
    return {name: decode(name, path.read_bytes()) for name, path in names.items()}


def pack_files(files: Mapping[str, str]) -> bytes:
    """Return the bytes of the release that files make, by path from a workspace."""
    return pack(with_wording(with_country_rules(files)))


def packed_files(workspace: Workspace, folder: Path | None = None) -> bytes:
    """Return the bytes that a release of the catalogue folder would have, or of another folder with a catalogue.

    Raises ConfigError if there is no YAML file, or one cannot be read.
    """
    if folder is None:
        return pack_files(read_files(workspace))
    inside = folder / CATALOGUE if (folder / CONFIG_NAME).is_file() else folder
    return pack_files(read_folder(inside))
