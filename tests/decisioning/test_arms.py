"""Control groups: a salted hash assigns them, and each arm changes only what it states, and only for sales."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA, arm_of
from decisioning.deciding.screening import screened_for
from decisioning.errors import ConfigError
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Holder, Standing
from decisioning.hashes import hashed_uniform
from decisioning.review.replaying import replay
from tests import strategies as world
from tests.examples import examples

SHARES = {"holdout": 0.2, "no-levers": 0.15, "propensity-only": 0.1, "random": 0.25}
BEGAN = "2026-01-01"


def declared(unit: str = "person") -> str:
    rows = [f"  - {{id: {arm}, share: {share}, unit: {unit}, from: {BEGAN}}}" for arm, share in SHARES.items()]
    return "\n".join(["arms:", *rows])


RELEASE = Release.from_bytes(pack({**world.SMALL_FILES, "arms.yaml": declared()}))
LEVERED = Release.from_bytes(
    pack(
        {
            **{n: t.replace("issue: grow", "lever: 3.0\n    issue: grow") for n, t in world.SMALL_FILES.items()},
            "arms.yaml": declared(),
        }
    )
)
HELP = frozenset(a.id for a in world.SMALL.actions.values() if a.tier != "commercial")
"""Help comes first, so tests about sales pause these actions."""
WEB = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))


def somebody(arm: str, of: Known | None = None) -> Known:
    """Return a customer of this arm, about whom everything is known and allowed."""
    of = of or replace(world.permissive(), account=None)
    for n in range(10_000):
        known = replace(of, person=replace(of.person, stream=f"{n:040x}"))
        if arm_of(RELEASE.catalogue.arms, "", known, world.NOW_US) == arm:
            return known
    raise AssertionError(arm)


ARMS = (NBA, *SHARES)
PEOPLE = {arm: somebody(arm) for arm in ARMS}


@pytest.mark.promise("arms.drawn-by-hash")
def test_shares_are_what_was_declared_and_nobody_is_in_two() -> None:
    n = 20_000
    places = np.array([hashed_uniform("salt", f"{i:040x}") for i in range(n)])
    arms = [[a.id for a in RELEASE.catalogue.arms if a.holds(p, world.NOW_US)] for p in places.tolist()]
    assert max(map(len, arms)) == 1
    for arm, share in SHARES.items():
        assert sum([arm] == drawn for drawn in arms) / n == pytest.approx(share, abs=4 * (share / n) ** 0.5)


@pytest.mark.promise("arms.drawn-by-hash")
def test_another_salt_draws_anew_and_a_larger_share_only_adds() -> None:
    names = [f"{i:040x}" for i in range(2_000)]
    holdout = RELEASE.catalogue.arms[0]
    larger = holdout.model_copy(update={"share": 0.25})
    inside, outside = ({n for n in names if a.holds(hashed_uniform("", n), world.NOW_US)} for a in (holdout, larger))
    assert inside < outside
    again = {n for n in names if holdout.holds(hashed_uniform("2027", n), world.NOW_US)}
    assert len(inside & again) / len(again) == pytest.approx(0.2, abs=0.08)


def test_outside_its_dates_an_arm_is_nobodys() -> None:
    arms = load({"a.yaml": "arms: [{id: holdout, share: 0.25, from: 2026-01-01, until: 2026-02-01}]"}).arms
    begin, end = (arms[0].from_.timestamp() * 1e6, arms[0].until.timestamp() * 1e6)  # type: ignore[union-attr]
    in_force = {t: arms[0].holds(0.1, int(t)) for t in (begin - 1, begin, end - 1, end)}
    assert list(in_force.values()) == [False, True, True, False]


def test_an_account_is_one_unit_and_a_linked_visitor_is_in_the_arm_of_the_person() -> None:
    household = Release.from_bytes(pack({**world.SMALL_FILES, "arms.yaml": declared("account")}))
    one, two = Known({}, Standing("1" * 40), Standing("a" * 40)), Known({}, Standing("2" * 40), Standing("a" * 40))
    arms = household.catalogue.arms
    assert all(arm_of(arms, str(s), one, world.NOW_US) == arm_of(arms, str(s), two, world.NOW_US) for s in range(50))
    person = PEOPLE["holdout"].person.stream
    visitor = Known({}, Standing("f" * 40, holder=Holder(person, 1, linked=True)))
    assert arm_of(RELEASE.catalogue.arms, "", visitor, world.NOW_US) == "holdout"


@pytest.mark.promise("arms.drawn-by-hash")
@pytest.mark.parametrize("arm", ARMS)
def test_the_arm_is_in_the_answer_and_the_record_replays(arm: str) -> None:
    decision = world.run(WEB, PEOPLE[arm], RELEASE)
    assert decision.answer["arm"] == arm
    record = world.read_back(decision)
    assert replay(record, PEOPLE[arm], RELEASE).to_bytes() == decision.to_bytes()


@pytest.mark.promise("arms.never-add")
@settings(max_examples=examples(40), deadline=None)
@given(world.asks(), world.known(), st.sampled_from(ARMS))
def test_an_arm_never_adds_a_candidate_and_changes_nothing_for_help(ask: Ask, of: Known, arm: str) -> None:
    person = replace(of.person, stream=PEOPLE[arm].person.stream)
    known, plain = replace(of, person=person), replace(of, person=replace(of.person, stream=PEOPLE[NBA].person.stream))
    mine, without = (screened_for(ask, k, RELEASE, now_us=world.NOW_US) for k in (known, plain))
    sells = np.array([a.tier == "commercial" for a in mine.view.actions])
    assert not (mine.permitted & ~without.permitted).any()
    assert np.array_equal(mine.permitted[~sells], without.permitted[~sells])
    assert (arm == "holdout") or np.array_equal(mine.permitted, without.permitted)


@pytest.mark.promise("arms.holdout")
def test_a_holdout_is_sold_nothing_nor_scored_for_it() -> None:
    score = world.CountingScorer()
    decision = world.run(WEB, PEOPLE["holdout"], RELEASE, score=score)
    scored_tiers = {RELEASE.candidates[c][0].tier for c in score.scored}
    assert "commercial" not in scored_tiers
    assert all(o["tier"] != "commercial" for p in decision.answer["placements"] for o in p["offers"])
    gates = {w.gate for w in screened_for(WEB, PEOPLE["holdout"], RELEASE, now_us=world.NOW_US).withheld}
    assert "arm:holdout" in gates


@pytest.mark.promise("arms.random")
def test_in_the_random_arm_every_choice_is_as_likely_as_the_others() -> None:
    probabilities: dict[str | None, list[float]] = {}
    for n in range(400):
        pick = world.run(WEB, PEOPLE["random"], RELEASE, seed=f"d-{n}", paused=HELP).record["picks"][0]
        probabilities.setdefault(pick["treatment"], []).append(pick["probability"])
    k = len(probabilities)
    assert k >= 3
    assert None in probabilities
    assert all(p == pytest.approx(1 / k, abs=1e-15) for each in probabilities.values() for p in each)
    assert all(len(p) == pytest.approx(400 / k, abs=5 * (400 / k) ** 0.5) for p in probabilities.values())


def test_without_levers_no_lever_weighs_and_propensity_alone_ranks_by_it() -> None:
    levered = world.run(WEB, PEOPLE[NBA], LEVERED, paused=HELP).answer["placements"][0]["offers"][0]
    without = world.run(WEB, PEOPLE["no-levers"], LEVERED, paused=HELP).answer["placements"][0]["offers"][0]
    assert "lever" in {r["code"] for r in levered["reasons"]}
    assert "lever" not in {r["code"] for r in without["reasons"]}
    greedy = Release.from_bytes(
        pack({n: t.replace("gamma: 200", "gamma: .inf") for n, t in world.SMALL_FILES.items()} | {"a.yaml": declared()})
    )
    record = world.run(WEB, PEOPLE["propensity-only"], greedy, paused=HELP).record
    offer = record["answer"]["placements"][0]["offers"][0]
    at = dict(zip(record["scores"]["candidates"], record["scores"]["propensity"], strict=True))
    hero = {c: p for c, p in at.items() if greedy.candidates[c][0].tier == "commercial"}
    places = {c for c in hero if "hero" in greedy.candidates[c][1].placements}
    assert offer["propensity"] == max(hero[c] for c in places)
    assert not {"lever", "context", "value.expected"} & {r["code"] for r in offer["reasons"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: [{id: holdout, share: 0.3, from: 2026-01-01}]", "at most 0.25"),
        ("arms: [{id: holdout, share: 0.1}]", "`from` is missing"),
        ("arms: [{id: placebo, share: 0.1, from: 2026-01-01}]", "placebo"),
        ("arms: [{id: holdout, share: 0.1, from: 2026-02-01, until: 2026-01-01}]", "`until` is not after `from`"),
        (
            "arms: [{id: holdout, share: 0.1, from: 2026-01-01}, "
            "{id: random, share: 0.1, unit: account, from: 2026-01-01}]",
            "all arms draw by the same",
        ),
    ],
)
def test_a_mistake_in_an_arm_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({"arms.yaml": text})
    assert message in str(error.value)
