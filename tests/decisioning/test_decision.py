"""What a decision shows and records: content, tone, reasons, the emotion layer, personas, and bytes."""

from dataclasses import replace

import pytest

from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, PlacementAsk, canonical
from decisioning.records.formats import NEWEST, tables_for
from decisioning.review.personas import run as run_personas
from decisioning.times import iso
from tests import strategies as world

HERO = Ask(
    request_id="r", customer_id="c", channel="web", locale="en", placements=(PlacementAsk(name="hero", limit=5),)
)


def treatment(full_id: str) -> object:
    return next(t for a, t in world.SMALL.candidates if f"{a.id}.{t.id}" == full_id)


@pytest.mark.parametrize(
    ("tone", "locale", "expected"),
    [
        (None, "en", ("Television for who pays 40.50 a month already", "neutral")),
        (None, "nl", ("Televisie voor wie al 40,50 per maand betaalt", "neutral")),
        ("calm", "en", ("Television, if you like", "calm")),
        ("calm", "nl", ("Televisie voor wie al 40,50 per maand betaalt", "neutral")),  # not written in Dutch
        ("stern", "en", ("Television for who pays 40.50 a month already", "neutral")),
    ],
)
def test_content_is_filled_in_the_customers_language_and_tone(
    tone: str | None, locale: str, expected: tuple[str, str]
) -> None:
    words = tables_for(world.SMALL, NEWEST).words
    fields, spoken_tone = words.content("tv-bundle.web-hero", tone, locale, {"monthly_fee_eur": 40.5})
    assert (fields["title"], spoken_tone) == expected


@pytest.mark.promise("emotion.changes-no-computation")
def test_emotion_silences_sales_and_changes_nothing_that_was_computed() -> None:
    of = world.permissive()
    calm = world.run(HERO, of).record
    angry = world.run(HERO, replace(of, facts={**of.facts, "sentiment": -0.9})).record
    for computed in ("scores", "permissions"):
        assert {**angry[computed], "factors": None} == {**calm[computed], "factors": None}
    offers = [o for p in angry["answer"]["placements"] for o in p["offers"]]
    assert offers
    assert not {"grow", "retain", "nurture"} & {o["issue"] for o in offers}
    calm_offers = {o["treatment"]: o for p in calm["answer"]["placements"] for o in p["offers"]}
    for offer in offers:
        assert offer["priority"] == calm_offers[offer["treatment"]]["priority"]
    assert angry["answer"]["handover"] == {"reason": "wants a person"}
    assert calm["answer"]["handover"] is None
    assert angry["answer"]["withheld"] == calm["answer"]["withheld"]


def test_reasons_name_factors_that_were_used() -> None:
    decision = world.run(HERO, world.permissive())
    offers = {o["action"]: o for p in decision.answer["placements"] for o in p["offers"]}
    codes = {a: [r["code"] for r in o["reasons"]] for a, o in offers.items()}
    assert codes["tv-bundle"] == ["propensity.monthly_fee_eur", "context", "lever", "value.expected"]
    assert codes["fix-router"][0] == "tier.service"
    assert "lever" not in codes["fix-router"]


def test_an_empty_slot_says_why() -> None:
    nothing = world.without_consents(world.permissive())
    sidebar = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="sidebar"),))
    placed = world.run(sidebar, nothing).answer["placements"][0]
    assert (placed["empty_reason"], placed["offers"]) == ("all_withheld", [])
    worthless = world.CountingScorer(of=lambda c, f: 0.0)
    placed = world.run(sidebar, world.permissive(), score=worthless).answer["placements"][0]
    assert (placed["empty_reason"], placed["offers"]) == ("nothing_is_better", [])


@pytest.mark.parametrize(
    ("channel", "placement", "field"), [("fax", "x", "channel"), ("web", "x", "placements.0.name")]
)
def test_unknown_channels_and_placements_are_named(channel: str, placement: str, field: str) -> None:
    ask = Ask(request_id="r", customer_id="c", channel=channel, placements=(PlacementAsk(name=placement),))
    with pytest.raises(RequestError) as refused:
        world.run(ask, world.permissive())
    assert refused.value.field == field


def test_personas_come_out_as_expected_and_say_so_when_they_do_not() -> None:
    score = world.CountingScorer()
    verdicts = run_personas(world.SMALL, score, "m@1", world.NOW_US)
    assert {v.persona: v.failures for v in verdicts} == {"nobody-asked": (), "tv-fan": ()}
    worthless = run_personas(world.SMALL, world.CountingScorer(of=lambda c, f: 0.0), "m@1", world.NOW_US)
    assert [v.failures for v in worthless if v.persona == "tv-fan"] == [("expected tv-bundle first, got nothing",)]


def test_times_and_bytes() -> None:
    assert iso(world.NOW_US) == "2026-11-23T12:00:00Z"
    assert iso(world.NOW_US + 1) == "2026-11-23T12:00:00.000001Z"
    assert canonical({"b": 0.1, "a": [1e300, -0.0]}) == b'{"b":0.1,"a":[1e+300,-0.0]}'
