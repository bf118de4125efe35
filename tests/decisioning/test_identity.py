"""Linked visitors only narrow, whatever consents they gave on which channel; without links nothing changes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisioning.catalogue.actions import Basis
from decisioning.deciding.consent import latest, permission
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.identity import merge_standings, visitor_id
from decisioning.facts.standing import ALL_CHANNELS, Consent, Contact, RecordedOutcome, Standing
from decisioning.review.replaying import replay
from decisioning.times import DAY_US
from tests import strategies as world
from tests.examples import examples

EXAMPLES = examples(20)
NOW_US = world.NOW_US
HERO = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=5),))


def visitors(least: int = 0) -> st.SearchStrategy[tuple[Standing, ...]]:
    """At least `least` and at most three linked visitors."""
    one = st.sampled_from(["v1", "v2", "v3"]).flatmap(world.standings)
    return st.lists(one, min_size=least, max_size=3, unique_by=lambda s: s.stream).map(tuple)


def linked(of: Known, *others: Standing) -> Known:
    return replace(of, person=merge_standings(of.person, others))


def consent(status: Any = "granted", channel: str = ALL_CHANNELS, days_ago: float = 1, **more: Any) -> Consent:
    about = {"source": "test", "notice_version": "2026-01", "expires_us": None, "record": 1, **more}
    return Consent("marketing", channel, status, occurred_us=NOW_US - round(days_ago * DAY_US), **about)


def visitor(*consents: Consent, stream: str = "v1") -> Standing:
    return Standing(stream, 3, consents)


def allowed(standing: Standing, channel: str = "web", bases: Sequence[Basis] = ()) -> bool:
    return permission(standing, world.SMALL.purposes["marketing"], channel, bases, NOW_US).allowed


def contact(action: str, n: int) -> Contact:
    until_us = NOW_US + DAY_US
    return world.contact_of(
        action, f"v.{n}", "web", NOW_US - n, reserved_until_us=until_us, counts_on="decided", state="reserved"
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), visitors())
def test_linking_never_allows_a_candidate_that_was_not_allowed_before(
    ask: Ask, of: Known, others: tuple[Standing, ...]
) -> None:
    assert world.permitted(ask, linked(of, *others)) <= world.permitted(ask, of)


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.standings(), visitors(1))
def test_linking_never_allows_a_customer_of_whom_everything_is_known_more(
    ask: Ask, person: Standing, others: tuple[Standing, ...]
) -> None:
    """Few random customers pass the policies; for this one only consents, caps and suppression decide."""
    of = world.permissive()
    of = replace(of, person=replace(person, consents=(*of.person.consents, *person.consents)))
    assert world.permitted(ask, linked(of, *others)) <= world.permitted(ask, of)


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.standings(), visitors(1), st.sampled_from(sorted(world.SMALL.purposes)), st.sampled_from(world.CHANNELS))
@example(visitor(consent()), (visitor(consent("refused"), consent(channel="web", days_ago=0)),), "marketing", "web")
def test_a_purpose_is_allowed_where_the_person_and_no_visitor_says_otherwise(
    person: Standing, others: tuple[Standing, ...], purpose: str, channel: str
) -> None:
    """It holds for records on all channels and on this one, on any stream and in any order."""
    records = [record for v in others if (record := latest(v, purpose, channel)) is not None]
    refused = any(w.status != "granted" for w in records)
    ended = any(w.expires_us is not None and w.expires_us <= NOW_US for w in records)
    requested, of = (world.SMALL.purposes[purpose], channel), merge_standings(person, others)
    alone = permission(person, *requested, (), NOW_US).allowed
    assert permission(of, *requested, (), NOW_US).allowed == (alone and not refused and not ended)
    contract = (Basis(id="b", purpose=purpose, basis="contract", channels=(channel,), text="Art. 6(1)(b)"),)
    own = latest(person, purpose, channel)
    own_no = own is not None and own.status != "granted"
    assert permission(of, *requested, contract, NOW_US).allowed == (not refused and not own_no)


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.standings(), visitors())
def test_caps_and_history_count_all_of_them(person: Standing, others: tuple[Standing, ...]) -> None:
    of = merge_standings(person, others)
    everyone = (person, *others)
    assert sorted(c.offer_id for c in of.contacts) == sorted(c.offer_id for s in everyone for c in s.contacts)
    for action in world.ACTIONS:
        for outcome in ("accepted", "declined"):
            assert of.history(action, outcome, 0) == sum(s.history(action, outcome, 0) for s in everyone)
    assert (of.stream, of.version, of.consents) == (person.stream, person.version, person.consents)


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), visitors(2), st.randoms(use_true_random=False))
def test_the_order_of_the_visitors_changes_no_bit(ask: Ask, of: Known, others: tuple[Standing, ...], rng: Any) -> None:
    mixed = list(others)
    rng.shuffle(mixed)
    assert world.run(ask, linked(of, *others)).to_bytes() == world.run(ask, linked(of, *mixed)).to_bytes()


@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), visitors())
def test_a_record_names_every_stream_it_read_and_replays(ask: Ask, of: Known, others: tuple[Standing, ...]) -> None:
    of = linked(of, *others)
    decision = world.run(ask, of)
    record = world.read_back(decision)
    assert record["read"].get("linked", {}) == {v.stream: v.version for v in others}
    assert ("linked" in record["read"]) == bool(others)
    then = Known(record["facts"], of.person, of.account, tuple(record["degraded"]))
    assert replay(record, then, world.SMALL).to_bytes() == decision.to_bytes()


@given(world.standings())
def test_without_visitors_the_standing_is_the_very_same(person: Standing) -> None:
    assert merge_standings(person, ()) is person


@pytest.mark.parametrize("status", ["refused", "withdrawn", "objected"])
@pytest.mark.parametrize("channel", ["web", ALL_CHANNELS])
@pytest.mark.parametrize("own", ["web", ALL_CHANNELS])
def test_a_visitors_no_binds_the_person_whatever_its_age(status: str, channel: str, own: str) -> None:
    person = visitor(consent(channel=own, days_ago=1), stream="p")
    refusing = visitor(consent(status, channel, days_ago=500))
    assert allowed(person)
    assert not allowed(merge_standings(person, [refusing]))
    assert not allowed(merge_standings(person, [visitor(stream="v0"), refusing]))


def test_a_visitors_no_to_one_channel_leaves_the_others() -> None:
    of = merge_standings(visitor(consent(), stream="p"), [visitor(consent("refused", "web"))])
    assert (allowed(of, "web"), allowed(of, "email")) == (False, True)


def test_what_a_visitor_allowed_by_name_after_a_general_no_is_not_held_against_the_person() -> None:
    refusing = visitor(consent("refused", days_ago=5), consent(channel="web", days_ago=2))
    of = merge_standings(visitor(consent(days_ago=9), stream="p"), [refusing])
    assert (allowed(of, "web"), allowed(of, "email")) == (True, False)


def test_a_visitors_grant_permits_the_person_nothing() -> None:
    assert not allowed(merge_standings(Standing("p"), [visitor(consent())]))
    assert not allowed(merge_standings(visitor(consent("withdrawn", days_ago=9), stream="p"), [visitor(consent())]))


@pytest.mark.parametrize(("mine", "theirs"), [(-1, 1), (1, -1)])
def test_of_two_grants_the_one_that_expires_sooner_holds(mine: int, theirs: int) -> None:
    person = visitor(consent(days_ago=1, expires_us=NOW_US + mine), stream="p")
    refusing = visitor(consent(channel="web", days_ago=9, expires_us=NOW_US + theirs))
    assert not allowed(merge_standings(person, [refusing]))


def test_a_visitors_no_ends_a_contracts_permission_but_no_legal_duty() -> None:
    of = merge_standings(Standing("p"), [visitor(consent("objected"))])
    for basis, expected in (("contract", False), ("legal-obligation", True)):
        permits = (Basis(id="b", purpose="marketing", basis=basis, channels=("web",), text="GDPR, Article 6"),)
        assert allowed(Standing("p"), bases=permits)
        assert allowed(of, bases=permits) == expected


def test_a_cap_that_the_visitors_filled_is_full_for_the_person() -> None:
    of = world.permissive()
    assert "tv-bundle.web-hero" in world.permitted(HERO, of)
    filled = replace(visitor(), contacts=(contact("tv-bundle", 1),))
    assert "tv-bundle.web-hero" not in world.permitted(HERO, linked(of, filled))


def test_what_a_visitor_declined_stays_away_from_the_person() -> None:
    declining = replace(visitor(), outcomes={"tv-bundle": (RecordedOutcome("tv-bundle", "declined", NOW_US - DAY_US),)})
    assert "tv-bundle.web-hero" not in world.permitted(HERO, linked(world.permissive(), declining))


def test_a_restricted_visitor_restricts_and_an_erased_person_stays_erased() -> None:
    assert world.permitted(HERO, linked(world.permissive(), replace(visitor(), restricted=True))) == frozenset()
    erased = Standing("p", 3, erased=True)
    assert merge_standings(erased, [visitor(consent())]) is erased


def test_a_visitor_is_called_by_its_kind_but_for_its_own() -> None:
    assert [visitor_id("visitor", "v-1"), visitor_id("cookie", "abc")] == ["v-1", "cookie:abc"]
