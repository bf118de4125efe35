"""Values of given policies, of the logged policy and of each constant action, on held-out decisions of a log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from features.decisions.parsing import NOTHING
from training.evaluation.estimators import (
    METHODS,
    Claim,
    Estimate,
    Log,
    check_customers,
    claim_of,
    compare,
    estimate,
    gain_over_log,
    importance_weights,
    logged_value,
)
from training.fitting.folds import stratified_folds
from training.fitting.intervals import ConfidenceInterval, effective_size
from training.fitting.propensity import Recipe, fit
from training.model.frame import Floats, TrainingSet, Units
from training.model.model import PropensityModel
from training.rows.choices import Choices

Reward = Literal["outcome", "value_eur"]


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """The estimates of one policy by method, or the reason `refused` why the log cannot give them.

    `effective`: effective number of rows. `more`: how much more it earns than the logged policy (by DR); its interval
    is wider the more policies are valued, so that all claims hold together.
    """

    name: str
    effective: float
    estimates: tuple[Estimate, ...]
    refused: str | None = None
    more: ConfidenceInterval | None = None

    @property
    def claim(self) -> Claim:
        """The claim against the logged policy that the interval of `more` supports."""
        return claim_of(self.more)


@dataclass(frozen=True, slots=True)
class Report:
    """Values per decision. `winner`: the policy that beats every other one whose value is known, or None; `why`.

    `decisions` of `customers` hold `rows` choices.
    """

    reward: Reward
    rows: int
    decisions: int
    customers: int
    logged: ConfidenceInterval
    policies: tuple[PolicyValue, ...]
    winner: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """How to evaluate: the reward, the level of intervals, and folds, seed and recipe of the reward model of DR."""

    reward: Reward = "outcome"
    folds: int = 3
    seed: int = 0
    level: float = 0.95
    recipe: Recipe = field(default_factory=lambda: Recipe(growth=None))


def evaluate(data: TrainingSet | Choices, policies: Mapping[str, Floats], question: Question | None = None) -> Report:
    """Return the values of policies, choice probabilities (n, k) over the actions, and of each logged action.

    :param data: choices that did not train the policies; a training set's rows are one decision each, of a customer
        each, in which every action could be chosen
    :raises Refused: the log supports no answer at all
    """
    question = question or Question()
    choices = data if isinstance(data, Choices) else Choices.single(data)
    log = log_of(choices, question.reward)
    check_customers(log.unit, np.ones(choices.decisions))
    rewards = cross_fitted_rewards(choices.rows, question, choices.unit)
    values, valued = [], {}
    for name, target in _with_constant_policies(policies, choices):
        values.append(value := _value(name, log, target, rewards, question.level))
        if value.refused is None:
            valued[name] = target
    strict_level = 1.0 - (1.0 - question.level) / max(len(valued), 1)
    gains = {name: gain_over_log(log, target, "dr", rewards, strict_level) for name, target in valued.items()}
    winner, why = _winner(log, valued, rewards, question.level)
    with_gains = tuple(replace(v, more=gains.get(v.name)) for v in values)
    counts = len(choices.rows), choices.decisions, choices.customers
    return Report(question.reward, *counts, logged_value(log, question.level), with_gains, winner, why)


def _with_constant_policies(policies: Mapping[str, Floats], data: Choices) -> Iterator[tuple[str, Floats]]:
    """Yield the policies and then one per logged action; lazily, since each is (n, k) and most cannot be valued."""
    yield from policies.items()
    for a in np.unique(data.rows.action).tolist():
        yield f"always {data.rows.actions[a]}", always(data, a)


def always(data: Choices, action: int) -> Floats:
    """Return the choice probabilities (n, k) of taking one action wherever it is open, elsewhere nothing if it can be.

    Where neither is open it takes the first action that is, which is mostly the only one.
    """
    names = np.array(data.rows.actions)
    preferred = 2.0 * (np.arange(len(names)) == action) + (names == NOTHING)
    return greedy(np.where(data.permitted, preferred, -1.0))


def log_of(choices: Choices, reward: Reward) -> Log:
    """Return choices as a log for the estimators; raises Refused as `Log`."""
    log = as_log(choices.rows, reward)
    return replace(log, decision=choices.decision, unit=choices.unit_of_decision)


def as_log(data: TrainingSet, reward: Reward) -> Log:
    """Return the rows as a log for the estimators; raises Refused as `Log`."""
    rewards = data.label.astype(np.float64) if reward == "outcome" else data.value_eur
    return Log(data.action, rewards, data.probability, len(data.actions))


def greedy(priorities: Floats) -> Floats:
    """Return the choice probabilities (n, k) of taking the highest priority (n, k), the first among equals."""
    return np.asarray(np.eye(priorities.shape[1])[priorities.argmax(axis=1)])


def constant(n: int, n_actions: int, action: int) -> Floats:
    """Return the choice probabilities (n, n_actions) of always taking one action."""
    probabilities = np.zeros((n, n_actions))
    probabilities[:, action] = 1.0
    return probabilities


def model_propensities(model: PropensityModel, data: TrainingSet) -> Floats:
    """Return the propensity (n, k) of each of the data's actions for each row's customer, without a treatment."""
    indices = [model.resolve(action, group) for action, group in zip(data.actions, data.groups, strict=True)]
    return np.column_stack([model.propensities(data.x, index) for index in indices])


def cross_fitted_rewards(data: TrainingSet, question: Question, unit: Units = None) -> Floats:
    """Return expected rewards (n, k), each row's by a model fitted without its fold (Chernozhukov et al. 2018).

    All rows of a customer are in one fold, so that no model predicts whom it learned from.

    :param unit: codes (n,) of the customers; None: each row is another one's
    :raises Refused: a fold's model would have one label only
    """
    fold = stratified_folds(data.label, question.folds, question.seed, unit)
    rewards = np.empty((len(data), len(data.actions)))
    for k in range(question.folds):
        train = data.take(fold != k)
        if train.label.all() or not train.label.any():
            raise Refused("off-policy value: the log needs rows with and without the outcome to model the reward")
        held_out = data.take(fold == k)
        model = fit(train, question.recipe)
        rewards[fold == k] = model_propensities(model, held_out) * mean_rewards(train, question.reward)
    return rewards


def mean_rewards(data: TrainingSet, reward: Reward) -> Floats:
    """Return the mean reward of a positive outcome per action, (k,).

    An action without one has the mean over all actions, or 0 if there is none at all.
    """
    if reward == "outcome":
        return np.ones(len(data.actions))
    overall = float(data.value_eur[data.label].mean()) if data.label.any() else 0.0
    positives = [data.label & (data.action == a) for a in range(len(data.actions))]
    return np.array([float(data.value_eur[rows].mean()) if rows.any() else overall for rows in positives])


def _value(name: str, log: Log, target: Floats, rewards: Floats, level: float) -> PolicyValue:
    """Return a policy's estimates by every method, or the reason why there are none."""
    effective = effective_size(importance_weights(log, target))
    try:
        return PolicyValue(name, effective, tuple(estimate(log, target, method, rewards, level) for method in METHODS))
    except Refused as refused:
        return PolicyValue(name, effective, (), str(refused))


def _winner(log: Log, policies: Mapping[str, Floats], rewards: Floats, level: float) -> tuple[str | None, str]:
    """Return the winner, or None, and why.

    It is the best by DR, if its paired difference with every other one excludes zero (Bonferroni over the others).
    """
    if len(policies) < 2:
        return None, "fewer than two policies could be valued"
    by_value = {n: estimate(log, t, "dr", rewards, level).interval.value for n, t in policies.items()}
    best = max(by_value, key=lambda n: by_value[n])
    strict_level = 1.0 - (1.0 - level) / (len(policies) - 1)
    tied = [
        n for n, t in policies.items() if n != best and _may_be_chance(log, policies[best], t, rewards, strict_level)
    ]
    if tied:
        return None, f"the difference between {best} and {', '.join(tied)} may be chance"
    return best, f"{best} beats every other policy; each difference excludes zero"


def _may_be_chance(log: Log, best: Floats, other: Floats, rewards: Floats, level: float) -> bool:
    return compare(log, best, other, "dr", rewards, level).winner != "a"
