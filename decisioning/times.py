"""Times: int microseconds since 1970 UTC inside (`_us`), RFC 3339 texts outside."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
EARLIEST_YEAR: Final = 1990
LATEST_YEAR: Final = 2200
IMPLAUSIBLE: Final = f"expected a time between the years {EARLIEST_YEAR} and {LATEST_YEAR}"
"""What is said of a time that is refused because it is not plausible."""
TOLERANCE_S: Final = 5
"""How far clocks may differ. What is told may lie so far ahead of its recording, and then counts as of its recording;
what lies further ahead is refused. Of two words less than so far apart, the refusing one holds."""
TOLERANCE_US: Final = TOLERANCE_S * SECOND_US
FUTURE_TIME: Final = f"lies more than {TOLERANCE_S} seconds ahead; check the sender's clock and time zone"
"""What is said of a time that is refused because it lies too far ahead."""
_MICROSECOND = timedelta(microseconds=1)
FIRST_US: Final = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
LAST_US: Final = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // _MICROSECOND
"""The first and the last time that a calendar has."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How the times that a subject's records state become those that decisions go by.

    `as_recorded`: nothing counts as later than it was recorded. `lead_us`: a refusal ranks as this much later than it
    was told, so that no grant that follows it by less lifts it. `for_good`: an outcome that is asked for without a
    window counts however old it is.
    """

    as_recorded: bool
    lead_us: int
    for_good: bool

    def counted_us(self, occurred_us: int, recorded_us: int) -> int:
        """Return when something counts as having happened that was told and recorded with these times."""
        return min(occurred_us, recorded_us) if self.as_recorded else occurred_us

    def rank_us(self, counted_us: int, *, refuses: bool) -> int:
        """Return the time by which a word ranks among others about the same; of equal ones the refusing one holds."""
        return counted_us + self.lead_us if refuses else counted_us


def counted_us(told_us: int | None, now_us: int, recorded_us: int) -> int:
    """Return when a word counts that is recorded now, with the time that was told, if one was.

    Without one it counts as of its recording. So does what lies ahead of it; and what is told now to a stream whose
    time is ahead of the clock, because the clock was wrong once.

    :param recorded_us: the stream's time, which never decreases and is not before `now_us`
    """
    if told_us is None or (recorded_us > now_us + TOLERANCE_US and told_us > now_us - TOLERANCE_US):
        return recorded_us
    return min(told_us, recorded_us)


AS_STATED: Final = TimeRule(as_recorded=False, lead_us=0, for_good=False)
"""The rule up to record format 2: times count as they were stated, and nothing is kept for longer than 800 days."""
AS_RECORDED: Final = TimeRule(as_recorded=True, lead_us=TOLERANCE_US - 1, for_good=True)
"""The rule since record format 3; a grant exactly `TOLERANCE_US` after a refusal lifts it."""


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


def is_plausible(moment: datetime) -> bool:
    """Tell whether a time lies in the years in which the brain decides, so that what follows from it is a time, too."""
    return EARLIEST_YEAR <= moment.year <= LATEST_YEAR


def parse_decision_time(text: object) -> datetime:
    """Return the time of a decision; raises ValueError as `parse_moment` does, and for implausible years."""
    moment = parse_moment(text)
    if not is_plausible(moment):
        raise ValueError(IMPLAUSIBLE)
    return moment


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
