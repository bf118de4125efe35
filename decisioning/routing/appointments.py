"""The slots of a calendar, as moments, and whether a slot disturbs a customer."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from decisioning.catalogue.actions import QuietHours
from decisioning.catalogue.calendars import Calendar
from decisioning.times import DAY_US, EPOCH, microseconds

_MINUTE_US = 60_000_000


def slots(calendar: Calendar, zone: str, after_us: int, before_us: int) -> Iterator[int]:
    """Yield when slots begin, ascending, after one time and before another.

    A slot lies within the opening hours by the clock of the zone, whichever way that is moved: its length is that of
    time, and where a clock skips the beginning of the hours, they begin at what the clock shows then.

    :param zone: of the opening hours
    """
    zone_info, length_us = ZoneInfo(zone), calendar.slot_minutes * _MINUTE_US
    day = (_at(after_us, zone_info) - timedelta(days=1)).date()
    last = _at(before_us, zone_info).date()
    while day <= last:
        begins: set[int] = set()
        for hours in calendar.hours_on(day):
            opens_us = microseconds(datetime.combine(day, hours.from_, zone_info))
            closes_us = microseconds(datetime.combine(day, hours.to, zone_info))
            begins.update(range(opens_us, closes_us - length_us + 1, length_us))
        yield from (at_us for at_us in sorted(begins) if after_us < at_us < before_us)
        day += timedelta(days=1)


def offered(calendar: Calendar, zone: str, now_us: int) -> Iterator[int]:
    """Yield when the slots begin that may be taken now."""
    after_us = now_us + calendar.notice_minutes * _MINUTE_US
    return slots(calendar, zone, after_us, now_us + calendar.ahead_days * DAY_US)


def disturbs(calendar: Calendar, hours: QuietHours | None, zone: str | None, starts_us: int) -> bool:
    """Tell whether a minute of a slot lies in quiet hours where the customer is; True if their zone is unknown."""
    minutes = (starts_us + n * _MINUTE_US for n in range(calendar.slot_minutes))
    return hours is not None and any(hours.hold_at(zone, at_us) is not False for at_us in minutes)


def _at(at_us: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
