"""Where gates begin and end, to the microsecond, and what they report about what they stopped."""

from collections import Counter
from dataclasses import replace

import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.times import iso
from tests import strategies as world

HELP = """
actions:
  - id: {name}
    issue: service
    group: {name}
    tier: service
    value: {value}
    purposes: [service]
    starts_at: {starts}
    ends_at: {ends}
    treatments: [{{id: web, channel: web, placements: [hero, sidebar], content_ref: a}}]
"""
BOTH = Ask(
    request_id="r",
    customer_id="c",
    channel="web",
    placements=(PlacementAsk(name="hero"), PlacementAsk(name="sidebar")),
)
LET_THROUGH = "emotion: [{id: lost, when: sentiment < -0.5, let_through: [first-aid, second-aid]}]"


def release(*more: str) -> Release:
    files = {f"x{n}.yaml": text for n, text in enumerate(more)}
    return Release.from_bytes(pack({**world.SMALL_FILES, **files}))


def helping(name: str, value: float = 1, starts_us: int = 0, ends_us: int = 0) -> str:
    starts, ends = iso(starts_us or world.NOW_US - 1), iso(ends_us or world.NOW_US + 1)
    return HELP.format(name=name, value=value, starts=starts, ends=ends)


def why(of: Known, treatment: str, ask: Ask = BOTH) -> tuple[str, str, dict[str, object]]:
    withheld = screened_for(ask, of, world.SMALL, now_us=world.NOW_US).withheld
    return next((w.gate, w.why, dict(w.facts)) for w in withheld if w.treatment == treatment)


@pytest.mark.parametrize(("starts", "ends", "permitted"), [(0, 1, True), (-1, 1, True), (1, 2, False), (-1, 0, False)])
def test_an_action_is_on_from_its_start_until_just_before_its_end(starts: int, ends: int, permitted: bool) -> None:
    at = world.NOW_US
    dated = release(helping("first-aid", starts_us=at + starts, ends_us=at + ends))
    assert ("first-aid.web" in world.permitted(BOTH, world.permissive(), dated)) is permitted


@pytest.mark.parametrize(
    ("facts", "treatment", "gate", "reason"),
    [
        ({"age": None}, "welcome-tour.web", "eligibility:adults-only", "permit rule is unknown: age >= 18"),
        ({"age": 17}, "welcome-tour.web", "eligibility:adults-only", "permit rule is false: age >= 18"),
        ({"has_tv": True}, "tv-bundle.web-hero", "eligibility:has-no-tv", "deny rule is true: has_tv"),
        ({"has_tv": None}, "tv-bundle.web-hero", "eligibility:has-no-tv", "deny rule is unknown: has_tv"),
    ],
)
def test_a_rule_that_stopped_somebody_says_which_it_is_and_how_it_came_out(
    facts: dict[str, object], treatment: str, gate: str, reason: str
) -> None:
    of = world.permissive()
    assert why(replace(of, facts={**of.facts, **facts}), treatment) == (gate, reason, facts)


def test_each_gate_counts_those_whom_it_was_the_first_to_stop() -> None:
    screened = screened_for(BOTH, world.without_consents(world.permissive()), world.SMALL, now_us=world.NOW_US)
    assert screened.gates == dict(Counter(w.gate for w in screened.withheld))
    assert max(screened.gates.values()) > 1


def test_a_gate_that_reads_no_fact_shows_none() -> None:
    gate, reason, facts = why(world.without_consents(world.permissive()), "welcome-tour.web")
    assert (gate, reason, facts) == ("consent:marketing", "no record", {})


def test_help_that_is_let_through_takes_one_slot_each_and_the_better_one_the_first() -> None:
    aided = release(LET_THROUGH, helping("first-aid", 1), helping("second-aid", 9))
    of = world.permissive()
    desperate = replace(of, facts={**of.facts, "sentiment": -0.9})
    placed = world.run(BOTH, desperate, aided).answer["placements"]
    assert {p["name"]: [o["action"] for o in p["offers"]] for p in placed} == {
        "hero": ["second-aid"],
        "sidebar": ["first-aid"],
    }
    calm = world.run(BOTH, of, aided).answer["placements"]
    assert not {o["action"] for p in calm for o in p["offers"]} & {"first-aid", "second-aid"}
