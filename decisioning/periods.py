"""Calendar periods (a day, a week from Monday, a month) as people mean them: by the clock of a time zone."""

from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from decisioning.times import DAY_US, EPOCH, HOUR_US, SECOND_US, microseconds

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

    A day begins with its first moment, whatever the clock shows then: in some zones it skips midnight.
    """
    now = local_time(zone, now_us)
    if now is None:
        return None
    first = _first_day(period, now.date())
    midnight = datetime(first.year, first.month, first.day, tzinfo=now.tzinfo)
    start_us = microseconds(midnight)
    if local_time(zone, start_us) == midnight:
        return start_us
    return _first_moment_us(first, zone, start_us)


def _first_day(period: Period, day: date) -> date:
    if period == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if period == "week" else day


def _first_moment_us(day: date, zone: str | None, by_us: int) -> int:
    """Return the first moment of a day whose midnight the clock skips, to the second; it is not after `by_us`."""
    before_us = by_us - _WIDEST_JUMP_US
    while by_us - before_us > SECOND_US:
        middle_us = before_us + (by_us - before_us) // (2 * SECOND_US) * SECOND_US
        local = local_time(zone, middle_us)
        if local is not None and local.date() >= day:
            by_us = middle_us
        else:
            before_us = middle_us
    return by_us
