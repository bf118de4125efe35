"""Values written in a rule: numbers, durations and points in time."""

import math
import re
from datetime import datetime

from decisioning.rules.errors import RuleError
from decisioning.times import DAY_US, HOUR_US, SECOND_US, microseconds

EXACT = 2.0**53
"""Whole numbers and microseconds at or beyond this are inexact in float64, and so UNKNOWN; as a time: 1684 to 2255."""

_UNIT_US = {"d": DAY_US, "h": HOUR_US, "m": 60 * SECOND_US, "s": SECOND_US}
_DURATION = re.compile(r"([0-9]+)([dhms])")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def number_of(digits: str, position: int) -> float:
    """Return the float64 of `digits`; raises RuleError if it is infinite or a whole number that is not exact."""
    value = float(digits)
    if not math.isfinite(value) or (digits.isdigit() and value >= EXACT):
        raise RuleError("this number is too large", position, f"stay below {EXACT:.0f}")
    return value


def duration_us(text: str, position: int) -> int:
    """Return "90d", "12h", "30m" or "10s" in microseconds; raises RuleError for any other form."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise RuleError(f"{text!r} is not a duration", position, 'write "90d", "12h", "30m" or "10s"')
    length_us = int(match[1]) * _UNIT_US[match[2]]
    if length_us >= EXACT:
        raise RuleError(f"{text!r} is too long", position, "stay below 100,000 days")
    return length_us


def timestamp_us(text: str, position: int) -> int:
    """Return an RFC 3339 time with its offset in microseconds since 1970 UTC; raises RuleError for any other form."""
    try:
        moment = datetime.fromisoformat(text) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise RuleError(f"{text!r} is not a time", position, 'write it like "2026-01-01T00:00:00Z"')
    at_us = microseconds(moment)
    if abs(at_us) >= EXACT:
        raise RuleError(f"{text!r} is out of range", position, "stay between the years 1685 and 2255")
    return at_us
