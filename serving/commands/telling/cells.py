"""Values of results as people write them: rounded, dated and shortened. Programs get them whole, by `--json`."""

import re
from typing import Any

from decisioning.times import iso
from serving.pages.figures import euros, percent, short_hash

INTERVAL = {"value", "low", "high"}
"""The keys of a figure with its interval."""
MOST = 10
"""How many entries of a list or rows of a table people are shown."""
_SHARES = {"rate", "share", "propensity", "probability", "predicted", "observed"}
_HASH = re.compile(r"(sha256:)?[0-9a-f]{64}")
_FIRST_MOMENT_US, _LAST_MOMENT_US = 10**14, 10**17
"""Between these lie times in microseconds, of 1973 to 5138."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(\.\d+)?(Z|\+00:00)")
_GATE = re.compile(r"(eligibility|applicability|suitability|contact|protection|cap|claim|consent):([\w.-]+)")


def cell(value: Any, key: str = "") -> str:
    """Return the text of a value that has this key."""
    if value is None or value == {} or isinstance(value, bool):
        return "yes" if value is True else "no" if value is False else "none"
    if isinstance(value, int | float):
        return number(value, key)
    if isinstance(value, dict) and value.keys() == INTERVAL:
        figure, low, high = (cell(part, key) for part in value.values())
        return figure if value["low"] is None else f"{figure} ({low} to {high})"
    if is_records(value):
        return f"{len(value)}, with --json"
    if isinstance(value, list | tuple):
        return folded([cell(v) for v in value])
    return _text(str(value), key)


def number(value: float, key: str = "") -> str:
    """Return a number with as many digits as people read: a share as a percentage, an amount in euros with cents."""
    if key in _SHARES and isinstance(value, float):
        return percent(value)
    if key.endswith("_eur"):
        return euros(value)
    if isinstance(value, int):
        if key.endswith(("_at", "_us")) and _FIRST_MOMENT_US <= value < _LAST_MOMENT_US:
            return _text(iso(value), key)
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def folded(texts: list[str], most: int = MOST) -> str:
    """Return texts with commas between them: the first of them, and how many more there are."""
    if not texts:
        return "none"
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*texts[:most], *more])


def gate(name: str) -> str:
    """Return a gate in words, such as `the protection hardship` for `protection:hardship`."""
    kind, _, id_ = name.partition(":")
    words = {
        "consent": "no consent to {}",
        "protection": "the protection {}",
        "cap": "the cap {}",
        "budget": "the budget {}",
    }
    return words.get(kind, "the {kind} rule {}").format(id_, kind=kind) if id_ else name


def is_records(value: Any) -> bool:
    """Tell whether a value is a list of records, which is shown as a table."""
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _text(text: str, key: str) -> str:
    if _HASH.fullmatch(text) and key != "hash":  # who approves a hash needs the whole of it
        return short_hash(text)
    if moment := _MOMENT.fullmatch(text):
        return f"{moment[1]} {moment[2]} UTC"
    return gate(text) if _GATE.fullmatch(text) else text
