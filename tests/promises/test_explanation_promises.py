"""Reasons, contributions and counterfactuals: explanations name what decided."""

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.deciding.case import DecisionContext, history_of
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Computation
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scorer
from decisioning.review.counterfactual import Counterfactual, applied, counterfactual, first_offer
from decisioning.review.narrative import narrative
from decisioning.review.replaying import decide_as, recomputed
from features.matrix import FeatureMatrix
from serving.brain.scoring import contributions_of, model_scorer
from tests import strategies as world
from tests.examples import examples
from tests.promises.larger_world import RELEASE, asks, customers
from tests.training import telecom_help as telecom
from tests.training.logs import log_of
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.model import PropensityModel
from training.simulator.telecom import CHANNELS

EXAMPLES = examples(60)
DECISIONS, MANY = 150, 3_000
NEVER = {"age", "postcode4", "hardship", "vulnerable", "bereaved", "open_complaint", "arrears_eur", "churn_risk"}


@cache
def model() -> PropensityModel:
    """Return a model for the larger world: a base and trees on every feature that a model may read."""
    names = FeatureMatrix(RELEASE.schema).names
    x = np.random.default_rng(3).normal(size=(1_200, len(names))) * 30.0 + 30.0
    actions = tuple(RELEASE.actions.values())[-4:]
    about = {"actions": tuple(a.id for a in actions), "groups": tuple(a.group for a in actions)}
    frame = replace(log_of(x / 60.0, 0), x=x, feature_names=names, **about)  # type: ignore[arg-type]
    return fit(frame, Recipe(growth=Growth(max_trees=10), forget=False))


def decided(ask: Ask, customer: Known, score: Scorer, seed: str = "d-1") -> dict[str, Any]:
    return decide(
        ask, customer, RELEASE, score, DecisionContext(assigned_model="m@1", now_us=world.NOW_US, decision_id=seed)
    ).record


@pytest.mark.promise("explanations.reasons")
@given(asks(), customers(), st.uuids())
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_reason_is_cited_that_was_not_used(ask: Ask, customer: Known, seed: Any) -> None:
    """Without the factor that a code names, the score, the worth or the tier would be different."""
    record = decided(ask, customer, model_scorer(RELEASE, model()), str(seed))
    run = recomputed(record, customer, RELEASE)
    for placed in record["answer"]["placements"]:
        for offer in placed["offers"]:
            assert len(offer["reasons"]) <= 4
            for reason in offer["reasons"]:
                assert was_used(run, run.screened.view.ids.index(offer["treatment"]), reason["code"])


def was_used(run: Computation, i: int, code: str) -> bool:
    """Tell whether the numbers change when the factor that a code names, and nothing else, is set to neutral."""
    worth, row = run.screened.worth, run.screened.rows.tolist().index(i)
    kind, _, name = code.partition(".")
    propensity = float(run.scores.propensity[row])
    priority = worth.priority_of(i, propensity)
    if kind == "tier":
        return run.screened.view.actions[i].tier == name != "commercial"
    if kind == "lever":
        return priority != replace(worth, lever=np.ones_like(worth.lever)).priority_of(i, propensity)
    if kind == "context":
        neutral = replace(worth, weight=np.ones_like(worth.weight))
        return priority != neutral.priority_of(i, propensity) and context_applied(run, i)
    if kind == "value":
        return run.screened.view.actions[i].tier == "commercial"
    moved = worth.priority_of(i, propensity / 2) != priority
    if name == "prior":
        return moved and not run.screened.profiled
    candidate = int(run.screened.view.candidates[i])
    return moved and contributions_of(RELEASE, model(), run.facts)(candidate)["features"].get(name, 0.0) != 0.0


def context_applied(run: Computation, i: int) -> bool:
    history = history_of(RELEASE, run.case.known, run.case.now_us)
    weights = [w for w in run.screened.worth.applied if w.members[i] and w.factor != 1.0]
    return bool(weights) and all(w.rule.truth(run.facts, history) is True for w in weights)


