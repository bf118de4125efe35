"""Figures in words for pages and terminals, with a unit, rounded as people round them, and to what is known."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from serving.pages.languages import MONTHS, Language, with_marks

Say = Callable[[float], str]
"""Writes a number with its unit."""
NOTHING: Final = "–"
_MINUS: Final = "\u2212"
_HASH_DIGITS: Final = 12
_SHORT_MONTHS: Final[Mapping[tuple[Language, int], str]] = {("nl", 3): "mrt"}
"""Short names of months that are not their first three letters."""


def number(value: float, places: int = 0, lang: Language = "en") -> str:
    """Return a number with thousands apart: `1,234.5`, in Dutch `1.234,5`."""
    text = f"{abs(value):,.{places}f}"
    return with_marks(text if value >= 0 or not text.strip("0,.") else f"{_MINUS}{text}", lang)


def count(value: float | None, lang: Language = "en") -> str:
    """Return a count, or a dash if it is unknown."""
    return NOTHING if value is None else number(round(value), lang=lang)


def percent(share: float | None, places: int | None = None, lang: Language = "en") -> str:
    """Return a share in percent: one place from 1% on, two below, none from 99.95% on; a dash if it is unknown."""
    if share is None:
        return NOTHING
    size = abs(100.0 * share)
    chosen = places if places is not None else 0 if size == 0.0 or size >= 99.95 else 1 if size >= 1.0 else 2
    return f"{number(100.0 * share, chosen, lang)}%"


def euros(value: float | None, places: int | None = None, lang: Language = "en") -> str:
    """Return euros, with cents below a hundred; a dash if they are unknown."""
    if value is None:
        return NOTHING
    text = number(value, places if places is not None else 2 if 0.0 < abs(value) < 100.0 else 0, lang)
    sign = "€" if lang == "en" else "€\u00a0"
    return f"{_MINUS}{sign}{text[1:]}" if text.startswith(_MINUS) else f"{sign}{text}"


def ratio(value: float | None, lang: Language = "en") -> str:
    """Return a number of about one with two places; a dash if it is unknown."""
    return NOTHING if value is None else number(value, 2, lang)


def places(low: float, high: float) -> int:
    """Return the decimal places that an interval leaves worth telling: two digits of its width, at most two places.

    Below 0, as many digits before the point are zero.
    """
    width = high - low
    return 2 if width <= 0.0 else min(2, 1 - math.floor(math.log10(width)))


def between(value: float, low: float, high: float, unit: str = "") -> str:
    """Return an estimate and its interval: `12.4%, between 11.6% and 13.1%`.

    :param unit: `share` for parts of one, `eur`, or none
    """
    middle, least, most = estimate(value, low, high, unit)
    return f"{middle}, between {least} and {most}"


def bracketed(value: float, low: float, high: float, unit: str = "") -> str:
    """Return an estimate and its interval where a sentence goes on: `12.4% (between 11.6% and 13.1%)`."""
    middle, least, most = estimate(value, low, high, unit)
    return f"{middle} (between {least} and {most})"


def estimate(value: float, low: float, high: float, unit: str = "", lang: Language = "en") -> tuple[str, str, str]:
    """Return an estimate and the ends of its interval, all with the digits that the interval leaves."""
    scale = 100.0 if unit == "share" else 1.0
    digits = places(scale * low, scale * high)
    cents = 2 if unit == "eur" and digits > 0 else max(digits, 0)
    say = {"share": percent, "eur": euros}.get(unit, number)
    middle, least, most = (say(round(scale * x, digits) / scale, cents, lang) for x in (value, low, high))
    return middle, least, most


def plural(n: float, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 customer`, `2 customers`."""
    return f"{count(n)} {one if round(n) == 1 else many or one + 's'}"


def day(at: str | float, lang: Language = "en") -> str:
    """Return the day of a moment, given in ISO's form or in microseconds: `30 November 2026`."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at / 1e6, UTC)
    return f"{moment.day} {MONTHS[lang][moment.month - 1]} {moment.year}"


def short_day(at_us: float, lang: Language = "en") -> str:
    """Return the day of a moment in microseconds as an axis names it: `30 Nov`."""
    moment = datetime.fromtimestamp(at_us / 1e6, UTC)
    return f"{moment.day} {_SHORT_MONTHS.get((lang, moment.month), MONTHS[lang][moment.month - 1][:3])}"


def spaced(code: str) -> str:
    """Return a code as words: `all_withheld` becomes `all withheld`."""
    return code.replace("_", " ")


def short_hash(name: str) -> str:
    """Return a hash such as that of a release with its first twelve digits, by which commands take it."""
    return name[: name.find(":") + 1 + _HASH_DIGITS]


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "count": count,
    "percent": percent,
    "euros": euros,
    "ratio": ratio,
    "between": between,
    "plural": plural,
    "day": day,
    "spaced": spaced,
    "short_hash": short_hash,
}
"""What templates call by name."""
