"""What the draw goes by: the slots to fill, tier and priority of every candidate, and how much is left to chance."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import fsum, sqrt

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.exploration import FULL_OPTIMISM_ROWS
from decisioning.catalogue.view import Mask, View
from decisioning.deciding import arms
from decisioning.deciding.arbitration import Exploration, Field, Limits, Pick, Slot, fill, uniforms
from decisioning.deciding.case import Case
from decisioning.deciding.screening import Screened
from decisioning.deciding.worth import Worth
from decisioning.facts.forms import Ask, Scores
from decisioning.times import days_us


@dataclass(frozen=True)
class Ranking:
    """Everything that the choices follow from, except the draws.

    `limits`: how often the slate may still take each candidate. `without_held_help`: `field` without the help that only
    the emotion layer may let through.
    """

    slots: list[Slot]
    field: Field
    limits: Limits
    without_held_help: Field
    exploration: Exploration


@dataclass(frozen=True)
class Passed:
    """The candidates that passed, and what they are ranked by. `permitted` (k,) and `rows` (n,) as in Screened."""

    view: View
    permitted: Mask
    rows: NDArray[np.int64]
    worth: Worth
    arm: str
    profiled: bool
    now_us: int


def rank(case: Case, screened: Screened, scores: Scores) -> Ranking:
    """Return what arbitration reads, as the customer's arm and the channel's exploration have it."""
    view = screened.view
    passed = Passed(
        view, screened.permitted, screened.rows, screened.worth, screened.arm, screened.profiled, case.now_us
    )
    field, exploration = ranked_by(passed, scores, case.context.gamma)
    without_held_help = field
    if view.holds_help:
        without_held_help = replace(field, permitted=field.permitted & ~view.held_help)
    return Ranking(slots_of(case.ask, view), field, screened.limits, without_held_help, exploration)


def ranked_by(passed: Passed, scores: Scores, gamma: float | None = None) -> tuple[Field, Exploration]:
    """Return tier and priority of every candidate, and how much is left to chance: by `gamma` alone if it is given."""
    evidence = _total_evidence(passed, scores)
    field = _field(passed, scores, evidence)
    explore = _exploration(passed, scores, evidence) if gamma is None else Exploration.flat(gamma, len(passed.view))
    return field, arms.explored(explore, passed.arm)


def draw(ranking: Ranking, decision_id: str) -> list[Pick]:
    """Fill the slots; every draw is a function of the decision id and the slot's position alone."""
    return fill(ranking.slots, ranking.without_held_help, ranking.limits, ranking.exploration, uniforms(decision_id))


def slots_of(ask: Ask, view: View) -> list[Slot]:
    """Return the slots in the order of the request's placements."""
    return [
        Slot(n, rank, view.placements[placement.name].mask)
        for n, placement in enumerate(ask.placements)
        for rank in range(1, placement.limit + 1)
    ]


def _total_evidence(passed: Passed, scores: Scores) -> float:
    """Return the rows of evidence behind the scored actions, each action once; at least 1, and 1 if nothing grows."""
    view = passed.view
    if not view.any_gamma_grows:
        return 1.0
    rows = zip(passed.rows.tolist(), scores.evidence.tolist(), strict=True)
    by_action = {view.action[row]: evidence for row, evidence in rows}
    return max(fsum(by_action.values()), 1.0)


def _field(passed: Passed, scores: Scores, evidence: float) -> Field:
    view, rows = passed.view, passed.rows
    likely = np.zeros(len(view))
    likely[rows] = scores.ranking
    field = Field(passed.permitted, view.tier, passed.worth.priority(likely))
    ranked = arms.ranked(field, likely, passed.arm)
    if ranked is not field or scores.upper is None or not view.is_optimistic:
        return ranked
    fading = np.where(view.gamma_grows[rows], sqrt(min(FULL_OPTIMISM_ROWS / evidence, 1.0)), 1.0)
    optimism = view.optimism[rows] * fading
    likely[rows] = np.minimum(scores.ranking + optimism * (scores.upper - scores.propensity), 1.0)
    return replace(field, optimistic_priority=passed.worth.priority(likely))


def _exploration(passed: Passed, scores: Scores, evidence: float) -> Exploration:
    """Return the channel's schedules; a gamma that grows is multiplied by the root of the evidence.

    Nothing extra goes to new or immature candidates if the customer may not be profiled.
    """
    view, channel, root = passed.view, passed.view.channel, sqrt(evidence)
    if not view.any_gamma_grows and channel.launch is None and channel.immature is None:
        return _steady(view)
    gamma = np.where(view.gamma_grows, view.gamma * root, view.gamma) if root != 1.0 else view.gamma
    idle = channel.gamma * root if channel.gamma_grows else channel.gamma
    immature = np.zeros(len(view), dtype=np.bool_)
    if not passed.profiled:
        return Exploration(gamma, idle, immature)
    boost = launch_boost(view, passed.now_us)
    if channel.immature is None:
        return Exploration(gamma, idle, immature, launch_boost=boost)
    immature[passed.rows] = _is_immature(passed, scores, channel.immature.mature_at)
    return Exploration(gamma, idle, immature, channel.immature.budget, boost)


@lru_cache(maxsize=32)
def _steady(view: View) -> Exploration:
    """Return the exploration of a channel on which it is the same for all customers at all times."""
    return Exploration(view.gamma, view.channel.gamma, np.zeros(len(view), dtype=np.bool_))


def _is_immature(passed: Passed, scores: Scores, mature_at: float) -> NDArray[np.bool_]:
    """Bool (n,): too little evidence, except where a prior replaces the score, as no evidence is coming there."""
    immature = scores.evidence < mature_at
    if scores.transparency is not None:
        immature &= scores.transparency >= passed.view.transparency_floor[passed.rows]
    return np.asarray(immature, dtype=np.bool_)


def launch_boost(view: View, now_us: int) -> NDArray[np.float64] | None:
    """Return how many times its worth each new candidate counts in the draw (k,), or None if nothing is new."""
    launch = view.channel.launch
    if launch is None:
        return None
    new = view.starts_us > now_us - days_us(launch.days)
    return np.where(new, 1.0 / (1.0 - launch.give_up), 1.0) if new.any() else None
