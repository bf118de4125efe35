"""Ranking by uplift beside ranking by propensity, on choices that trained neither: values, and Qini per action."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decisioning.errors import Refused
from training.evaluation.estimators import Log, checked_weights
from training.evaluation.policies import (
    Question,
    as_log,
    constant,
    cross_fitted_rewards,
    greedy,
    mean_worth,
    model_propensities,
)
from training.evaluation.qini import compare_scores, effect, unit_interval
from training.fitting.intervals import ConfidenceInterval, effective_size
from training.fitting.propensity import Recipe, fit
from training.fitting.uplift import Contrasts, with_effects
from training.model.frame import Floats
from training.model.model import PropensityModel

PLAIN, UPLIFT, RANDOM = "by propensity", "by uplift", "random"
Result = dict[str, Any]
_TOLD = ("shown", "withheld", "mean_uplift", "effect", "qini_by_uplift", "qini_by_propensity", "qini_gain")
"""Of an action: rows, rows, mean, and four intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """What two models of the same data would choose: propensity and uplift (n, k), NaN where the latter is not known,
    and choice probabilities (n, k) by policy."""

    propensity: Floats
    uplift: Floats
    policies: Mapping[str, Floats]


def rankings(model: PropensityModel, data: Contrasts, worth: Floats, nothing: str) -> Rankings:
    """As arbitration does with expected values of `worth` (k,) an outcome: doing nothing is worth 0, and what is not
    above it is not shown. Uplift stands in for propensity where it is known.
    """
    rows, idle = data.rows, data.rows.actions.index(nothing)
    propensity = model_propensities(model, rows)
    found = [model.resolve(action, group) for action, group in zip(rows.actions, rows.groups, strict=True)]
    uplift = np.column_stack([model.uplift(rows.x, i, propensity[:, a]) for a, i in enumerate(found)])
    uplift[:, idle] = np.nan

    def chosen(likely: Floats) -> Floats:
        expected = np.where(data.permitted, likely * worth, -np.inf)
        expected[:, idle] = 0.0
        return greedy(expected)

    policies = {
        PLAIN: chosen(propensity),
        UPLIFT: chosen(np.where(np.isnan(uplift), propensity, uplift)),
        RANDOM: data.permitted / data.permitted.sum(axis=1, keepdims=True),
        **{f"always {rows.actions[a]}": constant(len(rows), len(rows.actions), a) for a in np.unique(rows.action)},
    }
    return Rankings(propensity, uplift, policies)


def compare_rankings(data: Contrasts, ranked: Rankings, question: Question) -> Result:
    """Value per choice of every policy by DR, what uplift earns more than propensity, and Qini of either per action.

    What cannot be told of a policy or an action is told with the reason. A gain is claimed only where the interval of
    the difference excludes 0.
    """
    log = as_log(data.rows, question.reward)
    rewards = cross_fitted_rewards(data.rows, question)
    terms: dict[str, Floats] = {}
    rows: list[Result] = []
    for name, target in ranked.policies.items():
        try:
            terms[name], effective = _terms(log, target, rewards)
            rows.append(
                {"policy": name, "worth": asdict(unit_interval(terms[name], data.unit)), "effective_rows": effective}
            )
        except Refused as refused:
            rows.append({"policy": name, "worth": None, "effective_rows": None, "why": str(refused)})
    others = [name for name in terms if name != UPLIFT and UPLIFT in terms]
    more = {name: unit_interval(terms[UPLIFT] - terms[name], data.unit) for name in others}
    return {
        "rankings": [
            {**row, "uplift_earns_more": _told(more.get(row["policy"])), "why": row.get("why")} for row in rows
        ],
        "uplift_gains": PLAIN in more and more[PLAIN].low > 0.0,
        "uplift_why": verdict(more.get(PLAIN)),
        "uplift": [row for a in range(len(data.rows.actions)) for row in _of_action(data, ranked, a)],
    }


def _told(interval: ConfidenceInterval | None) -> Result | None:
    return None if interval is None else asdict(interval)


def _terms(log: Log, target: Floats, rewards: Floats) -> tuple[Floats, float]:
    """Of every row to the doubly robust value (n,), and the effective sample size."""
    weight = checked_weights(log, target)
    surprise = log.reward - rewards[np.arange(len(rewards)), log.action]
    return np.sum(target * rewards, axis=1) + weight * surprise, effective_size(weight)


def verdict(difference: ConfidenceInterval | None) -> str:
    """What may be said of uplift's value less propensity's; None: of one of them nothing is known."""
    if difference is None:
        return "the log cannot carry one of the two rankings"
    if difference.low > 0.0:
        return "ranking by uplift earns more; the interval excludes 0"
    if difference.high < 0.0:
        return "ranking by propensity earns more; the interval excludes 0"
    return "the difference may be chance"


def _of_action(data: Contrasts, ranked: Rankings, action: int) -> Sequence[Result]:
    if not data.usable[:, action].any():
        return ()
    row: Result = {"action": data.rows.actions[action], **dict.fromkeys(_TOLD), "why": None}
    try:
        rows, told = data.control_rows(action)
        if np.isnan(uplift := ranked.uplift[rows, action]).any():
            raise Refused("uplift: too little to learn it from")
    except Refused as refused:
        return ({**row, "why": str(refused)},)
    scored = compare_scores(told, uplift, ranked.propensity[rows, action])
    intervals = (effect(told), scored.qini, scored.other, scored.difference)
    counts = (int(told.shown.sum()), int((~told.shown).sum()), float(uplift.mean()))
    return ({**row, **dict(zip(_TOLD, (*counts, *map(asdict, intervals)), strict=True))},)


def evaluate_rankings(
    learn: Contrasts, held_out: Contrasts, question: Question, recipe: Recipe, nothing: str
) -> Result:
    """`side_by_side` on `held_out`, by a model of `learn`."""
    model = with_effects(fit(learn.own_outcomes, recipe), learn)
    return compare_rankings(
        held_out, rankings(model, held_out, mean_worth(learn.rows, question.reward), nothing), question
    )
