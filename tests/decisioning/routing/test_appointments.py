"""Slots of calendars against a second computation, over every change of clocks, and quiet hours."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from decisioning.catalogue.actions import QuietHours
from decisioning.catalogue.calendars import Calendar
from decisioning.routing.appointments import disturbs, slots
from tests.examples import examples

ZONES = ("Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns", "UTC")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE_US = 60_000_000


def calendar_of(random: Random) -> Calendar:
    first = random.randint(0, 22)
    hours = [
        {"days": tuple(random.sample(DAYS, random.randint(1, 7))), "from": f"{first:02}:00", "to": f"{first + 1:02}:30"}
    ]
    if first < 21:
        hours.append({"days": tuple(random.sample(DAYS, 3)), "from": f"{first + 2:02}:00", "to": "23:45"})
    closed = (date(2026, random.randint(1, 12), random.randint(1, 28)),)
    minutes = random.choice((5, 15, 30, 60))
    return Calendar.model_validate(
        {"id": "c", "channel": "agent", "hours": tuple(hours), "slot_minutes": minutes, "closed": closed}
    )


def is_slot(calendar: Calendar, zone: ZoneInfo, at: datetime) -> bool:
    """Tell whether a slot begins at a time, by trying every day and every slot of it."""
    for back in range(-1, 3):
        day = (at.astimezone(zone) - timedelta(days=back)).date()
        for hours in calendar.hours if day not in calendar.closed else ():
            if DAYS[day.weekday()] not in hours.days:
                continue
            opens = datetime.combine(day, hours.from_, zone).astimezone(UTC)
            closes = datetime.combine(day, hours.to, zone).astimezone(UTC)
            length = timedelta(minutes=calendar.slot_minutes)
            if opens <= at <= closes - length and (at - opens) % length == timedelta():
                return True
    return False


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return the hours of a year in which the clock is moved."""
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(8760)]
    return [a for a, b in pairwise(hours) if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()]


@pytest.mark.promise("call-backs.calendar")
@pytest.mark.parametrize("zone", ZONES)
def test_slots_are_those_of_the_opening_hours_whichever_way_the_clock_is_moved(zone: str) -> None:
    random, info = Random(zone), ZoneInfo(zone)
    days = [*changes(info), datetime(2026, 6, 1, tzinfo=UTC)]
    for n in range(examples(1700)):
        calendar, around = calendar_of(random), days[n % len(days)]
        after = around + timedelta(minutes=random.randint(-1500, 1500))
        quarter = timedelta(minutes=5)
        after -= timedelta(minutes=after.minute % 5)
        span = [after + k * quarter for k in range(1, 36)]
        should = [at for at in span if is_slot(calendar, info, at)]
        begin, end = (round(at.timestamp()) * 1_000_000 for at in (after, after + 36 * quarter))
        found = [datetime.fromtimestamp(us / 1e6, UTC) for us in slots(calendar, zone, begin, end)]
        assert [at for at in found if at.minute % 5 == 0] == should, (zone, calendar, after)


@pytest.mark.promise("call-backs.quiet-hours")
def test_a_slot_that_touches_quiet_hours_disturbs() -> None:
    random = Random(7)
    for _ in range(examples(3000)):
        calendar = calendar_of(random)
        quiet = QuietHours.model_validate(
            {"from": f"{random.randint(0, 23):02}:{random.randint(0, 59):02}", "to": "07:10"}
        )
        zone = random.choice(ZONES)
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(0, 525_000))
        minutes = [start + timedelta(minutes=n) for n in range(calendar.slot_minutes)]
        clocks = [at.astimezone(ZoneInfo(zone)).time() for at in minutes]
        between = quiet.from_ <= quiet.to
        held = [quiet.from_ <= c < quiet.to if between else not quiet.to <= c < quiet.from_ for c in clocks]
        assert disturbs(calendar, quiet, zone, round(start.timestamp()) * 1_000_000) == any(held)
    assert disturbs(calendar, quiet, None, 0), "who knows no time zone disturbs nobody"
    assert not disturbs(calendar, None, None, 0)
