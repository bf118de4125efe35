"""The catalogue that an import makes, checked; its mistakes are said where a person can mend them: in the mapping."""

import re
from collections.abc import Iterator, Mapping

from decisioning.catalogue.check.everything import Environment
from decisioning.catalogue.files import Catalogue, load
from decisioning.catalogue.source import YamlNode
from decisioning.errors import ConfigError, Mistake
from features.importing.plan import ImportPlan
from features.importing.reading import Source

_LABEL = re.compile(r"[a-z ]+`([^`]+)`")
_NAMED = ("id", "name")


def checked_catalogue(plan: ImportPlan, files: Mapping[str, str], environment: Environment = "dev") -> Catalogue:
    """The catalogue of the files; raises ConfigError, for what the mapping made with the line of the mapping."""
    try:
        return load(files, environment)
    except ConfigError as error:
        made = f"{plan.source.mapping.id}/"
        places = dict(_places(plan.source))
        raise ConfigError(_moved(p, places) if p.file.startswith(made) else p for p in error.problems) from None


def _moved(problem: Mistake, places: Mapping[str, YamlNode]) -> Mistake:
    label = _LABEL.match(problem.message)
    node = places.get(label.group(1)) if label else None
    return node.problem(problem.message, problem.suggestion) if node else problem


def _places(source: Source) -> Iterator[tuple[str, YamlNode]]:
    """Name -> where the mapping declares it; of several the outermost first, which therefore comes last."""
    todo = [source.node]
    found: list[tuple[str, YamlNode]] = []
    while todo:
        node = todo.pop(0)
        for key, child in node.items.items():
            todo.append(child)
            if key in _NAMED and isinstance(child.value, str):
                found.append((child.value, child))
    yield from reversed(found)
