"""Phrasings that intents are judged by, written by hand before there was a model of them (30 November 2026).

`LANGUAGE.txt` holds `# intent`, families `## name`, and one phrasing per line, for the intents of the demo's catalogue;
`other.LANGUAGE.txt` holds families of messages about none of them. No family is among the catalogue's examples. Every
second family is kept back: `development` is looked at while the model is made, `final` once at the end.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

LANGUAGES = ("nl", "en")
UNKNOWN = "unknown"
_HALVES = ("development", "final")
_FOLDER = Path(__file__).parent


class IntentPhrasing(NamedTuple):
    """A message with the intent that it has; `unknown` if it has none of the catalogue."""

    text: str
    intent: str
    language: str
    family: str
    half: str


@cache
def phrasings() -> tuple[IntentPhrasing, ...]:
    """Return all phrasings."""
    return tuple(p for language in LANGUAGES for name in ("", "other.") for p in _read(f"{name}{language}.txt"))


def _read(file: str) -> Iterator[IntentPhrasing]:
    intent, family, families = UNKNOWN, "", 0
    for line in (_FOLDER / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            intent = line[2:]
        elif line.startswith("## "):
            family, families = line[3:], families + 1
        elif line:
            yield IntentPhrasing(line, intent, file.split(".")[-2], family, _HALVES[(families + 1) % 2])
