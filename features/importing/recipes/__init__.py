"""Recipes: mappings for public data sets that come with the brain, as examples to copy and to try first."""

from pathlib import Path

from decisioning.catalogue.check.words import hint
from decisioning.errors import Refused
from features.importing.reading import MappingSource, read_mapping

_FOLDER = Path(__file__).resolve().parent


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes, sorted."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.yaml")))


def mapping_file(name_or_path: str) -> Path:
    """Return the file of a recipe, by its name, or the file at a path."""
    return _FOLDER / f"{name_or_path}.yaml" if name_or_path in recipe_names() else Path(name_or_path)


def open_mapping(name_or_path: str) -> tuple[MappingSource, Path]:
    """Return a recipe by name, or a mapping file, and the folder that its paths are relative to.

    Raises Refused if there is no such recipe or file, and ConfigError if the mapping has mistakes.
    """
    path = mapping_file(name_or_path)
    try:
        data = path.read_bytes()
    except OSError:
        suggestion = hint(name_or_path, recipe_names()) or f"recipes are {', '.join(recipe_names())}"
        raise Refused(f"there is no mapping file {name_or_path} and no recipe of that name ({suggestion})") from None
    return read_mapping(path.name, data), path.resolve().parent
