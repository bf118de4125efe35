"""A slot that is left empty says why, in the middle of a placement too; records that do not tell stay as they are."""

from dataclasses import replace
from typing import Any

import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known, PlacementAsk, canonical
from decisioning.records.formats import unpack
from decisioning.review.drawn_odds import figures_in
from decisioning.review.replaying import replay
from tests import strategies as world

BEFORE = 5
"""The last format that did not tell."""
ALL_OF_HERO = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=9),))
HELP = """
emotion: [{id: lost, when: sentiment < -0.5, silence_sales: true, let_through: [first-aid]}]
actions:
  - id: first-aid
    issue: service
    group: aid
    tier: service
    purposes: [service]
    value: 5
    outcomes: {positive: [solved], window_days: 9}
    treatments: [{id: web, channel: web, placements: [hero], content_ref: a}]
"""


def decided(seed: int, of: Known | None = None, release: Release = world.SMALL, **more: Any) -> Decision:
    return world.run(ALL_OF_HERO, of or world.permissive(), release, seed=f"d-{seed}", **more)


def empty_picks(record: dict[str, Any]) -> list[tuple[int, str | None]]:
    """Return rank and reason of each pick that leaves its slot empty."""
    return [(p["rank"], p.get("empty_reason")) for p in record["picks"] if p["treatment"] is None]


def replays(decision: Decision, of: Known, release: Release) -> bool:
    record = unpack(decision.to_bytes(), release)
    then = replace(of, facts=record["facts"])
    return replay(record, then, release).to_bytes() == decision.to_bytes()


@pytest.mark.promise("decisions.empty-slots")
def test_a_slot_left_empty_in_the_middle_says_whether_by_chance_or_for_lack_of_room() -> None:
    reasons = set()
    for seed in range(40):
        decision = decided(seed, gamma=0.0)
        ((rank, why),) = empty_picks(decision.record)
        assert rank > 1 or decision.answer["placements"][0]["empty_reason"] == why
        assert (why == "explored_nothing") is (decision.record["picks"][-1]["probability"] < 1.0)
        reasons.add((why, rank > 1))
    assert {("explored_nothing", True), ("no_room", True)} <= reasons
    (rank, why) = empty_picks(decided(0).record)[0]
    assert (rank, why) == (5, "no_room"), "four actions fit, and each is shown once"
    figures = figures_in(decision.to_bytes(), world.SMALL)
    assert empty_picks(figures) == empty_picks(decision.record)


@pytest.mark.promise("decisions.empty-slots")
def test_a_sale_that_is_silenced_beside_help_is_no_choice_of_nothing() -> None:
    release = Release.from_bytes(pack({**world.SMALL_FILES, "x.yaml": HELP}))
    of = world.permissive()
    desperate = replace(of, facts={**of.facts, "sentiment": -0.9})
    decision = decided(0, desperate, release)
    assert decision.answer["placements"][0]["offers"][0]["action"] == "first-aid"
    assert {why for _, why in empty_picks(decision.record)} == {"silenced"}
    assert any(p["treatment"] is None and p["probability"] < 1.0 for p in decision.record["picks"])
    assert replays(decision, desperate, release)


@pytest.mark.promise("replay.packed-records")
def test_formats_that_did_not_tell_are_read_and_replayed_as_before() -> None:
    for seed in range(8):
        before, now = decided(seed, record_format=BEFORE), decided(seed)
        assert {why for _, why in empty_picks(before.record)} == {None}
        for decision in (before, now):
            assert replays(decision, world.permissive(), world.SMALL)
        record = unpack(before.to_bytes(), world.SMALL)
        assert canonical(record) == canonical(before.record)
        assert before.answer["placements"][0]["empty_reason"] in (None, "nothing_is_better", "explored_nothing")
