"""People and transparency: one test for each promise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.forms import Ask, Known, Scores
from decisioning.facts.schema import Facts
from decisioning.review.replaying import replay
from features.approvals.door import Door
from features.ledger import Ledger
from features.matrix import FeatureMatrix
from tests import strategies as world
from tests.permits import TESTER
from tests.promises.larger_world import (
    EXAMPLES,
    RELEASE,
    ask_on,
    asks,
    check_errors,
    customers,
    offers_in,
    permitted,
    willing,
    with_more,
)
from tests.training.logs import random_log
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.learning.context import LearningContext
from training.learning.promotion import Justification, promote
from training.registry import Registry
from training.tracking import Provenance

BLOCK = """
actions:
  - id: block-line
    issue: service
    group: ending
    tier: service
    significant: true
    value: 5
    purposes: [service]
    automation: {automation}
    {routes}
    treatments: [{{id: {channel}, channel: {channel}, placements: [{placement}], content_ref: a}}]
"""
ROUTES = {"basis": "basis: talks", "review": 'review: "call 0800-1"', "contest": 'contest: "write to us"'}


def blocking(*stated: str, automation: str = "automatic", channel: str = "bot", placement: str = "line") -> str:
    routes = "\n    ".join(ROUTES[s] for s in stated)
    return BLOCK.format(automation=automation, routes=routes, channel=channel, placement=placement)


@pytest.mark.promise("transparency.significant-effects")
@pytest.mark.parametrize("stated", [(), ("basis",), ("basis", "review"), ("review", "contest"), tuple(ROUTES)])
def test_what_is_significant_is_done_by_a_person_unless_basis_and_routes_are_stated(stated: tuple[str, ...]) -> None:
    whole = len(stated) == len(ROUTES)
    assert ("it is significant" in check_errors(blocking(*stated))) is not whole
    release = with_more(blocking(*stated), checked=False)
    assert ("block-line.bot" in permitted(ask_on("bot"), willing(), release)) is whole
    offers = [o for o in offers_in(world.run(ask_on("bot"), willing(), release).answer) if o["action"] == "block-line"]
    assert [(o["review"], o["contest"], o["automation"]) for o in offers] == (
        [("call 0800-1", "write to us", "automatic")] if whole else []
    )
    by_hand = with_more(blocking(automation="human_only", channel="agent", placement="suggestion"))
    assert by_hand.actions["block-line"].effective_automation == "human_only"


@pytest.mark.promise("transparency.machine-says-so")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.booleans(), st.sampled_from(["nl", "en", "fr", None]))
def test_a_conversation_with_a_machine_says_that_it_is_one(
    ask: Ask, customer: Known, machine: bool, locale: Any
) -> None:
    answer = world.run(ask.model_copy(update={"machine": machine, "locale": locale}), customer, RELEASE).answer
    assert ("disclosure" in answer) is (machine or ask.channel == "bot")
    if "disclosure" in answer:
        assert ("computer" in answer["disclosure"]) is True
        assert answer["disclosure"].startswith("Je praat" if locale != "en" else "You are")


def test_the_words_of_the_disclosure_are_data() -> None:
    own = with_more(ai_disclosure='{nl: "Ik ben een robot"}')
    assert world.run(ask_on("bot", locale="nl"), willing(), own).answer["disclosure"] == "Ik ben een robot"
    assert world.run(ask_on("bot", locale="en"), willing(), own).answer["disclosure"].startswith("You are talking")


FLOORS = "{grow: 4, retain: 2, nurture: 1, service: 3, hardship: 5}"


class Clear(world.CountingScorer):
    """A scorer that states its transparency by candidate, shifted by `level`; None: it states none."""

    def __init__(self, level: int | None) -> None:
        super().__init__()
        self.level = level

    def __call__(self, facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        scores = super().__call__(facts, candidates)
        levels = None if self.level is None else (candidates + self.level) % 5 + 1
        return Scores(
            scores.propensity, scores.evidence, scores.factors, levels, np.minimum(scores.propensity * 2, 1.0)
        )


@pytest.mark.promise("models.transparency-floor")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), st.sampled_from([None, 0, 1, 2, 3, 4]))
def test_a_model_below_the_floor_of_an_issue_is_not_used_for_it(ask: Ask, level: int | None) -> None:
    release, customer = with_more(transparency=FLOORS), willing()
    decision = world.run(ask, customer, release, score=Clear(level))
    scores, refused_any = decision.record["scores"], False
    columns = [scores.get(k, []) for k in ("candidates", "propensity", "evidence", "upper")]
    for candidate, propensity, evidence, upper in zip(*columns, strict=True):
        action = release.candidates[candidate][0]
        clear = 1 if level is None else (candidate + level) % 5 + 1
        below = clear < release.catalogue.settings.transparency[action.issue]
        prior, given = release.catalogue.prior(action), world.propensity_of(candidate, customer.facts)
        assert (propensity, evidence) == (prior if below else np.float32(given), 0.0 if below else 500.0)
        hoped_for = np.float32(min(given * 2, 1.0))
        assert upper == (prior if below else hoped_for), "what is not used is not hoped for either"
        refused_any |= below
    assert decision.answer["degraded"] == (["transparency"] if refused_any else [])
    recorded = world.read_back(decision)
    then = Known(recorded["facts"], customer.person, customer.account, tuple(recorded["degraded"]))
    assert replay(recorded, then, release).to_bytes() == decision.to_bytes()


@pytest.mark.promise("models.transparency-floor")
def test_a_model_below_the_floor_of_an_issue_is_refused_at_promotion(tmp_path: Path) -> None:
    names = FeatureMatrix(RELEASE.schema).names
    log = random_log(3_000, rate=0.0)
    log = replace(log, actions=("match-pass", "phone-plan", "fix-router", "payment-plan"), feature_names=names[:6])
    registry = Registry(tmp_path)
    for version, growth in enumerate((Growth(folds=2, max_trees=40, patience=40), None), 1):
        model = fit(log, Recipe(growth=growth, rounds=1))
        model.save(tmp_path / f"saved-{version}")
        about = Provenance("sha256:d", model.feature_names, "sha256:r")
        assert registry.log_and_register(tmp_path / f"saved-{version}", "propensity", about) == version
    assert (registry.load("propensity", 1).transparency == 3).any(), "trees found what is not linear"
    floor = with_more(transparency="{grow: 4, service: 4, hardship: 4}")

    def promoted_under(release: Release, version: int) -> int:
        with Ledger.open(tmp_path / "ledger.db", b"x" * 32) as ledger:
            context = LearningContext(
                tmp_path, ledger, release, None, registry, b"x" * 32, door=Door(ledger, "dev", TESTER)
            )  # type: ignore[arg-type]
            reason = Justification("a.jansen", "nobody was decided for yet")
            return int(promote(context, world.NOW_US, version=version, justification=reason)["version"])

    with pytest.raises(Refused, match=r"propensity@1 is of transparency 3 for [a-z-]+, and issue \w+ asks for 4 of 5"):
        promoted_under(floor, 1)
    assert registry.alias_version("propensity", "champion") is None
    assert promoted_under(floor, 2) == 2
    assert promoted_under(RELEASE, 1) == 1
