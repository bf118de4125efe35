"""Caps per day, week and month: by the calendar where the person is, exact when clocks change, told as such."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.catalogue.policies import Cap
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Contact
from decisioning.periods import LONGEST_US, Period, period_start_us
from decisioning.review.narrative import gate_in_words
from decisioning.times import HOUR_US, microseconds
from tests import strategies as world
from tests.examples import examples

HERO = Ask(
    request_id="r", customer_id="c", account_id="a", channel="web", placements=(PlacementAsk(name="hero", limit=9),)
)
ZONES = (
    *("Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Kiritimati"),
    *("America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia", "Antarctica/Troll", "Asia/Pyongyang"),
)


def released(caps: str) -> Release:
    """Return the small catalogue with these caps in place of its own."""
    policies = re.sub(r"(?s)caps:\n.*?\n\n", f"caps: {caps}\n\n", world.SMALL_FILES["policies.yaml"])
    return Release.from_bytes(pack({**world.SMALL_FILES, "policies.yaml": policies}))


def us(text: str, zone: str = "UTC") -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def seen(at_us: int, action: str = "tv-bundle", n: int = 0) -> Contact:
    more = {"reserved_until_us": at_us, "counts_on": "decided", "state": "seen"}
    return world.contact_of(action, f"x.{n}", "web", at_us, **more)


def why(release: Release, now_us: int, *at_us: int, zone: str | None = "Europe/Amsterdam") -> str | None:
    """Return why the cap stops a TV bundle now, after contacts about it at these times; None if it does not."""
    of = world.permissive()
    consents = tuple(replace(c, occurred_us=now_us) for c in of.person.consents)
    person = replace(of.person, consents=consents, contacts=tuple(seen(at, n=n) for n, at in enumerate(at_us)))
    known = replace(of, facts={**of.facts, "home_time_zone": zone}, person=person)
    return reason(release, known, now_us, "tv-bundle.web-hero")


def reason(release: Release, known: Known, now_us: int, treatment: str) -> str | None:
    withheld = {w.treatment: w for w in screened_for(HERO, known, release, now_us=now_us).withheld}
    of_one = withheld.get(treatment)
    return of_one.why if of_one is not None and of_one.gate == "cap:c" else None


DAILY = released("[{id: c, count: action, limit: 1, per: day}]")
WEEKLY = released("[{id: c, count: action, limit: 1, per: week}]")
MONTHLY = released("[{id: c, count: action, limit: 1, per: month}]")


@pytest.mark.promise("caps.calendar")
@pytest.mark.parametrize(
    ("release", "shown", "asked", "stopped"),
    [
        (DAILY, "2026-11-23T23:59:59", "2026-11-24T00:00:00", False),  # a second later, and another day
        (DAILY, "2026-11-23T00:00:00", "2026-11-23T23:59:59", True),
        (DAILY, "2026-11-22T23:59:59", "2026-11-23T00:00:00", False),
        (WEEKLY, "2026-11-22T23:59:59", "2026-11-23T00:00:00", False),  # a Sunday, then a Monday
        (WEEKLY, "2026-11-23T00:00:00", "2026-11-29T23:59:59", True),
        (MONTHLY, "2026-11-30T23:59:59", "2026-12-01T00:00:00", False),
        (MONTHLY, "2026-12-01T00:00:00", "2026-12-31T23:59:59", True),
    ],
)
def test_a_day_a_week_and_a_month_are_those_of_the_calendar(
    release: Release, shown: str, asked: str, stopped: bool
) -> None:
    zone = "Europe/Amsterdam"
    assert (why(release, us(asked, zone), us(shown, zone)) is not None) is stopped


@pytest.mark.promise("caps.calendar")
@pytest.mark.parametrize(
    ("zone", "first", "last", "hours"),
    [
        ("Europe/Amsterdam", "2026-03-28T23:00:00", "2026-03-29T21:59:59", 23),
        ("Europe/Amsterdam", "2026-10-24T22:00:00", "2026-10-25T22:59:59", 25),
        ("America/Sao_Paulo", "2018-11-04T03:00:00", "2018-11-05T01:59:59", 23),  # the clock skips midnight
        ("America/Sao_Paulo", "2018-02-17T02:00:00", "2018-02-18T02:59:59", 25),  # and goes back at midnight
        ("Asia/Beirut", "2026-03-28T22:00:00", "2026-03-29T20:59:59", 23),
        ("Asia/Beirut", "2026-10-23T21:00:00", "2026-10-24T21:59:59", 25),
        ("Pacific/Apia", "2011-12-30T10:00:00", "2011-12-31T09:59:59", 24),  # 30 December was skipped
        ("America/St_Johns", "2010-11-07T02:30:00", "2010-11-08T03:29:59", 25),  # back at one minute past midnight
        ("Antarctica/Troll", "2025-10-25T22:00:00", "2025-10-26T23:59:59", 26),
    ],
)
def test_a_day_is_a_day_where_clocks_change(zone: str, first: str, last: str, hours: int) -> None:
    assert us(last) - us(first) == hours * HOUR_US - 1_000_000
    assert period_start_us("day", zone, us(last)) == us(first)
    assert period_start_us("day", zone, us(last) + 1_000_000) == us(last) + 1_000_000
    assert (why(DAILY, us(last), us(first), zone=zone), why(DAILY, us(last), us(first) - 1, zone=zone)) == (
        f"shown as often as it may be: 1 a day, by the calendar in {zone}",
        None,
    )


def _same_period(period: Period, one: datetime, other: datetime) -> bool:
    """Tell whether two local times are in one period, from their calendars alone."""
    if period == "week":
        return one.isocalendar()[:2] == other.isocalendar()[:2]
    return (one.year, one.month) == (other.year, other.month) and (period == "month" or one.day == other.day)


@pytest.mark.promise("caps.calendar")
@settings(max_examples=examples(1500), deadline=None)
@given(
    st.sampled_from(("day", "week", "month")),
    st.sampled_from(ZONES),
    st.integers(us("1995-01-01"), us("2035-01-01")),
    st.integers(0, 2000),
)
@example("week", "Asia/Beirut", us("2026-03-29T12:00:00"), 0)
def test_a_period_is_exact_over_every_change_of_a_clock(period: Period, zone: str, at_us: int, minutes: int) -> None:
    """What counts is what has the same date, week or month by the clock there, and reading reaches far enough back."""
    now_us = at_us + minutes * 60_000_000
    start_us = period_start_us(period, zone, now_us)
    assert start_us is not None
    now, before, first = (
        datetime.fromtimestamp(t // 1_000_000, UTC).astimezone(ZoneInfo(zone))
        for t in (now_us, start_us - 1_000_000, start_us)
    )
    assert _same_period(period, now, first)
    assert not _same_period(period, now, before)
    assert 0 <= now_us - start_us < LONGEST_US[period]
    middle = first + timedelta(seconds=(now_us - start_us) // 2_000_000)
    assert _same_period(period, now, middle.astimezone(UTC).astimezone(ZoneInfo(zone)))


@pytest.mark.promise("caps.calendar")
@pytest.mark.parametrize("zone", [None, "Nowhere/At_all", "../../etc/passwd"])
@pytest.mark.parametrize(("release", "hours"), [(DAILY, 25), (WEEKLY, 7 * 24 + 1), (MONTHLY, 31 * 24 + 1)])
def test_where_the_zone_is_unknown_the_longest_period_counts(release: Release, hours: int, zone: str | None) -> None:
    now_us = us("2026-11-23T12:00:00")
    told = why(release, now_us, now_us - hours * HOUR_US + 1, zone=zone)
    assert told is not None
    assert told.endswith(f"counted over {hours} hours, as the time zone is unknown")
    assert why(release, now_us, now_us - hours * HOUR_US, zone=zone) is None


@pytest.mark.promise("caps.calendar")
@pytest.mark.parametrize(("zone", "stopped"), [("Europe/Amsterdam", False), ("America/New_York", True)])
def test_an_accounts_cap_goes_by_the_zone_of_the_person_asked(zone: str, stopped: bool) -> None:
    """What was shown to the account at 23:30 in Amsterdam was yesterday there, and is still today in New York."""
    of = world.permissive()
    assert of.account is not None
    shown, asked = us("2026-11-23T23:30:00", "Europe/Amsterdam"), us("2026-11-24T00:30:00", "Europe/Amsterdam")
    known = replace(
        of,
        facts={**of.facts, "home_time_zone": zone},
        account=replace(of.account, contacts=(seen(shown, "family-data"),)),
    )
    assert (reason(DAILY, known, asked, "family-data.web") is not None) is stopped


def test_a_window_in_days_stays_rolling() -> None:
    rolling, shown = released("[{id: c, count: action, limit: 1, window_days: 1}]"), us("2026-11-23T23:00:00")
    assert why(rolling, shown + 24 * HOUR_US - 1, shown) == "shown as often as it may be: 1 in any 1 days"
    assert why(rolling, shown + 24 * HOUR_US, shown) is None


@pytest.mark.promise("caps.calendar")
def test_a_calendar_cap_is_told_as_such() -> None:
    asked = us("2026-11-23T12:00:00")
    assert why(WEEKLY, asked, asked) == "shown as often as it may be: 1 a week, by the calendar in Europe/Amsterdam"
    for release, en, nl in ((DAILY, "in a day", "op een dag"), (MONTHLY, "in a month", "in een maand")):
        assert en in gate_in_words(release, "cap:c", "en")
        assert nl in gate_in_words(release, "cap:c", "nl")
    assert "in any 7 days" in gate_in_words(world.SMALL, "cap:once-a-week", "en")


@pytest.mark.parametrize("release", [DAILY, WEEKLY, MONTHLY])
def test_what_is_read_of_the_past_covers_every_period(release: Release) -> None:
    cap: Cap = release.catalogue.caps[0]
    assert cap.per is not None
    assert release.standing_rules.caps[0].window_us == LONGEST_US[cap.per]
