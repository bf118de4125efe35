"""The texts of the desk, Dutch and English, and times as people say them."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from serving.pages.languages import MONTHS, Language, texts_of

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
    return texts_of(_FILE, language)


def ago(since: str | int, language: Language) -> str:
    """Return how long ago something was, a time in RFC 3339 or seconds, in its largest unit: `4 min`."""
    if isinstance(since, str):
        since = int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    seconds = max(since, 0)
    length, names = next(((length, names) for length, names in _UNITS if seconds >= length), _UNITS[-1])
    count = seconds // length
    return f"{count} {names[language][count != 1]}"


def day(moment: str, language: Language, zone: str) -> str:
    """Return a time as people say it in a time zone: `today 14:30`, `tomorrow 14:30`, `1 December 14:30`."""
    at = datetime.fromisoformat(moment).astimezone(ZoneInfo(zone))
    days = (at.date() - datetime.now(ZoneInfo(zone)).date()).days
    near = {0: {"en": "today", "nl": "vandaag"}, 1: {"en": "tomorrow", "nl": "morgen"}}.get(days)
    named = near[language] if near is not None else f"{at.day} {MONTHS[language][at.month - 1]}"
    return f"{named} {at:%H:%M}"
