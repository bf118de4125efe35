"""Emotion never sells, and neither do requests, such as a wish for a person.

Changing features of either kind changes nothing that is computed before the emotion layer; the layer itself only
removes sales, adds help, chooses a tone and calls a person.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding import ethics
from decisioning.deciding.arbitration import NOTHING, Field, Limits, Pick, Slot
from decisioning.deciding.ethics import Mood
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.schema import Facts
from features.matrix import FeatureMatrix
from tests import strategies as world
from tests.examples import examples

EMOTION_CATALOGUE = """
features:
  - {name: shouting, dtype: bool, tags: [emotion]}
  - {name: mood, dtype: enum, values: [calm, tired, furious], tags: [emotion]}
  - {name: wants_person, dtype: bool, tags: [request]}
actions:
  - id: call-back
    issue: service
    group: people
    tier: service
    value: 1
    purposes: [service]
    treatments:
      - {id: web, channel: web, placements: [hero, sidebar], content: {nl: {title: "Bel mij"}, en: {title: "Call me"}}}
      - {id: agent, channel: agent, placements: [suggestion], content: {nl: {title: "Bel terug"}, en: {title: "Call"}}}
emotion:
  - {id: furious, when: 'mood == "furious" || shouting', silence_sales: true, let_through: [call-back]}
  - {id: tired, when: 'mood == "tired"', let_through: call-back}
  - {id: asks, when: wants_person, silence_sales: true, let_through: call-back, handover: "asks for a person"}
