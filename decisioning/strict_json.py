"""JSON from outside, without keys that stand twice in an object: readers differ in which of the values counts."""

import json
import re
from typing import Any, Final

from pydantic_core import from_json

from decisioning.errors import RequestError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_GAP: Final = re.compile(rb'"[ \t\r\n]+:')
"""White space between a key and its colon; without it, each key of a text is followed by a colon at once."""


def read_json(text: bytes | str) -> Any:
    """Return what a JSON text says.

    :raises RequestError: an object has a key twice; the field is the key, if it looks like the name of a field
    :raises ValueError: it is not JSON, or not UTF-8, or has NaN or an infinite number
    """
    content = from_json(text, allow_inf_nan=False)
    raw = text.encode() if isinstance(text, str) else text
    if _keys(content) != raw.count(b'":') or _GAP.search(raw):
        json.loads(raw, object_pairs_hook=_object)
    return content


def refuse_repeated_keys(text: bytes) -> None:
    """Raise RequestError if an object of a JSON text has a key twice; a text that is not JSON passes."""
    try:
        read_json(text)
    except ValueError:
        return


def _keys(content: Any) -> int:
    """Return how many keys the objects in it have."""
    if isinstance(content, dict):
        total, values = len(content), content.values()
    elif isinstance(content, list):
        total, values = 0, content  # type: ignore[assignment]
    else:
        return 0
    for value in values:
        if value.__class__ is dict or value.__class__ is list:
            total += _keys(value)
    return total


def _object(pairs: list[tuple[str, Any]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise RequestError(key if _NAME.fullmatch(key) else "body", "stands twice in one object")
        keys.add(key)