@pytest.mark.promise("explanations.contributions")
@given(customers(), st.integers(0, len(RELEASE.candidates) - 1))
@settings(max_examples=EXAMPLES, deadline=None)
def test_contributions_add_up_to_the_score(customer: Known, candidate: int) -> None:
    contributions = contributions_of(RELEASE, model(), customer.facts)(candidate)
    total = contributions["base"] + contributions["treatment"] + sum(contributions["features"].values())
    assert total == pytest.approx(contributions["logit"], abs=1e-9)
    scored = model_scorer(RELEASE, model())(customer.facts, np.asarray([candidate]))
    assert contributions["propensity"] == pytest.approx(scored.propensity[0], abs=1e-9)
    assert 1 / (1 + np.exp(-contributions["calibrated"])) == pytest.approx(contributions["propensity"], abs=1e-12)


def demo_decision(n: int) -> tuple[dict[str, Any], Known, Scorer]:
    """Return the n-th decision over customers and channels of the demo world, scored with the true propensities."""
    channel = CHANNELS[n % len(CHANNELS)]
    row = n * 13 % len(telecom.world())
    placements = tuple(PlacementAsk(name=p) for p in telecom.release().channels[channel].placements)
    ask = telecom.everything(row, channel).model_copy(update={"placements": placements})
    score, customer = telecom.truth(row, channel), telecom.known(row)
    about = {"assigned_model": "truth@1", "now_us": telecom.world().as_of_us, "decision_id": f"d-{n}"}
    return decide(ask, customer, telecom.release(), score, DecisionContext(**about)).record, customer, score  # type: ignore[arg-type]


def counterfactual_of(n: int) -> Counterfactual | None:
    """Return the counterfactual of the n-th decision, if there is one, and check that it changes the first offer."""
    record, customer, score = demo_decision(n)
    result = counterfactual(record, customer, telecom.release(), score)
    if result is not None:
        changed = decide_as(
            record, applied(result.changes, record, customer, telecom.release()), telecom.release(), score
        )
        assert first_offer(changed) == result.becomes != result.was
        assert changed.record["decision_id"] == record["decision_id"]
        assert 1 <= len(result.changes) <= 2
        names = {c.name for c in result.changes if not c.consent}
        assert not names & NEVER
        assert all(telecom.release().schema[n].choices for n in names)
    return result


def figures(decisions: int) -> Counter[str]:
    """Return the number of counterfactuals in so many decisions of the demo world, by what they change."""
    kinds: Counter[str] = Counter()
    for n in range(decisions):
        result = counterfactual_of(n)
        changes = () if result is None else result.changes
        kinds[" and ".join(sorted("consent" if c.consent else "fact" for c in changes)) or "none found"] += 1
    return kinds


@pytest.mark.promise("explanations.counterfactuals")
def test_every_counterfactual_flips_and_few_decisions_have_none(record_property: Any) -> None:
    kinds = figures(DECISIONS)
    record_property("counterfactuals", dict(kinds))
    assert kinds["none found"] <= 0.2 * DECISIONS, kinds


@pytest.mark.promise("explanations.counterfactuals")
@pytest.mark.long
def test_three_thousand_counterfactuals_flip_and_few_decisions_have_none(record_property: Any) -> None:
    kinds = figures(MANY)
    record_property("counterfactuals", dict(kinds))
    assert kinds["none found"] <= 0.2 * MANY, kinds


@pytest.mark.promise("explanations.every-candidate")
def test_what_was_decided_is_told_in_dutch_and_english() -> None:
    record, customer, score = demo_decision(0)
    run = recomputed(record, customer, telecom.release())
    text = narrative(run, record["answer"], counterfactual(record, customer, telecom.release(), score))
    assert set(text) == {"nl", "en"}
    assert text["nl"].startswith("Besloten op 2026-11-23")
    assert text["en"].startswith("Decided on 2026-11-23")
    english = {f.description["en"] for f in telecom.world().catalogue.features if isinstance(f.description, dict)}
    assert not [words for words in english if len(words) > 8 and words in text["nl"]]
