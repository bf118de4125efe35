"""Values of the trained policy, the logged one and each constant action, over held-out rows of a log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.evaluation.estimators import (
    METHODS,
    Claim,
    Estimate,
    Log,
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
from training.model.frame import Floats, TrainingSet
from training.model.model import PropensityModel

Reward = Literal["outcome", "value_eur"]
LOGGED = "logged"


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """One policy: its estimates by method, or the reason why the log cannot give them.

    `effective`: how many of the log's rows, equally weighted, would tell as much of it. `more`: what it earns more than
    the logged policy did (by DR); wider the more policies are valued, so that all claims hold together.
    """

    name: str
    effective: float
    estimates: tuple[Estimate, ...]
    refused: str | None = None
    more: ConfidenceInterval | None = None

    @property
    def claim(self) -> Claim:
        """Against the logged policy, as far as the interval of `more` says."""
        return claim_of(self.more)


@dataclass(frozen=True, slots=True)
class Report:
    """Values per decision. `winner` is the policy that beats every other one whose value is known, or None."""

    reward: Reward
    rows: int
    logged: ConfidenceInterval
    policies: tuple[PolicyValue, ...]
    winner: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of a log: the reward, folds and seed of the reward model behind DR, and the recipe it uses."""

    reward: Reward = "outcome"
    folds: int = 3
    seed: int = 0
    level: float = 0.95
    recipe: Recipe = field(default_factory=lambda: Recipe(growth=None))


def evaluate(data: TrainingSet, policies: Mapping[str, Floats], question: Question | None = None) -> Report:
    """Policies, as choice probabilities (n, k) over `data.actions`, judged on rows that did not train them.

    Each constant action that the log ever took is judged too. Refused where the log supports no answer at all.
    """
    question = question or Question()
    log = as_log(data, question.reward)
    rewards = cross_fitted_rewards(data, question)
    values, known = [], {}
    for name, target in _asked(policies, data):
        values.append(value := _value(name, log, target, rewards, question.level))
        if value.refused is None:
            known[name] = target
    strict = 1.0 - (1.0 - question.level) / max(len(known), 1)
    more = {name: gain_over_log(log, target, "dr", rewards, strict) for name, target in known.items()}
    winner, why = _winner(log, known, rewards, question.level)
    told = tuple(replace(v, more=more.get(v.name)) for v in values)
    return Report(question.reward, len(data), logged_value(log, question.level), told, winner, why)


def _asked(policies: Mapping[str, Floats], data: TrainingSet) -> Iterator[tuple[str, Floats]]:
    """The given policies and each constant action, made one by one: most cannot be valued, and each is (n, k)."""
    yield from policies.items()
    for a in np.unique(data.action).tolist():
        yield f"always {data.actions[a]}", constant(len(data), len(data.actions), a)


def as_log(data: TrainingSet, reward: Reward) -> Log:
    """The rows as a log for the estimators; Refused as `Log` is."""
    earned = data.label.astype(np.float64) if reward == "outcome" else data.value_eur
    return Log(data.action, earned, data.probability, len(data.actions))


def greedy(priorities: Floats) -> Floats:
    """Choice probabilities (n, k) of always taking the highest priority (n, k), the first among equals."""
    return np.asarray(np.eye(priorities.shape[1])[priorities.argmax(axis=1)])


def constant(n: int, n_actions: int, action: int) -> Floats:
    """Choice probabilities (n, n_actions) of always taking one action."""
    chosen = np.zeros((n, n_actions))
    chosen[:, action] = 1.0
    return chosen


def model_propensities(model: PropensityModel, data: TrainingSet) -> Floats:
    """Propensity (n, k) of each of the data's actions for each row's customer, without a treatment."""
    found = [model.resolve(action, group) for action, group in zip(data.actions, data.groups, strict=True)]
    return np.column_stack([model.propensities(data.x, index) for index in found])


def cross_fitted_rewards(data: TrainingSet, question: Question) -> Floats:
    """Expected reward (n, k), each row predicted by a model fitted without its fold (Chernozhukov et al. 2018)."""
    fold = stratified_folds(data.label, question.folds, question.seed)
    found = np.empty((len(data), len(data.actions)))
    for k in range(question.folds):
        train = data.take(fold != k)
        if train.label.all() or not train.label.any():
            raise Refused("off-policy value: the log needs rows with and without the outcome to model the reward")
        held_out = data.take(fold == k)
        found[fold == k] = model_propensities(fit(train, question.recipe), held_out) * mean_worth(
            train, question.reward
        )
    return found


def mean_worth(train: TrainingSet, reward: Reward) -> Floats:
    """Return the mean reward of a positive outcome per action, (k,); over all actions if one has none."""
    if reward == "outcome":
        return np.ones(len(train.actions))
    overall = float(train.value_eur[train.label].mean()) if train.label.any() else 0.0
    rows = [train.label & (train.action == a) for a in range(len(train.actions))]
    return np.array([float(train.value_eur[r].mean()) if r.any() else overall for r in rows])


def _value(name: str, log: Log, target: Floats, rewards: Floats, level: float) -> PolicyValue:
    effective = effective_size(importance_weights(log, target))
    try:
        return PolicyValue(name, effective, tuple(estimate(log, target, method, rewards, level) for method in METHODS))
    except Refused as refused:
        return PolicyValue(name, effective, (), str(refused))


def _winner(log: Log, known: Mapping[str, Floats], rewards: Floats, level: float) -> tuple[str | None, str]:
    """The best by DR, if its paired difference with every other excludes zero (Bonferroni over the others)."""
    if len(known) < 2:
        return None, "fewer than two policies could be valued"
    by_value = {n: estimate(log, t, "dr", rewards, level).interval.value for n, t in known.items()}
    best = max(by_value, key=lambda n: by_value[n])
    strict = 1.0 - (1.0 - level) / (len(known) - 1)
    tied = [n for n, t in known.items() if n != best and _undecided(log, known[best], t, rewards, strict)]
    if tied:
        return None, f"the difference between {best} and {', '.join(tied)} may be chance"
    return best, f"{best} beats every other policy; each difference excludes zero"


def _undecided(log: Log, best: Floats, other: Floats, rewards: Floats, level: float) -> bool:
    return compare(log, best, other, "dr", rewards, level).winner != "a"
