"""Times: int microseconds since 1970 UTC inside (`_us`), RFC 3339 texts outside."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
_MICROSECOND = timedelta(microseconds=1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def microseconds(moment: datetime) -> int:
    """Return an aware datetime as int microseconds since 1970 UTC, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def datetime_at(us: int) -> datetime:
    """Return microseconds since 1970 UTC as an aware datetime in UTC, exactly."""
    return EPOCH + timedelta(microseconds=us)


def days_us(days: float) -> int:
    """Return a number of days, possibly with a fraction, as int microseconds."""
    return round(days * DAY_US)


def iso(us: int) -> str:
    """Return microseconds since 1970 UTC as an RFC 3339 time."""
    return datetime_at(us).isoformat().replace("+00:00", "Z")


def parse_moment(text: object) -> datetime:
    """Return a date (its first moment in UTC) or an ISO 8601 time (UTC unless it has an offset) as an aware datetime.

    Raises ValueError, with a message for a person, for anything else and for times before 1970.
    """
    if not isinstance(text, str) or not _DATE.match(text):
        raise ValueError("expected a date such as 2026-11-01 or a time such as 2026-11-01T08:00:00Z")
    try:
        parsed = datetime.fromisoformat(text)
        moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"there is no such date or time as `{text[:40]}`") from None
    if moment < EPOCH:
        raise ValueError("expected a date after 1970")
    return moment
