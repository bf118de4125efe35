"""Lines of a drafted mapping: YAML with the evidence of each guess, and blanks with the reason of each."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from features.importing.reading import BLANK
from features.importing.yaml_text import flow

_WIDTH: Final = 110


def line(indent: int, key: str, value: Any, why: str = "") -> str:
    """Return a line `key: value`, with a comment."""
    return f"{' ' * indent}{key}: {flow(value)}" + (f"  # {why}" if why else "")


def guess(indent: int, key: str, value: Any, evidence: str) -> str:
    """Return a line that a file makes likely."""
    return line(indent, key, value, f"guess: {evidence}")


def blank(indent: int, key: str, why: str) -> str:
    """Return a line that only a person can write, with the reason."""
    return line(indent, key, BLANK, why)


def item(indent: int, record: Mapping[str, Any]) -> list[str]:
    """Return the lines of an item of a list, broken between its entries where they are too long for one."""
    parts = [part for key, value in record.items() for part in _parts(key, value)]
    return _folded([f"{' ' * indent}- {{"], parts, indent + 3)


def _parts(key: str, value: Any) -> list[str]:
    """Return a key and its value in parts between which a line may break: a mapping that holds one list in several."""
    if isinstance(value, Mapping) and len(value) == 1:
        (name, items), *_ = value.items()
        if isinstance(items, list) and items:
            parts = [flow(entry) for entry in items]
            parts[0], parts[-1] = f"{key}: {{{name}: [{parts[0]}", f"{parts[-1]}]}}"
            return parts if len(items) > 1 else [f"{key}: {flow(value)}"]
    return [f"{key}: {flow(value)}"]


def folded(indent: int, key: str, record: Mapping[str, Any]) -> list[str]:
    """Return the lines of `key: {…}`, broken between the entries."""
    parts = [f"{flow(str(name))}: {flow(value)}" for name, value in record.items()]
    return _folded([f"{' ' * indent}{key}: {{"], parts, indent + 2)


def _folded(lines: list[str], parts: Iterable[str], indent: int) -> list[str]:
    first = True
    for part in parts:
        if not first and len(lines[-1]) + len(part) > _WIDTH:
            lines[-1] += ","
            lines.append(" " * indent + part)
        else:
            lines[-1] += part if first else f", {part}"
        first = False
    lines[-1] += "}"
    return lines
