"""A recorded decision made by another release: exact along what was picked, and what could not be picked is named."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from decisioning.facts.forms import Ask, Known
from decisioning.review.what_if import WhatIf, what_if
from tests import strategies as world
from tests.training import changed
from tests.training.changed import BASE, CHANGES, GATED, SOAP, decided, person, release, scorer

OLD = release()


def again(record, known, other, then=OLD):
    found = what_if(record, known, then, other, lambda: scorer(other))
    assert isinstance(found, WhatIf), found
    return found


def weight(made: WhatIf) -> float:
    return math.prod(s.other / s.logged for s in made.steps)


@pytest.mark.promise("evaluation.same-release")
@settings(max_examples=30, deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=6, max_size=6))
def test_the_same_release_picks_the_same_with_the_recorded_probability_to_the_bit(ask: Ask, of: Known, seed: str):
    record = from_json(world.run(ask, of, seed=seed).to_bytes())
    then = Known(record["facts"], of.person, of.account, tuple(record["degraded"]))
    made = what_if(record, then, world.SMALL, world.SMALL, world.CountingScorer)
    if isinstance(made, str):
        assert made == "emotion layer"
        return
    assert (
        [s.other for s in made.steps] == [s.logged for s in made.steps] == [p["probability"] for p in record["picks"]]
    )
    assert not any(s.lacks for s in made.steps)
    assert weight(made) == 1.0
    assert made.drawn == made.logged


def earned(record) -> float:
    """What a slate earns: the side depends on what is in the hero."""
    shown = [p["treatment"] for p in record["picks"]]
    worth = {"tea.hero": 1.0, "cake.hero": 3.0, "cake.side": 2.0, None: 0.25}
    return sum(worth[s] for s in shown) * (1.5 if shown[0] == "tea.hero" else 1.0)


N = 300


@pytest.fixture(scope="module")
def logged():
    return [decided(person(), OLD, f"then-{n}") for n in range(N)]


@pytest.mark.promise("evaluation.changed-release")
@pytest.mark.parametrize("change", CHANGES)
def test_weighing_the_log_gives_what_really_deciding_with_the_change_earns(logged, change):
    other = release(BASE, change)
    made = [again(record, person(), other) for record in logged]
    assert not any(s.lacks for one in made for s in one.steps)
    weights, reward = np.array([weight(m) for m in made]), np.array([earned(r) for r in logged])
    shown = [decided(person(), other, f"now-{n}") for n in range(N)]
    really = np.array([earned(r) for r in shown])
    assert abs(weights.mean() - 1.0) < 3 * weights.std() / N**0.5
    assert len(np.unique(weights)) > 1
    error = math.hypot((weights * reward).std(), really.std()) / N**0.5
    assert abs((weights * reward).mean() - really.mean()) < 3.5 * error
    slates = [slate(r) for r in shown]
    for record, one in zip(logged, made, strict=True):
        p = math.prod(s.other for s in one.steps)
        assert abs(slates.count(slate(record)) / N - p) < 4 * math.sqrt(p * (1 - p) / N), "as often as it is likely"


def slate(record):
    return tuple(p["treatment"] for p in record["picks"])


def lacks(then, other, **facts):
    """What the log of `then` could not hold of the first slot, by action and why."""
    known = person(**facts)
    record = decided(known, then, "one")
    first = again(record, known, other, then).steps[0]
    return {(lack.action, lack.why): lack.probability for lack in first.lacks}, first


@pytest.mark.promise("evaluation.no-support")
def test_what_a_loosened_gate_lets_in_has_no_support_and_the_gate_is_named():
    old, new = release(GATED), release(BASE)
    found, _ = lacks(old, new, age=60)
    really = [decided(person(age=60), new, f"x{n}")["picks"][0] for n in range(100)]
    p = next(pick["probability"] for pick in really if pick["treatment"] == "cake.hero")
    assert found == {("cake", "eligibility:young"): p}
    assert lacks(old, new, age=30)[0] == {}
    assert lacks(new, old, age=60)[0] == {}, "a tightened gate has all the support there is"


@pytest.mark.parametrize(
    ("then", "other", "what"),
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
def test_what_could_not_be_drawn_is_named_with_why(then, other, what):
    found, _ = lacks(release(then), release(other))
    assert found[what] > 0.0


def test_what_was_not_scored_is_scored_by_the_named_model_and_what_was_keeps_its_score():
    old, new = release(GATED), release(BASE)
    record = decided(person(age=60), old, "one")
    asked = []

    def model():
        asked.append(1)
        return lambda facts, candidates: scorer(new)(facts, candidates).__class__(
            np.full(len(candidates), 0.01), np.zeros(len(candidates)), ((),) * len(candidates)
        )

    made = what_if(record, person(age=60), old, new, model)
    assert asked and isinstance(made, WhatIf)  # noqa: PT018 - one thing
    cake = next(lack for lack in made.steps[0].lacks if lack.action == "cake")
    assert cake.probability < 0.1, "cake by the model, tea as recorded"
    asked.clear()
    assert isinstance(what_if(record, person(age=60), old, release(GATED, "value"), model), WhatIf)
    assert not asked, "everybody was scored then"


def test_who_is_left_out_is_not_chosen_by_what_was_drawn():
    arms = "\narms:\n  - {id: holdout, share: 0.25, from: 2026-01-01}\n"
    other = release(BASE + arms)
    inside = [what_if(decided(person(n), OLD, "x"), person(n), OLD, other, lambda: scorer(other)) for n in range(30)]
    assert {"control group"} == {m for m in inside if isinstance(m, str)}
    record = decided(person(), OLD, "x")
    record["picks"][0]["probability"] *= 0.99
    assert what_if(record, person(), OLD, OLD, lambda: scorer(OLD)) == "not as recorded"
