"""Times of a file as microseconds UTC; without an offset they are read in a zone, where some are not one time."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.times import DAY_US, FIRST_US, LAST_US, SECOND_US, datetime_at, microseconds

_MIDNIGHT = time()
_UNIT_US = {"day": DAY_US, "s": SECOND_US, "ms": 1000, "us": 1}


def parse_time(text: str, form: str | None, zone: ZoneInfo) -> tuple[int | None, bool]:
    """Return a text as int microseconds UTC, None if it is no time, and whether it is sure, as `in_zone` has it.

    `form` is a strptime format, None for ISO 8601.
    """
    try:
        parsed = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007  zoned below
        return in_zone(parsed, zone) if parsed.tzinfo is None else (microseconds(parsed), True)
    except (ValueError, OverflowError):
        return None, True


def in_zone(naive: datetime, zone: ZoneInfo) -> tuple[int, bool]:
    """Return a local time as int microseconds UTC, and whether a clock there shows it exactly once.

    A midnight stands for a day, which begins with its first moment.
    """
    first, second = (naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return microseconds(first), first == second or naive.time() == _MIDNIGHT


def local_time(us: int | None, zone: ZoneInfo) -> tuple[int | None, bool]:
    """Return a local time in microseconds as `in_zone` does; None if there is none, or no calendar has it in UTC."""
    try:
        return (None, True) if us is None else in_zone(datetime_at(us).replace(tzinfo=None), zone)
    except OverflowError:
        return None, True


def whole_microseconds(cells: pa.Array) -> pa.Array:
    """Return Arrow times as int64 microseconds, null outside the years 1 to 9999; fractions of one are cut off."""
    days = pa.types.is_date32(cells.type)
    whole = (cells.cast(pa.int32()) if days else cells).cast(pa.int64())
    unit = "ms" if pa.types.is_date64(cells.type) else "day" if days else cells.type.unit
    if unit == "ns":  # all of them lie between the years 1677 and 2262
        return pc.divide(whole, 1000)
    unit_us = _UNIT_US[unit]
    fits = pc.and_(pc.greater_equal(whole, FIRST_US // unit_us), pc.less_equal(whole, LAST_US // unit_us))
    return pc.multiply(pc.if_else(fits, whole, pa.scalar(None, pa.int64())), unit_us)
