"""The texts of the desk, Dutch and English, and times as people say them."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from yaml import safe_load

from serving.pages.me.words import Language

_FILE: Final = Path(__file__).with_name("words.yaml")
_UNITS: Final = (
    (86_400, {"en": ("day", "days"), "nl": ("dag", "dagen")}),
    (3_600, {"en": ("hour", "hours"), "nl": ("uur", "uur")}),
    (60, {"en": ("min", "min"), "nl": ("min", "min")}),
    (1, {"en": ("s", "s"), "nl": ("s", "s")}),
)


@cache
def words(language: Language) -> dict[str, str]:
    """Return name -> text in a language."""
    return {str(name): texts[language] for name, texts in safe_load(_FILE.read_text(encoding="utf-8")).items()}


def ago(since: str | int, language: Language) -> str:
    """Return how long ago something was, a time in RFC 3339 or seconds, in its largest unit: `4 min`."""
    if isinstance(since, str):
        since = int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    seconds = max(since, 0)
    length, names = next(((length, names) for length, names in _UNITS if seconds >= length), _UNITS[-1])
    count = seconds // length
    return f"{count} {names[language][count != 1]}"
