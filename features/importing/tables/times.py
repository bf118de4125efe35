"""Times of a file as microseconds UTC; without an offset they are read in a zone, where some are not one time."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from decisioning.times import microseconds

_MIDNIGHT = time()


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
