"""The order of day and month in columns of text: which a column has, and times that are written so."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from features.importing.tables.times import in_zone, parse_time

DateOrder = Literal["year-month-day", "day-month-year", "month-day-year"]
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_LOCAL: Final = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})"
    r"(?:,?[ T]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<fraction>\d{1,6}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_SPACED_OFFSET: Final = re.compile(r"(?<=\d) (?=[+-]\d{2}:?\d{2}$)")
_MONTHS: Final = 12
AMBIGUOUS: Final = "may be day-month-year or month-day-year, and no other row decides: state `dates`"
TWO_DIGITS: Final = "has a year of two digits: write it with four"
_NO_SUCH: Final = "is not a date {order}, as the column is read: write all dates of a column alike"
NO_TIME: Final = "is not a time (ISO 8601)"
Parsed = tuple[int | None, bool, str | None]
"""Microseconds UTC, None if it is no time; whether they are sure, as `in_zone` has it; and what is wrong."""


@dataclass(frozen=True)
class DatesSeen:
    """Which order the dates of a column show for certain; None for none. `local`: some have days or months first."""

    order: DateOrder | None
    local: bool


def dates_seen(texts: Iterable[str | None]) -> DatesSeen:
    """Return what the cells of a column of text show: the order that most of those have that decide it."""
    seen: dict[DateOrder, int] = {"year-month-day": 0, "day-month-year": 0, "month-day-year": 0}
    local = False
    for text in texts:
        if text and _ISO.match(text):
            seen["year-month-day"] += 1
        elif text and (match := _LOCAL.fullmatch(text)):
            local = True
            if order := _certain(match):
                seen[order] += 1
    usual = max(seen, key=seen.__getitem__)
    return DatesSeen(usual if seen[usual] else None, local)


def _certain(match: re.Match[str]) -> DateOrder | None:
    first, second = int(match["first"]), int(match["second"])
    if match["mark"] == "." or (first > _MONTHS >= second):
        return "day-month-year"
    return "month-day-year" if second > _MONTHS >= first else None


def parse_moment(text: str, form: str | None, order: DateOrder | None, zone: ZoneInfo) -> Parsed:
    """Return a text as a time.

    :param form: a strptime format; None: ISO 8601, or days or months first as `order` says
    :param order: how the column is written; None: nothing decides it but this text
    """
    if form:
        us, sure = parse_time(text, form, zone)
        return us, sure, None if us is not None else f"is not a time ({form})"
    match = _LOCAL.fullmatch(text)
    if match is None:
        return _parsed_iso(text, order, zone)
    if len(match["year"]) == len("26"):
        return None, True, TWO_DIGITS
    order = order or _certain(match)
    if order is None and match["first"] == match["second"]:
        order = "day-month-year"
    if order is None:
        return None, True, AMBIGUOUS
    return _parsed_local(match, order, zone)


def _parsed_iso(text: str, order: DateOrder | None, zone: ZoneInfo) -> Parsed:
    us, sure = parse_time(_SPACED_OFFSET.sub("", text), None, zone)
    if us is None:
        return None, True, NO_TIME
    wrong = _NO_SUCH.format(order=order) if order not in (None, "year-month-day") else None
    return (us, sure, None) if wrong is None else (None, True, wrong)


def _parsed_local(match: re.Match[str], order: DateOrder, zone: ZoneInfo) -> Parsed:
    wrong = _NO_SUCH.format(order=order)
    if order == "year-month-day":
        return None, True, wrong
    day, month = ("first", "second") if order == "day-month-year" else ("second", "first")
    try:
        naive = datetime(int(match["year"]), int(match[month]), int(match[day]), *_clock(match))  # noqa: DTZ001  zoned below
        return *in_zone(naive, zone), None
    except (ValueError, OverflowError):
        return None, True, wrong


def _clock(match: re.Match[str]) -> tuple[int, int, int, int]:
    """Return hour, minute, second and microsecond. Raises ValueError for an hour that no clock of twelve has."""
    hour, half = int(match["hour"] or 0), (match["half"] or "").lower()
    if half and not 1 <= hour <= _MONTHS:
        raise ValueError
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return hour, int(match["minute"] or 0), int(match["s"] or 0), int((match["fraction"] or "").ljust(6, "0"))
