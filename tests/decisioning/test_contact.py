"""Caps, quiet hours and suppression: what counts, when it is night, and what is suppressed."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest
from hypothesis import given, settings

from decisioning.catalogue.actions import QuietHours
from decisioning.deciding.contact import quiet
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Contact, RecordedOutcome
from decisioning.times import SECOND_US
from tests import strategies as world
from tests.examples import examples

NIGHT = QuietHours.model_validate({"from": "21:00", "to": "08:00"})
HERO = Ask(
    request_id="r", customer_id="c", account_id="a", channel="web", placements=(PlacementAsk(name="hero", limit=9),)
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2026-01-15T19:59:00", "Europe/Amsterdam", False),
        ("2026-01-15T20:00:00", "Europe/Amsterdam", True),
        ("2026-07-15T18:59:00", "Europe/Amsterdam", False),
        ("2026-07-15T19:00:00", "Europe/Amsterdam", True),
        ("2026-07-15T06:00:00", "Europe/Amsterdam", False),
        ("2026-03-29T05:59:00", "Europe/Amsterdam", True),  # the night the clock goes forward
        ("2026-03-29T06:00:00", "Europe/Amsterdam", False),
        ("2026-10-25T06:59:00", "Europe/Amsterdam", True),  # the night it goes back
        ("2026-10-25T07:00:00", "Europe/Amsterdam", False),
        ("2026-01-15T20:00:00", "America/New_York", False),
        ("2026-01-15T20:00:00", "Nowhere/At_all", None),
        ("2026-01-15T20:00:00", "../../etc/passwd", None),
        ("2026-01-15T20:00:00", "", None),
        ("2026-01-15T20:00:00", None, None),
    ],
)
def test_quiet_hours_are_those_of_the_customer(moment: str, zone: str | None, expected: bool | None) -> None:
    assert quiet(NIGHT, zone, at(moment)) is expected


def test_hours_within_one_day() -> None:
    siesta = QuietHours.model_construct(from_=time(13), to=time(15))
    assert [quiet(siesta, "UTC", at(f"2026-01-01T{h}:00:00")) for h in (12, 13, 14, 15)] == [False, True, True, False]
    assert quiet(None, None, 0) is False


def contact(action: str, state: str, counts_on: str, days_ago: float, reserved_s: int = 3600) -> Contact:
    at_us = world.NOW_US - round(days_ago * world.DAY_US)
    until_us = at_us + reserved_s * SECOND_US
    return world.contact_of(action, "x.0", "web", at_us, reserved_until_us=until_us, counts_on=counts_on, state=state)


@pytest.mark.parametrize(
    ("state", "counts_on", "days_ago", "permitted"),
    [
        ("reserved", "decided", 1, False),
        ("reserved", "delivered", 1, True),  # its reservation has run out
        ("reserved", "delivered", 0.01, False),  # still reserved
        ("delivered", "delivered", 1, False),
        ("delivered", "seen", 1, True),
        ("seen", "seen", 1, False),
        ("pitched", "seen", 1, False),
        ("not_delivered", "decided", 0.01, True),
        ("expired", "delivered", 0.01, True),
        ("seen", "decided", 8, True),  # once a week
    ],
)
def test_a_cap_counts_what_got_as_far_as_its_channel_says(
    state: str, counts_on: str, days_ago: float, permitted: bool
) -> None:
    of = world.permissive()
    less = replace(of, person=replace(of.person, contacts=(contact("tv-bundle", state, counts_on, days_ago),)))
    assert ("tv-bundle.web-hero" in world.permitted(HERO, less)) is permitted


def test_mandatory_is_never_capped() -> None:
    of = world.permissive()
    contacts = tuple(
        replace(contact("data-breach-notice", "seen", "decided", 0.1), offer_id=f"x.{n}") for n in range(50)
    )
    assert any(
        t.startswith("data-breach")
        for t in world.permitted(HERO, replace(of, person=replace(of.person, contacts=contacts)))
    )


@pytest.mark.promise("caps.slate")
@settings(max_examples=examples(100), deadline=None)
@given(world.asks(), world.known())
def test_a_slate_never_takes_more_than_a_cap_has_left(ask: Ask, of: Known) -> None:
    """With every prefix of the slate added to the standing, the next offer is still permitted."""
    decision = world.run(ask, of)
    offered = [o for p in decision.answer["placements"] for o in p["offers"]]
    contacts = {c["offer_id"]: Contact(**c) for c in decision.record["contacts"]}
    for n, offer in enumerate(offered):
        before = tuple(contacts[o["offer_id"]] for o in offered[:n])
        person = replace(of.person, contacts=(*of.person.contacts, *before))
        account = of.account and replace(of.account, contacts=(*of.account.contacts, *before))
        assert offer["treatment"] in world.permitted(ask, replace(of, person=person, account=account))


@pytest.mark.parametrize(
    ("outcome", "days_ago", "permitted"), [("declined", 89, False), ("declined", 91, True), ("accepted", 799, False)]
)
def test_outcomes_suppress_for_as_long_as_they_say(outcome: str, days_ago: int, permitted: bool) -> None:
    of = world.permissive()
    happened = RecordedOutcome("tv-bundle", outcome, world.NOW_US - days_ago * world.DAY_US)
    less = replace(of, person=replace(of.person, outcomes={"tv-bundle": (happened,)}))
    assert ("tv-bundle.web-hero" in world.permitted(HERO, less)) is permitted


def test_the_accounts_history_speaks_for_actions_of_account_scope() -> None:
    of = world.permissive()
    assert of.account is not None
    mate = replace(contact("family-data", "seen", "decided", 1), offer_id="y.0")
    less = replace(of, account=replace(of.account, contacts=(mate,)))
    assert "family-data.web" in world.permitted(HERO, of)
    assert "family-data.web" not in world.permitted(HERO, less)
    assert "family-data.web" not in world.permitted(HERO, replace(of, account=None))
