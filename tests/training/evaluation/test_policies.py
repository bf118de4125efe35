"""The report over policies: a refusal concerns one policy only, and a winner must be significant."""

from dataclasses import replace

import numpy as np
import pytest

from decisioning.errors import Refused
from tests.training.logs import random_log
from training.evaluation.policies import Question, constant, cross_fitted_rewards, evaluate, greedy, model_propensities
from training.fitting.propensity import Recipe, fit

BASE = Recipe(growth=None)


def test_the_greedy_policy_of_a_good_model_wins_where_actions_really_differ():
    train, held_out = random_log(16_000, seed=1).split(0.5, seed=0)
    policy = greedy(model_propensities(fit(train, BASE), held_out))
    report = evaluate(held_out, {"trained": policy})
    assert report.winner == "trained", report.why
    by_name = {p.name: p for p in report.policies}
    assert set(by_name) == {"trained", "always a0", "always a1", "always a2", "always a3"}
    trained = next(e for e in by_name["trained"].estimates if e.method == "dr").interval
    assert trained.low > report.logged.high


def test_two_policies_that_are_the_same_have_no_winner():
    log = random_log(4_000, seed=2)
    report = evaluate(log, {"one": constant(4_000, 4, 0), "other": constant(4_000, 4, 0)})
    assert report.winner is None
    assert "may be chance" in report.why


def test_a_policy_the_log_cannot_carry_is_refused_alone():
    log = random_log(2_000, seed=3)
    log = log.take(log.action != 3)
    log = replace(log, probability=np.full(len(log), 1 / 3))
    report = evaluate(log, {"never logged": constant(len(log), 4, 3)})
    refused = {p.name: p.refused for p in report.policies}
    assert "never took" in str(refused["never logged"])
    assert refused["always a0"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"probability": np.full(800, np.nan)}, "what probability"), ({"action": np.zeros(800, dtype=int)}, "one arm")],
)
def test_a_log_that_supports_nothing_is_refused_as_a_whole(change, reason):
    with pytest.raises(Refused, match=reason):
        evaluate(replace(random_log(800, seed=4), **change), {})


def test_predicted_rewards_never_saw_their_own_outcome():
    """A row with a huge value changes the predictions of other folds, but not those of its own."""
    log = random_log(900, seed=5)
    question = Question(reward="value_eur", recipe=BASE)
    rich = int(np.flatnonzero(log.label)[0])
    fortune = log.value_eur.copy()
    fortune[rich] = 1e6
    before, after = (cross_fitted_rewards(replace(log, value_eur=v), question) for v in (log.value_eur, fortune))
    changed = (before != after).any(axis=1)
    assert not changed[rich]
    assert changed.mean() == pytest.approx(2 / 3, abs=0.01)


def test_predicted_value_is_propensity_times_what_a_positive_outcome_was_worth():
    log = random_log(900, seed=6)
    outcomes = cross_fitted_rewards(log, Question(recipe=BASE))
    assert np.all((outcomes > 0) & (outcomes < 1))
    np.testing.assert_allclose(cross_fitted_rewards(log, Question(reward="value_eur", recipe=BASE)), outcomes * 10.0)
