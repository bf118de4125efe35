"""Exploration by optimistic priorities, by issue, and by a budget for immature candidates; only where configured."""

import math

import numpy as np
import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.arbitration import (
    Exploration,
    Field,
    Limits,
    Slot,
    fill,
    inverse_gap,
    uniforms,
)
from decisioning.deciding.record import Decision
from decisioning.errors import ConfigError
from decisioning.facts.forms import Ask, PlacementAsk, Scores
from decisioning.review.replaying import replay
from decisioning.times import iso
from tests import strategies as world

PRIORITY, OPTIMISTIC = np.asarray([5.0, 4.0, 1.0]), np.asarray([5.5, 4.2, 6.0])
FREE = Limits(np.empty((0, 3), dtype=np.int64), np.ones(1, dtype=np.int64))
SLOT = [Slot(0, 1, np.ones(3, dtype=np.bool_))]
WEB = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))
HELP = frozenset(a.id for a in world.SMALL.actions.values() if a.tier != "commercial")


def probabilities(field: Field, explore: Exploration, n: int = 200) -> dict[int, float]:
    return {p.candidate: p.probability for i in range(n) for p in fill(SLOT, field, FREE, explore, uniforms(str(i)))}


def flat(gamma: float) -> Exploration:
    return Exploration.flat(gamma, 3)


def field(priority: np.ndarray, optimistic: np.ndarray | None) -> Field:
    return Field(np.ones(3, dtype=np.bool_), np.full(3, COMMERCIAL_TIER, dtype=np.int8), priority, optimistic)


@pytest.mark.promise("exploration.optimism-is-exact")
def test_hope_decides_the_draw_and_its_probability_is_the_closed_form():
    expected = inverse_gap(np.append(OPTIMISTIC, 0.0), 4.0)
    drawn = probabilities(field(PRIORITY, OPTIMISTIC), flat(4.0))
    assert drawn == {c: pytest.approx(expected[c], abs=1e-15) for c in drawn}
    assert max(drawn, key=lambda c: drawn[c]) == 2


def test_a_channel_that_never_explores_goes_by_what_is_expected():
    assert probabilities(field(PRIORITY, OPTIMISTIC), flat(math.inf)) == {0: 1.0}


def test_an_issue_that_never_explores_goes_by_what_is_expected_beside_one_that_does():
    own = Exploration(np.asarray([4.0, 4.0, math.inf]), 4.0, np.zeros(3, dtype=np.bool_))
    expected = inverse_gap(np.asarray([5.5, 4.2, 1.0, 0.0]), np.asarray([4.0, 4.0, math.inf, 4.0]))
    drawn = probabilities(field(PRIORITY, OPTIMISTIC), own)
    assert drawn == {c: pytest.approx(expected[c], abs=1e-15) for c in (0, 1, -1)}


@pytest.mark.promise("exploration.optimism-never-loses")
def test_what_is_expected_to_lose_is_not_offered_however_high_the_hope():
    assert 2 not in probabilities(field(np.asarray([5.0, 4.0, -0.1]), OPTIMISTIC), flat(0.5))


def test_without_hope_nothing_changes():
    assert probabilities(field(PRIORITY, PRIORITY), flat(4.0)) == probabilities(field(PRIORITY, None), flat(4.0))


def test_the_budget_costs_what_the_usual_choice_is_expected_to_bring_more():
    immature = Exploration(np.full(3, math.inf), math.inf, np.asarray([False, True, True]), 0.1)
    pick = fill(SLOT, field(PRIORITY, None), FREE, immature, uniforms("s"))[0]
    assert (pick.extra, pick.given_up) == (0.1, pytest.approx(0.1 * (5.0 - (4.0 + 1.0) / 2)))
    assert probabilities(field(PRIORITY, None), immature) == {0: pytest.approx(0.9), 1: 0.05, 2: 0.05}


@pytest.mark.promise("exploration.launch")
def test_what_is_new_takes_the_place_of_what_brings_more_by_at_most_what_may_be_given_up():
    for give_up, first in ((0.1, 0), (0.19, 0), (0.21, 1), (0.5, 1)):
        new = Exploration(
            np.full(3, 1e15), 1e15, np.zeros(3, dtype=np.bool_), launch_boost=np.asarray([1, 1 / (1 - give_up), 1])
        )
        pick = fill(SLOT, field(PRIORITY, None), FREE, new, uniforms("s"))[0]
        assert pick.candidate == first
        assert pick.given_up == pytest.approx(5.0 - PRIORITY[first])


def small_files(channel: str) -> dict[str, str]:
    """Return the files of the small catalogue with these lines added to the channel `web`."""
    files = {n: t.replace("    optimism: 0.8\n", f"    optimism: 0.8\n{channel}") for n, t in world.SMALL_FILES.items()}
    assert files != world.SMALL_FILES
    return files


