"""Blanks of a drafted mapping: places where only a person can write what is true, each with its reason beside it."""

from collections.abc import Iterator

from decisioning.catalogue.source import Path, YamlNode
from decisioning.errors import Mistake

BLANK = "FILL_IN"
"""What stands in a mapping where a person has to write."""


def blanks(node: YamlNode, text: str) -> Iterator[Mistake]:
    """Yield a mistake per blank of a mapping, with the comment that stands in its line."""
    lines = text.splitlines()
    for path, line in _places(node):
        name = node.at(path[:-1]).items.get("name")
        key = str(name.value) if path[-1] == "value" and name else str(path[-1])
        yield Mistake(node.file, line, f"`{key}` is blank", _comment(lines[line - 1]) or "write what is true")


def _places(node: YamlNode) -> Iterator[tuple[Path, int]]:
    """Yield path and line of every blank, in the order of the file."""
    todo: list[tuple[tuple[str | int, ...], YamlNode]] = [((), node)]
    places: list[tuple[Path, int]] = []
    while todo:
        path, parent = todo.pop()
        for key, child in parent.items.items():
            if child.value == BLANK:
                places.append(((*path, key), child.line))
            todo.append(((*path, key), child))
    return iter(sorted(places, key=lambda place: place[1]))


def _comment(line: str) -> str:
    return line.partition(" # ")[2].strip()
