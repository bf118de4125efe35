"""Limits: quiet hours by the customer's clock, caps, and exploration; one test for each promise."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.actions import QuietHours
from decisioning.deciding.contact import quiet
from decisioning.facts.forms import Ask, Known
from tests import strategies as world
from tests.examples import examples
from tests.promises.larger_world import EXAMPLES, RELEASE, ask_on, asks, customers, offers_in, permitted, willing

ZONES = sorted(available_timezones() - {"localtime"})
CLOCK = st.integers(0, 24 * 60 - 1)
CHANGES = ["2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00", "2026-04-04T15:30"]


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


@pytest.mark.promise("contact.quiet-hours")
@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-1500, 1500), CLOCK, CLOCK)
@example("Europe/Amsterdam", CHANGES[0], 30, 21 * 60, 8 * 60)
@example("Australia/Lord_Howe", CHANGES[4], 5, 90, 150)
def test_quiet_hours_are_on_the_customers_clock_over_every_change_of_it(
    zone: str, around: str, minutes: int, start: int, end: int
) -> None:
    """Equals the time of day computed from the zone's offset from UTC at that moment."""
    moment = datetime.fromisoformat(around).replace(tzinfo=UTC) + timedelta(minutes=minutes)
    hours = QuietHours.model_validate({"from": clock(start), "to": clock(end)})
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    midnight = moment.replace(hour=0, minute=0)
    shown_s = int((moment - midnight + offset).total_seconds()) % 86_400
    inside = (shown_s - start * 60) % 86_400 < (end - start) * 60 % 86_400
    assert quiet(hours, zone, int(moment.timestamp() * 1_000_000)) is inside


def test_at_night_nobody_is_written_to_and_an_unknown_zone_is_night() -> None:
    assert permitted(ask_on("news"), willing())
    for zone in ("Asia/Tokyo", "Nowhere/At_all", None):
        assert not permitted(ask_on("news"), willing(home_time_zone=zone)), zone


@pytest.mark.promise("exploration.only-permitted")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.text("0123456789abcdef", min_size=4, max_size=4))
def test_only_who_passed_is_explored(ask: Ask, customer: Known, seed: str) -> None:
    decision = world.run(ask, customer, RELEASE, seed=seed, gamma=0.0)
    allowed = permitted(ask, customer)
    assert {o["treatment"] for o in offers_in(decision.answer)} <= allowed
    assert {p["treatment"] for p in decision.record["picks"]} - {None} <= allowed
    names = {f"{a.id}.{t.id}" for a, t in (RELEASE.candidates[c] for c in decision.record["scores"]["candidates"])}
    assert names == allowed
    assert all(0 < p["probability"] <= 1 for p in decision.record["picks"])
