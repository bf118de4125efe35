"""The meaning of records about actions: times to the microsecond, amounts, levers, purposes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.actions import Action, Amount, Lever, Treatment, full_id
from decisioning.catalogue.files import Catalogue
from decisioning.times import days_us, microseconds, parse_moment

DAY_US = 86_400_000_000
MOMENTS = st.datetimes(datetime(1970, 1, 3), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def action(**fields: object) -> Action:
    raw = {"id": "new", "issue": "service", "group": "help", "tier": "service", "value": 1}
    return Action.model_validate(raw | fields)


@given(MOMENTS, st.integers(-23, 23))
def test_moments_are_exact_in_every_offset(moment: datetime, hours: int) -> None:
    text = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
    assert parse_moment(text) == moment
    assert datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds(moment)) == moment


def test_a_date_is_its_first_moment_in_utc() -> None:
    assert (
        microseconds(parse_moment("2026-01-01")) == microseconds(parse_moment("2026-01-01T00:00:00")) == 20454 * DAY_US
    )


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31",
        "2026-13-01",
        "2026-1-1",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01x",
        "today",
        "",
        20260101,
        None,
        2026.5,
    ],
)
def test_what_is_no_moment(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected|there is no"):
        parse_moment(text)


def test_in_force_from_its_start_until_its_end() -> None:
    dated = action(starts_at="2026-01-01", ends_at="2026-01-02T00:00:00+01:00")
    assert dated.starts_us == 20454 * DAY_US
    assert dated.ends_us == 20455 * DAY_US - 3_600_000_000
    assert (action().starts_us, action().ends_us) == (None, None)


def test_a_lever_holds_within_its_window_and_is_one_outside() -> None:
    levers = action(lever=({"factor": 2, "until": "1970-01-03"}, {"factor": 3, "from": "1970-01-05"}))
    at = [levers.lever_at(us) for us in (0, 2 * DAY_US - 1, 2 * DAY_US, 4 * DAY_US - 1, 4 * DAY_US, 10**17)]
    assert at == [2.0, 2.0, 1.0, 1.0, 3.0, 3.0]
    assert action(lever=1.5).lever == (Lever(factor=1.5),)
    assert action().lever_at(0) == 1.0


def test_amounts_in_euros_points_or_expressions() -> None:
    assert Amount.model_validate(15).constant_eur(0.01) == 15.0
    assert Amount.model_validate({"points": 500}).constant_eur(0.01) == 5.0
    assert Amount.model_validate({"points": 0}).constant_eur(0.01) == 0.0
    assert Amount.model_validate({"expression": "fee", "typical": 3}).constant_eur(0.01) is None
    assert action().cost.constant_eur(1.0) == 0.0


def test_whatever_sells_needs_marketing() -> None:
    assert action(issue="grow", tier="mandatory").required_purposes == ("marketing",)
    assert action(issue="nurture", tier="commercial", purposes=("profiling", "marketing")).required_purposes == (
        "marketing",
        "profiling",
    )
    assert action(purposes=("service",)).required_purposes == ("service",)
    assert [action(issue=issue).commercial for issue in ("grow", "retain", "nurture", "service", "hardship")] == [
        True
    ] * 3 + [False] * 2


def test_ids_and_windows(small: Catalogue) -> None:
    first = small.actions[-2]
    treatment = Treatment(id="web-hero", channel="web", placements=("hero",), content_ref="cms/1")
    assert full_id(first, treatment) == "tv-bundle.web-hero"
    assert first.outcomes.all == ("accepted", "declined", "complained")
    assert first.outcomes.window_us == 30 * DAY_US == days_us(30.0)
