"""Writes plain values as readable YAML, which `decisioning.catalogue.source` reads back unchanged."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that are not text when unquoted, here or in another reader of YAML."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_WIDTH = 116


def flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _is_plain(text: str) -> bool:
    return bool(_DATE.fullmatch(text) or _PLAIN.fullmatch(text)) and text.lower() not in _WORDS


def _quoted(text: str) -> str:
    """Return text in quotes, with JSON's escapes, which YAML shares; in single quotes where that needs no escapes."""
    if '"' in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)


def _float(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def section(name: str, items: Sequence[Mapping[str, Any]]) -> str:
    """Return `name:` and one line per item, or several lines where one would be too long."""
    return f"{name}:\n" + "".join(_item(item) for item in items)


def block(name: str, values: Mapping[str, Any]) -> str:
    """Return `name:` and one line per key."""
    return f"{name}:\n" + "".join(f"  {line}\n" for key, value in values.items() for line in _entry(key, value))


def _item(item: Mapping[str, Any]) -> str:
    line = f"  - {flow(item)}"
    if len(line) <= _WIDTH:
        return line + "\n"
    lines = [text for key, value in item.items() for text in _entry(key, value)]
    return "".join(f"{'  - ' if n == 0 else '    '}{text}\n" for n, text in enumerate(lines))


def _entry(key: str, value: Any) -> list[str]:
    """Return the lines of a key and its value; the items of a long list, or of a list of mappings, on lines each."""
    line = f"{key}: {flow(value)}"
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and (len(line) > _WIDTH - 4 or any(isinstance(v, Mapping) for v in value))
    ):
        return [f"{key}:", *(f"  - {flow(v)}" for v in value)]
    return [line]
