"""Ranking by uplift: commercial actions are ranked by what showing them adds, and none is sold that showing harms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.errors import SealBroken
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores, canonical
from decisioning.facts.schema import Facts
from decisioning.review.replaying import recomputed, replay
from tests import strategies as world
from tests.decisioning.test_arms import PEOPLE, declared
from tests.examples import examples

BY_UPLIFT = {**world.SMALL_FILES, "ranking.yaml": "settings: {ranking: uplift}\n"}
RELEASE = Release.from_bytes(pack(BY_UPLIFT))
GREEDY = Release.from_bytes(pack({n: t.replace("gamma: 200", "gamma: .inf") for n, t in BY_UPLIFT.items()}))
HELP = frozenset(a.id for a in RELEASE.actions.values() if a.tier != "commercial")
WEB = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))
UPLIFTS = st.lists(
    st.one_of(st.floats(-0.5, 0.5), st.just(float("nan"))),
    min_size=len(RELEASE.candidates),
    max_size=len(RELEASE.candidates),
)
PEOPLE_OF_ALL_KINDS = st.one_of(st.just(world.permissive()), world.known())
"""Includes a customer who may be profiled, as few of the random ones may."""


class Scorer(world.CountingScorer):
    """The usual propensities, with a given uplift per candidate."""

    def __init__(self, uplift: list[float]) -> None:
        super().__init__()
        self._uplift = np.array(uplift)

    def __call__(self, facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        return replace(super().__call__(facts, candidates), uplift=self._uplift[candidates])


def offers(decision: Decision) -> list[dict[str, object]]:
    return [o for p in decision.answer["placements"] for o in p["offers"]]


@pytest.mark.promise("uplift.recorded")
@settings(max_examples=examples(30), deadline=None)
@given(world.asks(), PEOPLE_OF_ALL_KINDS, UPLIFTS)
def test_a_decision_by_uplift_replays_byte_for_byte_and_records_both(ask: Ask, of: Known, uplift: list[float]) -> None:
    decision = world.run(ask, of, RELEASE, score=Scorer(uplift))
    record = world.read_back(decision)
    then = Known(record["facts"], of.person, of.account, tuple(record["degraded"]))
    assert canonical(record) == canonical(decision.record)
    assert replay(record, then, RELEASE).to_bytes() == decision.to_bytes()
    uplifts = record["scores"].get("uplift", [])
    for candidate, recorded, ranked in zip(
        record["scores"]["candidates"], uplifts, recomputed(record, then, RELEASE).scores.ranking, strict=False
    ):
        sells = RELEASE.candidates[candidate][0].tier == "commercial"
        known = sells and not np.isnan(uplift[candidate])
        assert recorded == (np.float32(uplift[candidate]) if known else None)
        assert ranked == (recorded if known else np.float32(world.propensity_of(candidate, record["facts"])))


@pytest.mark.promise("uplift.nothing-put-off")
@settings(max_examples=examples(30), deadline=None)
@given(world.asks(), PEOPLE_OF_ALL_KINDS, UPLIFTS)
def test_nothing_is_sold_that_showing_makes_less_likely(ask: Ask, of: Known, uplift: list[float]) -> None:
    for offer in offers(world.run(ask, of, RELEASE, score=Scorer(uplift))):
        if offer["tier"] == "commercial" and "uplift" in offer:
            assert offer["uplift"] > 0.0  # type: ignore[operator]
            assert "uplift" in {r["code"] for r in offer["reasons"]}  # type: ignore[attr-defined]


@pytest.mark.promise("uplift.only-when-asked")
@settings(max_examples=examples(30), deadline=None)
@given(world.asks(), PEOPLE_OF_ALL_KINDS, UPLIFTS)
def test_without_the_setting_or_for_who_is_not_profiled_uplift_changes_no_bit(
    ask: Ask, of: Known, uplift: list[float]
) -> None:
    assert world.run(ask, of).to_bytes() == world.run(ask, of, score=Scorer(uplift)).to_bytes()
    unknown = replace(
        of, person=replace(of.person, consents=tuple(c for c in of.person.consents if c.purpose != "profiling"))
    )
    prior = world.run(ask, unknown, RELEASE, score=Scorer(uplift)).record
    if prior["answer"]["model"] == "prior@0":
        assert "uplift" not in prior["scores"]


def test_the_largest_gain_wins_not_the_likeliest_and_without_any_nothing_is_sold() -> None:
    sells = [n for n, (a, t) in enumerate(GREEDY.candidates) if a.tier == "commercial" and "hero" in t.placements]
    plain = offers(world.run(WEB, world.permissive(), GREEDY, paused=HELP))[0]["treatment"]
    names = [f"{a.id}.{t.id}" for a, t in GREEDY.candidates]
    other = next(n for n in sells if names[n] != plain and n in _permitted())
    uplifts = [0.4 if n == other else 1e-9 for n in range(len(names))]
    decision = world.run(WEB, world.permissive(), GREEDY, score=Scorer(uplifts), paused=HELP)
    assert offers(decision)[0]["treatment"] == names[other]
    nothing = world.run(WEB, world.permissive(), GREEDY, score=Scorer([-0.01] * len(names)), paused=HELP)
    assert offers(nothing) == []
    assert nothing.answer["placements"][0]["empty_reason"] == "nothing_is_better"


def _permitted() -> set[int]:
    return set(world.run(WEB, world.permissive(), GREEDY, paused=HELP).record["scores"]["candidates"])


def test_an_uplift_that_cannot_be_is_refused() -> None:
    with pytest.raises(SealBroken, match="uplift outside"):
        world.run(WEB, world.permissive(), RELEASE, score=Scorer([1.5] * len(RELEASE.candidates)))


def test_the_arm_that_ranks_by_propensity_alone_stays_plain() -> None:
    with_arms = Release.from_bytes(pack({**BY_UPLIFT, "arms.yaml": declared()}))
    for arm, ranks in (("propensity-only", False), ("nba", True)):
        decision = world.run(WEB, PEOPLE[arm], with_arms, score=Scorer([0.1] * len(with_arms.candidates)), paused=HELP)
        assert ("uplift" in decision.record["scores"]) is ranks
        assert replay(world.read_back(decision), PEOPLE[arm], with_arms).to_bytes() == decision.to_bytes()
