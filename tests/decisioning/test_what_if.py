"""A recorded decision decided again by another release: exact for what was drawn, with reasons for the rest."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.facts.forms import Ask, Known
from decisioning.review.what_if import WhatIf, what_if
from tests import strategies as world
from tests.examples import examples
from tests.training import changed
from tests.training.changed import BASE, CHANGES, GATED, SOAP, decided, person, release, scorer

OLD = release()


def redecided(record, known, new, old=OLD):
    result = what_if(record, known, old, new, lambda: scorer(new))
    assert isinstance(result, WhatIf), result
    return result


def weight(result: WhatIf) -> float:
    return math.prod(s.other / s.logged for s in result.steps)


@pytest.mark.promise("evaluation.same-release")
@settings(max_examples=examples(30), deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=6, max_size=6))
def test_the_same_release_picks_the_same_with_the_recorded_probability_to_the_bit(ask: Ask, of: Known, seed: str):
    record = world.read_back(world.run(ask, of, seed=seed))
    then = Known(record["facts"], of.person, of.account, tuple(record["degraded"]))
    result = what_if(record, then, world.SMALL, world.SMALL, world.CountingScorer)
    if isinstance(result, str):
        assert result == "emotion layer"
        return
    assert (
        [s.other for s in result.steps]
        == [s.logged for s in result.steps]
        == [p["probability"] for p in record["picks"]]
    )
    assert not any(s.unsupported for s in result.steps)
    assert weight(result) == 1.0
    assert result.drawn == result.logged


def earned(record) -> float:
    """Return what a slate earns; what the side earns depends on the hero."""
    treatments = [p["treatment"] for p in record["picks"]]
    worth = {"tea.hero": 1.0, "cake.hero": 3.0, "cake.side": 2.0, None: 0.25}
    return sum(worth[t] for t in treatments) * (1.5 if treatments[0] == "tea.hero" else 1.0)


N = 300


@pytest.fixture(scope="module")
def logged():
    return [decided(person(), OLD, f"then-{n}") for n in range(N)]


@pytest.mark.promise("evaluation.changed-release")
@pytest.mark.parametrize("change", CHANGES)
def test_weighing_the_log_gives_what_really_deciding_with_the_change_earns(logged, change):
    new = release(BASE, change)
    results = [redecided(record, person(), new) for record in logged]
    assert not any(s.unsupported for result in results for s in result.steps)
    weights, reward = np.array([weight(r) for r in results]), np.array([earned(r) for r in logged])
    really_decided = [decided(person(), new, f"now-{n}") for n in range(N)]
    really_earned = np.array([earned(r) for r in really_decided])
    assert abs(weights.mean() - 1.0) < 3 * weights.std() / N**0.5
    assert len(np.unique(weights)) > 1
    error = math.hypot((weights * reward).std(), really_earned.std()) / N**0.5
    assert abs((weights * reward).mean() - really_earned.mean()) < 3.5 * error
    slates = [slate(r) for r in really_decided]
    for record, result in zip(logged, results, strict=True):
        p = math.prod(s.other for s in result.steps)
        assert abs(slates.count(slate(record)) / N - p) < 4 * math.sqrt(p * (1 - p) / N), "as often as it is likely"


def slate(record):
    return tuple(p["treatment"] for p in record["picks"])


def unsupported(old, new, **facts):
    """Return what the log of `old` cannot contain in the first slot, (action, reason) -> probability, and its step."""
    known = person(**facts)
    record = decided(known, old, "one")
    first = redecided(record, known, new, old).steps[0]
    return {(action.action, action.why): action.probability for action in first.unsupported}, first


@pytest.mark.promise("evaluation.no-support")
def test_what_a_loosened_gate_lets_in_has_no_support_and_the_gate_is_named():
    old, new = release(GATED), release(BASE)
    probabilities, _ = unsupported(old, new, age=60)
    really = [decided(person(age=60), new, f"x{n}")["picks"][0] for n in range(100)]
    p = next(pick["probability"] for pick in really if pick["treatment"] == "cake.hero")
    assert probabilities == {("cake", "eligibility:young"): p}
    assert unsupported(old, new, age=30)[0] == {}
    assert unsupported(new, old, age=60)[0] == {}, "a tightened gate has all the support there is"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (BASE, BASE + SOAP, ("soap", "new")),
        (BASE.replace("placements: [hero], content_ref: d", "placements: [side], content_ref: d"), BASE,
         ("cake", "not for this placement")),
        (BASE.replace("value: 9", "value: 0"), BASE, ("cake", "worth nothing")),
        (changed.GREEDY, BASE.replace("value: 9", "value: 20"), ("cake", "never drawn")),
        (changed.GREEDY, BASE, ("none", "never drawn")),
        (BASE.replace("tier: commercial\n    value: 10", "tier: mandatory\n    value: 10"), BASE,
         ("cake", "after another tier")),
    ],
)  # fmt: skip
def test_what_could_not_be_drawn_is_named_with_why(old, new, what):
    probabilities, _ = unsupported(release(old), release(new))
    assert probabilities[what] > 0.0


def test_what_was_not_scored_is_scored_by_the_named_model_and_what_was_keeps_its_score():
    old, new = release(GATED), release(BASE)
    record = decided(person(age=60), old, "one")
    calls = []

    def model():
        calls.append(1)
        return lambda facts, candidates: scorer(new)(facts, candidates).__class__(
            np.full(len(candidates), 0.01), np.zeros(len(candidates)), ((),) * len(candidates)
        )

    result = what_if(record, person(age=60), old, new, model)
    assert calls and isinstance(result, WhatIf)  # noqa: PT018 - one thing
    cake = next(action for action in result.steps[0].unsupported if action.action == "cake")
    assert cake.probability < 0.1, "cake by the model, tea as recorded"
    calls.clear()
    assert isinstance(what_if(record, person(age=60), old, release(GATED, "value"), model), WhatIf)
    assert not calls, "everybody was scored then"


def test_who_is_left_out_is_not_chosen_by_what_was_drawn():
    arms = "\narms:\n  - {id: holdout, share: 0.25, from: 2026-01-01}\n"
    new = release(BASE + arms)
    inside = [what_if(decided(person(n), OLD, "x"), person(n), OLD, new, lambda: scorer(new)) for n in range(30)]
    assert {"control group"} == {m for m in inside if isinstance(m, str)}
    record = decided(person(), OLD, "x")
    record["picks"][0]["probability"] *= 0.99
    assert what_if(record, person(), OLD, OLD, lambda: scorer(OLD)) == "not as recorded"