def small(channel: str) -> Release:
    return Release.from_bytes(pack(small_files(channel)))


def decided(release: Release, evidence: float, seed: str = "d-1", **more: object) -> Decision:
    def score(_: object, candidates: np.ndarray) -> Scores:
        k = len(candidates)
        return Scores(np.linspace(0.1, 0.3, k), np.full(k, evidence), ((),) * k, upper=np.linspace(0.2, 0.4, k))

    return world.run(WEB, world.permissive(), release, seed, score=score, paused=HELP, **more)


IMMATURE = "    immature: {budget: 0.1, mature_at: 500}\n"


@pytest.mark.promise("exploration.cost-is-recorded")
def test_the_share_and_its_cost_are_recorded_and_replay():
    decision = decided(small(IMMATURE), 499.0)
    pick = decision.record["picks"][0]
    assert pick["immature"]["share"] == 0.1
    assert math.isfinite(pick["immature"]["given_up_eur"])
    record = world.read_back(decision)
    assert replay(record, world.permissive(), small(IMMATURE)).to_bytes() == decision.to_bytes()


@pytest.mark.promise("exploration.launch")
def test_an_action_counts_for_more_from_its_start_for_so_many_days_and_that_replays():
    sports = "    value: {points: 4000}\n"
    assert sports in world.SMALL_FILES["actions.yaml"]

    def decided_within(days: float) -> tuple[Release, list[Decision]]:
        files = small_files(f"    launch: {{days: {days}, give_up: 0.5}}\n")
        dated = f"{sports}    starts_at: {iso(world.NOW_US - 2 * world.DAY_US)}\n"
        release = Release.from_bytes(pack({**files, "actions.yaml": files["actions.yaml"].replace(sports, dated)}))
        likely = np.asarray([0.3 if a.id == "sports-channel" else 0.05 for a, _ in release.candidates])

        def score(_: object, candidates: np.ndarray) -> Scores:
            return Scores(likely[candidates], np.full(len(candidates), 50.0), ((),) * len(candidates))

        ids = (f"d-{n}" for n in range(100))
        return release, [world.run(WEB, world.permissive(), release, d, score=score, paused=HELP) for d in ids]

    (release, new), (_, old) = decided_within(3), decided_within(1)
    times_shown = [
        sum(p["treatment"] == "sports-channel.web" for d in ds for p in d.record["picks"]) for ds in (new, old)
    ]
    assert times_shown[0] > 50 > times_shown[1]
    assert all("immature" in p for d in new for p in d.record["picks"])
    assert not any("immature" in p for d in old for p in d.record["picks"])
    assert replay(world.read_back(new[0]), world.permissive(), release).to_bytes() == new[0].to_bytes()


@pytest.mark.promise("exploration.budget")
def test_nothing_is_spent_on_what_is_known_nor_in_a_preview_without_exploration():
    assert "immature" not in decided(small(IMMATURE), 500.0).record["picks"][0]
    assert "immature" not in decided(small(IMMATURE), 0.0, gamma=math.inf).record["picks"][0]
    without = {**decided(small(IMMATURE), 500.0).record, "release": "", "answer": ""}
    assert without == {**decided(world.SMALL, 500.0).record, "release": "", "answer": ""}


def test_an_issue_with_the_channels_own_schedule_changes_no_bit():
    same = small("    issues: {grow: {gamma: 9, optimism: 0.8}, retain: {gamma_grows: true}}\n")
    for n in range(20):
        declared, inherited = (decided(r, 50.0, f"d-{n}").record for r in (same, world.SMALL))
        assert declared["picks"] == inherited["picks"]


def test_an_issue_that_never_explores_is_shown_only_where_it_is_best():
    never = small("    issues: {grow: {gamma: .inf}, retain: {gamma: .inf}, nurture: {gamma: .inf}}\n")
    picks = [decided(never, 1.0, f"d-{n}").record["picks"][0] for n in range(40)]
    treatments = {p["treatment"] for p in picks}
    assert len(treatments - {None}) == 1
    assert None in treatments, "doing nothing goes by the channel's gamma"


@pytest.mark.promise("exploration.budget")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("immature: {budget: 0.3}", "`budget` must be at most 0.2"),
        ("launch: {give_up: 0.6}", "`give_up` must be at most 0.5"),
        ("immature: {mature_at: 100}", "`budget` is missing"),
        ("issues: {service: {gamma: 5}}", "`issues` cannot be `service`"),
        ("issues: {grow: {gamma: -1}}", "`gamma` must be at least 0"),
    ],
)
def test_a_mistake_in_what_a_channel_explores_is_told(more: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({"c.yaml": f"channels: [{{id: web, direction: inbound, placements: [hero], {more}}}]"})
    assert message in str(error.value)