"""
RELEASE = Release.from_bytes(pack({**world.SMALL_FILES, "emotion.yaml": EMOTION_CATALOGUE}))
EMOTIONS = tuple(f.name for f in RELEASE.schema.features.values() if {"emotion", "request"} & set(f.tags))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "sentiment": st.floats(-1, 1),
    "shouting": st.booleans(),
    "wants_person": st.booleans(),
    "mood": st.sampled_from(["calm", "tired", "furious"]),
}
MATRIX = FeatureMatrix(RELEASE.schema)
any_mood = st.fixed_dictionaries({}, optional=VALUES)


@pytest.fixture(scope="module")
def before() -> Iterator[list[bytes]]:
    """What each decide() of this module computed before the emotion layer, as bytes."""
    snapshots: list[bytes] = []
    layer = ethics.apply

    def spy(mood: Mood, picks: list[Pick], slots: list[Slot], view: View, field: Field, limits: Limits) -> list[Pick]:
        order = [(p.slot.placement, p.slot.rank, p.candidate, p.probability) for p in picks]
        arrays = (field.permitted, field.tier, field.priority, limits.bucket, limits.remaining)
        snapshots.append(b"".join([repr(order).encode(), *(a.tobytes() for a in arrays)]))
        return layer(mood, picks, slots, view, field, limits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ethics, "apply", spy)
        yield snapshots


def by_all_model_inputs(candidate: int, facts: Facts) -> float:
    return (zlib.crc32(MATRIX.row(facts).tobytes(), candidate) % 97 + 1) / 200


def computed(ask: Ask, customer: Known, before: list[bytes]) -> bytes:
    """Return as bytes: permitted, tier, priority, limits, order and probability, then scores and permissions.

    The scorer depends on everything that a model may read.
    """
    record = world.run(ask, customer, RELEASE, score=world.CountingScorer(of=by_all_model_inputs)).record
    scores = {name: record["scores"][name] for name in ("candidates", "propensity", "evidence")}
    rest = (scores, record["permissions"], record["answer"]["withheld"], record["model"])
    return before[-1] + repr(rest).encode()


def assert_unmoved(ask: Ask, customer: Known, moods: list[dict[str, Any]], before: list[bytes]) -> None:
    """Assert that all moods give the same bytes of what was computed before the emotion layer."""
    rest = {k: v for k, v in customer.facts.items() if k not in EMOTIONS}
    assert len({computed(ask, replace(customer, facts={**rest, **mood}), before) for mood in moods}) == 1


@pytest.mark.promise("emotion.flipping", "emotion.never-sells")
@pytest.mark.parametrize("vectors", [examples(2_000), pytest.param(100_000, marks=pytest.mark.long)])
def test_flipping_every_emotion_leaves_what_was_computed_byte_identical(vectors: int, before: list[bytes]) -> None:
    moods_each = 5

    @settings(max_examples=vectors // moods_each, deadline=None)
    @given(world.asks(), world.known(), st.lists(any_mood, min_size=moods_each, max_size=moods_each))
    def check(ask: Ask, customer: Known, moods: list[dict[str, Any]]) -> None:
        assert_unmoved(ask, customer, moods, before)

    check()


@settings(max_examples=examples(300), deadline=None)
@given(world.asks(), world.known(), any_mood)
def test_the_layer_adds_nothing_but_help_that_passed(ask: Ask, customer: Known, mood: dict[str, Any]) -> None:
    rest = {k: v for k, v in customer.facts.items() if k not in EMOTIONS}
    calm, moved = (world.run(ask, replace(customer, facts={**rest, **m}), RELEASE).answer for m in ({}, mood))
    usual = {o["treatment"]: o for p in calm["placements"] for o in p["offers"]}
    offered = {o["treatment"]: o for p in moved["placements"] for o in p["offers"]}
    assert not any(o["action"] == "call-back" for o in usual.values())
    for name, offer in offered.items():
        if name in usual:
            same = ("priority", "propensity", "value_eur", "price_eur", "probability")
            assert [offer[k] for k in same] == [usual[name][k] for k in same]
        else:
            assert offer["action"] == "call-back"
            assert name in world.permitted(ask, replace(customer, facts=rest), RELEASE)
    assert len({o["action"] for o in offered.values()}) == len(offered)
    for placed, requested in zip(moved["placements"], ask.placements, strict=True):
        assert len(placed["offers"]) <= requested.limit
        assert [o["rank"] for o in placed["offers"]] == sorted({o["rank"] for o in placed["offers"]})


def titles(
    mood: dict[str, Any], placements: tuple[PlacementAsk, ...], customer: Known | None = None
) -> list[list[str]]:
    customer = customer or world.permissive()
    ask = Ask(request_id="r", customer_id="c", account_id="a", channel="web", placements=placements)
    answer = world.run(ask, replace(customer, facts={**customer.facts, **mood}), RELEASE, gamma=float("inf")).answer
    return [[o["action"] for o in p["offers"]] for p in answer["placements"]]


WIDE = (PlacementAsk(name="hero", limit=3), PlacementAsk(name="sidebar", limit=2))


def test_help_comes_first_and_sales_go() -> None:
    usual = titles({}, WIDE)
    assert "tv-bundle" in usual[0]
    assert titles({"mood": "tired"}, WIDE)[0] == ["call-back", *usual[0][:2]]
    angry = titles({"mood": "furious"}, WIDE)
    assert angry[0][0] == "call-back"
    sells = {a.id for a in RELEASE.actions.values() if a.commercial}
    assert not sells.intersection(*map(set, angry))
    assert set(angry[0]) - {"call-back"} == set(usual[0]) - sells


def test_help_that_did_not_pass_is_not_let_through() -> None:
    customer = world.permissive()
    furious = replace(customer, facts={**customer.facts, "mood": "furious"})
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=WIDE)
    for more in ({}, {"paused": frozenset({"call-back"})}):
        offered = [
            o["action"] for p in world.run(ask, furious, RELEASE, **more).answer["placements"] for o in p["offers"]
        ]
        assert ("call-back" in offered) == (not more)


def test_limits_hold_for_help_too() -> None:
    """Two of the actions that are let through share a group, of which a slate may have one."""
    twice = EMOTION_CATALOGUE.replace("group: people", "group: help")
    release = Release.from_bytes(pack({**world.SMALL_FILES, "emotion.yaml": twice}))
    customer = world.permissive()
    ask = Ask(request_id="r", customer_id="c", account_id="a", channel="web", placements=WIDE)
    offered = world.run(ask, replace(customer, facts={**customer.facts, "mood": "tired"}), release).answer["placements"]
    groups = [release.actions[o["action"]].group for p in offered for o in p["offers"]]
    assert max(groups.count(g) for g in groups) <= release.catalogue.settings.max_per_group
    assert "call-back" in [o["action"] for o in offered[0]["offers"]]


def test_nothing_is_felt_without_facts() -> None:
    mood = ethics.mood(RELEASE, {}, lambda *_: 0, {})
    assert mood == Mood()
    slot = Slot(0, 1, np.ones(1, dtype=np.bool_))
    empty = Limits(np.zeros((0, 1), dtype=np.int64), np.ones(1, dtype=np.int64))
    field = Field(np.ones(1, dtype=np.bool_), np.zeros(1, dtype=np.int8), np.ones(1))
    picks = [Pick(slot, NOTHING, 1.0)]
    assert ethics.apply(mood, picks, [slot], RELEASE.view("web"), field, empty) == picks
