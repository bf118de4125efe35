"""Calendar periods (a day, a week from Monday, a month) as people mean them: by the clock of a time zone."""

from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from decisioning.times import DAY_US, EPOCH, HOUR_US, microseconds

Period = Literal["day", "week", "month"]

UNKNOWN_ZONE_US: Final[dict[Period, int]] = {
    "day": 25 * HOUR_US,
    "week": 7 * DAY_US + HOUR_US,
    "month": 31 * DAY_US + HOUR_US,
}
"""What counts as the period where the time zone is unknown: its longest length with the usual end of summer time."""
_WIDEST_JUMP_US: Final = 26 * HOUR_US
"""The farthest that a clock can be moved: from an offset of +14 hours to one of -12."""
LONGEST_US: Final[dict[Period, int]] = {
    "day": DAY_US + _WIDEST_JUMP_US,
    "week": 7 * DAY_US + _WIDEST_JUMP_US,
    "month": 31 * DAY_US + _WIDEST_JUMP_US,
}
"""No period is longer in any zone."""


def local_time(zone: str | None, at_us: int) -> datetime | None:
    """Return the time in a zone, or None if there is no such zone."""
    if zone is None:
        return None
    try:
        return (EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return None


def period_start_us(period: Period, zone: str | None, now_us: int) -> int | None:
    """Return the first moment of the period that `now_us` lies in, or None if there is no such zone.

    Where the clock skips midnight, that is the moment at which it skips: before it, the offset from UTC is the old one
    (`fold` 0 of PEP 495). No clock has skipped from before a midnight to after it since 1970.
    """
    now = local_time(zone, now_us)
    if now is None:
        return None
    first = _first_day(period, now.date())
    return microseconds(datetime(first.year, first.month, first.day, tzinfo=now.tzinfo))


def _first_day(period: Period, day: date) -> date:
    if period == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if period == "week" else day
