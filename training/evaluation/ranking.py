"""Compares ranking by uplift with ranking by propensity on choices that trained neither: values, Qini per action."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from decisioning.errors import Refused
from training.evaluation.estimators import Log, checked_weights, doubly_robust_terms
from training.evaluation.policies import (
    Question,
    as_log,
    constant,
    cross_fitted_rewards,
    greedy,
    mean_rewards,
    model_propensities,
)
from training.evaluation.qini import compare_scores, effect
from training.fitting.intervals import ConfidenceInterval, effective_size, mean_interval
from training.fitting.propensity import Recipe, fit
from training.fitting.uplift import Contrasts, with_effects
from training.model.frame import Floats
from training.model.model import PropensityModel

PLAIN, UPLIFT, RANDOM = "by propensity", "by uplift", "random"
Result = dict[str, Any]
_FIGURES = ("shown", "withheld", "mean_uplift", "effect", "qini_by_uplift", "qini_by_propensity", "qini_gain")
"""Of an action: two numbers of rows, a mean, and four intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """Propensity and uplift (n, k) by models of the same data, NaN where the uplift is unknown, and the policies.

    `policies`: choice probabilities (n, k) by name.
    """

    propensity: Floats
    uplift: Floats
    policies: Mapping[str, Floats]


def rankings(model: PropensityModel, data: Contrasts, worth: Floats, nothing: str) -> Rankings:
    """Return what the rankings choose, by expected values of `worth` (k,) per outcome.

    As in arbitration, doing `nothing` is worth 0, and an action of no higher value is not shown. Uplift replaces
    propensity where it is known.
    """
    rows, idle = data.rows, data.rows.actions.index(nothing)
    propensity = model_propensities(model, rows)
    indices = [model.resolve(action, group) for action, group in zip(rows.actions, rows.groups, strict=True)]
    uplift = np.column_stack([model.uplift(rows.x, i, propensity[:, a]) for a, i in enumerate(indices)])
    uplift[:, idle] = np.nan

    def policy_of(probability: Floats) -> Floats:
        expected = np.where(data.permitted, probability * worth, -np.inf)
        expected[:, idle] = 0.0
        return greedy(expected)

    policies = {
        PLAIN: policy_of(propensity),
        UPLIFT: policy_of(np.where(np.isnan(uplift), propensity, uplift)),
        RANDOM: data.permitted / data.permitted.sum(axis=1, keepdims=True),
        **{f"always {rows.actions[a]}": constant(len(rows), len(rows.actions), a) for a in np.unique(rows.action)},
    }
    return Rankings(propensity, uplift, policies)


def compare_rankings(data: Contrasts, ranked: Rankings, question: Question) -> Result:
    """Return the DR value per choice of every policy, the gain of uplift over each, and both Qinis per action.

    What cannot be computed for a policy or an action is None, with the reason as `why`. A gain is claimed only if the
    interval of the difference excludes 0. Plain JSON types.
    """
    log = replace(as_log(data.rows, question.reward), unit=data.unit)
    rewards = cross_fitted_rewards(data.rows, question, data.unit)
    terms: dict[str, Floats] = {}
    rows: list[Result] = []
    for name, target in ranked.policies.items():
        row: Result = {"policy": name, "worth": None, "effective_rows": None, "uplift_earns_more": None, "why": None}
        try:
            terms[name], row["effective_rows"] = _terms(log, target, rewards)
            row["worth"] = asdict(mean_interval(terms[name], unit=data.unit))
        except Refused as refused:
            row["why"] = str(refused)
        rows.append(row)
    gains = _gains_of_uplift(terms, data)
    for row in rows:
        if row["policy"] in gains:
            row["uplift_earns_more"] = asdict(gains[row["policy"]])
    return {
        "rankings": rows,
        "uplift_gains": PLAIN in gains and gains[PLAIN].low > 0.0,
        "uplift_why": verdict(gains.get(PLAIN)),
        "uplift": [_figures_of_action(data, ranked, a) for a in np.flatnonzero(data.usable.any(axis=0)).tolist()],
    }


def _gains_of_uplift(terms: Mapping[str, Floats], data: Contrasts) -> dict[str, ConfidenceInterval]:
    """Return how much more ranking by uplift earns than each other policy; empty if its value is unknown."""
    if UPLIFT not in terms:
        return {}
    return {name: mean_interval(terms[UPLIFT] - terms[name], unit=data.unit) for name in terms if name != UPLIFT}


def _terms(log: Log, target: Floats, rewards: Floats) -> tuple[Floats, float]:
    """Return each row's term (n,) of the doubly robust value, and the effective sample size."""
    weight = checked_weights(log, target)
    return doubly_robust_terms(log, target, weight, rewards), effective_size(weight)


def verdict(difference: ConfidenceInterval | None) -> str:
    """Return what the value of ranking by uplift less that by propensity supports; None if one of them is unknown."""
    if difference is None:
        return "the log cannot carry one of the two rankings"
    if difference.low > 0.0:
        return "ranking by uplift earns more; the interval excludes 0"
    if difference.high < 0.0:
        return "ranking by propensity earns more; the interval excludes 0"
    return "the difference may be chance"


def _figures_of_action(data: Contrasts, ranked: Rankings, action: int) -> Result:
    """Return an action's figures, or None for each with the reason as `why`."""
    row: Result = {"action": data.rows.actions[action], **dict.fromkeys(_FIGURES), "why": None}
    try:
        rows, control = data.control_rows(action)
        if np.isnan(uplift := ranked.uplift[rows, action]).any():
            raise Refused("uplift: too little to learn it from")
    except Refused as refused:
        return {**row, "why": str(refused)}
    scores = compare_scores(control, uplift, ranked.propensity[rows, action])
    intervals = (effect(control), scores.qini, scores.other, scores.difference)
    numbers = (int(control.shown.sum()), int((~control.shown).sum()), float(uplift.mean()))
    return {**row, **dict(zip(_FIGURES, (*numbers, *map(asdict, intervals)), strict=True))}


def evaluate_rankings(
    learn: Contrasts, held_out: Contrasts, question: Question, recipe: Recipe, nothing: str
) -> Result:
    """Return `compare_rankings` on `held_out`, by a model fitted to `learn`."""
    model = with_effects(fit(learn.own_outcomes, recipe), learn)
    worth = mean_rewards(learn.rows, question.reward)
    return compare_rankings(held_out, rankings(model, held_out, worth, nothing), question)
