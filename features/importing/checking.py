"""Checks the catalogue that an import generates, and reports its mistakes in the mapping, to be corrected there."""

import re
from collections.abc import Iterator, Mapping

from decisioning.catalogue.check.everything import Environment
from decisioning.catalogue.files import Catalogue, load
from decisioning.catalogue.source import YamlNode
from decisioning.errors import ConfigError, Mistake
from features.importing.plan import ImportPlan
from features.importing.reading import MappingSource

_LABEL = re.compile(r"[a-z ]+`([^`]+)`")
_NAME_KEYS = ("id", "name")


def checked_catalogue(plan: ImportPlan, files: Mapping[str, str], environment: Environment = "dev") -> Catalogue:
    """Return the catalogue of the files.

    Raises ConfigError; mistakes in files that the mapping generated have the line of the mapping.
    """
    try:
        return load(files, environment)
    except ConfigError as error:
        generated = f"{plan.source.mapping.id}/"
        places = dict(_places(plan.source))
        raise ConfigError(
            _in_mapping(p, places) if p.file.startswith(generated) else p for p in error.problems
        ) from None


def _in_mapping(problem: Mistake, places: Mapping[str, YamlNode]) -> Mistake:
    """Return the problem at its line in the mapping, or as it is if the mapping declares no such name."""
    label = _LABEL.match(problem.message)
    node = places.get(label.group(1)) if label else None
    return node.problem(problem.message, problem.suggestion) if node else problem


def _places(source: MappingSource) -> Iterator[tuple[str, YamlNode]]:
    """Yield (name, node that declares it). Of equal names the outermost comes last, so that it wins in a dict."""
    todo = [source.node]
    places: list[tuple[str, YamlNode]] = []
    while todo:
        node = todo.pop(0)
        for key, child in node.items.items():
            todo.append(child)
            if key in _NAME_KEYS and isinstance(child.value, str):
                places.append((child.value, child))
    yield from reversed(places)
