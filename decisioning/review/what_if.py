"""A recorded decision as another release would make it: how likely its picks are, and which could not be picked.

Only the release changes: the time, the facts as served, the standing and the pauses stay. Candidates of two releases
are the same if their treatment is, because an index has a meaning only within one release.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import full_id
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import COMMERCIAL_TIER
from decisioning.deciding.arbitration import NOTHING, Odds, Slot, walk
from decisioning.deciding.arms import NBA
from decisioning.deciding.ranking import draw
from decisioning.deciding.record import Computation
from decisioning.facts.forms import PRIOR_MODEL, Known, Scorer, Scores
from decisioning.facts.schema import Facts
from decisioning.review.replaying import decide_as, recomputed, recorded_scorer

LeftOut = Literal["control group", "emotion layer", "not as recorded"]
"""Why a decision cannot be used: under either release it is in an arm, or the emotion layer may change it after the
draw; or what is computed now is not what was recorded, for example because a linked visitor was erased since."""
Chances = dict[str | None, float]
"""Treatment -> probability in a slot; None is doing nothing."""
DOING_NOTHING = "none"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A choice of the other release that the log cannot hold; `why` is a gate, or another reason that kept it out."""

    action: str
    why: str
    probability: float


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """A slot: the probability of its pick given the picks before it, as logged and under the other release."""

    placement: str
    rank: int
    logged: float
    other: float
    unsupported: tuple[Unsupported, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model expects of a slate: positive outcomes, and their value in euros."""

    outcome: float
    value_eur: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The slots in order, and what is expected of the slate as logged and as the other release would draw it."""

    steps: tuple[SlotChoice, ...]
    logged: Expected
    drawn: Expected


def what_if(
    record: dict[str, Any], known: Known, release: Release, other: Release, scorer_of_model: Callable[[], Scorer]
) -> WhatIf | LeftOut:
    """Return the recorded decision as `other` would make it, or why it is left out.

    Both computations follow the picks that were made. So the weight of a slate is exact, and what the other release may
    pick in a slot after the same picks, and the first could not, is known exactly, too.

    Whether a decision is left out does not depend on what was drawn, so the remaining ones are drawn as they were.
    Raises RequestError if `other` does not accept the request.

    :param scorer_of_model: returns the model that the decision names, over the candidates of `other`; it is asked about
        candidates that were not scored then
    """
    then = recomputed(record, known, release)
    if record["answer"]["arm"] != NBA or then.mood_may_change_slate:
        return _left_out(record["answer"]["arm"])
    now = decide_as(record, known, other, _scorer(record, then, other, scorer_of_model)).computed
    if now.screened.arm != NBA or now.mood_may_change_slate:
        return _left_out(now.screened.arm)
    names = [pick["treatment"] for pick in record["picks"]]
    before, after = list(_along(then, names)), list(_along(now, names))
    if not _as_recorded(record, before):
        return "not as recorded"
    return WhatIf(tuple(_steps(record["picks"], then, now, before, after)), *_expected(names, then, now))


def logged_odds(record: dict[str, Any], known: Known, release: Release) -> list[dict[str, float]] | LeftOut:
    """Return per pick, action -> probability that its slot gets it given the picks before, or why that is not known.

    DOING_NOTHING is among the actions. What was drawn plays no part in whether the odds are known.
    """
    then = recomputed(record, known, release)
    if then.mood_may_change_slate:
        return "emotion layer"
    points = list(_along(then, [pick["treatment"] for pick in record["picks"]]))
    return [_by_action(point.chances, then) for point in points] if _as_recorded(record, points) else "not as recorded"


def _by_action(chances: Chances, computed: Computation) -> dict[str, float]:
    """Return action -> probability, of those that can be drawn, in whichever treatment."""
    odds: dict[str, float] = defaultdict(float)
    for name, chance in chances.items():
        if chance > 0.0:
            odds[_action(name, computed)] += chance
    return odds


def _as_recorded(record: dict[str, Any], points: "Sequence[_Point]") -> bool:
    """Tell whether the picks have the probabilities that were recorded."""
    picks = record["picks"]
    chances = [point.chances.get(pick["treatment"]) for point, pick in zip(points, picks, strict=False)]
    return chances == [pick["probability"] for pick in picks]


def _left_out(arm: str) -> LeftOut:
    return "emotion layer" if arm == NBA else "control group"


@dataclass(frozen=True, slots=True)
class _Point:
    """A slot reached by following the logged picks, and what it may get."""

    slot: Slot
    odds: Odds
    chances: Chances


def _along(computed: Computation, names: Sequence[str | None]) -> Iterator[_Point]:
    """Yield slot after slot, given that `names` were picked, up to the first that cannot be."""
    ids, remaining, ranking = computed.view.ids, iter(names), computed.ranking

    def take(_: int, odds: Odds) -> int:
        name = next(remaining, None)
        return next((n for n, c in enumerate(odds.candidates.tolist()) if ids[c] == name), len(odds.candidates))

    walked = walk(ranking.slots, ranking.without_held_help, ranking.limits, ranking.exploration, take)
    for name, (slot, odds, _) in zip(names, walked, strict=False):
        shown: list[str | None] = [*(ids[c] for c in odds.candidates.tolist()), None]
        chances = dict(zip(shown, odds.probability.tolist(), strict=True))
        yield _Point(slot, odds, chances)
        if not chances.get(name):
            return


def _steps(
    picks: Sequence[Mapping[str, Any]],
    then: Computation,
    now: Computation,
    before: Sequence[_Point],
    after: Sequence[_Point],
) -> Iterator[SlotChoice]:
    for n, pick in enumerate(picks):
        chances = after[n].chances if n < len(after) else {}
        unsupported = tuple(
            Unsupported(_action(name, now), _why(name, before[n], then), likely)
            for name, likely in chances.items()
            if likely > 0.0 and not before[n].chances.get(name)
        )
        likely = chances.get(pick["treatment"], 0.0)
        yield SlotChoice(pick["placement"], pick["rank"], pick["probability"], likely, unsupported)


def _action(name: str | None, computed: Computation) -> str:
    view = computed.view
    return DOING_NOTHING if name is None else view.actions[view.ids.index(name)].id


def _why(name: str | None, at: _Point, then: Computation) -> str:
    """Return why a choice could not be drawn when the decision was logged: its gate, or another reason."""
    screened, view = then.screened, then.view
    if name is not None and name not in view.ids:
        return "new"
    if stopped := next((w.gate for w in screened.withheld if w.treatment == name), None):
        return stopped
    i = NOTHING if name is None else view.ids.index(name)
    if name is None or i in at.odds.candidates:
        return "never drawn"
    if not (then.ranking.without_held_help.permitted[i] and at.slot.members[i]):
        return "not for this placement"
    if view.tier[i] == COMMERCIAL_TIER and then.ranking.without_held_help.priority[i] <= 0.0:
        return "worth nothing"
    first = at.odds.candidates[:1]
    return "after another tier" if (view.tier[first] < view.tier[i]).any() else "no room"


def _scorer(record: dict[str, Any], then: Computation, other: Release, scorer_of_model: Callable[[], Scorer]) -> Scorer:
    """Return a scorer that gives the recorded scores by treatment, and the model's own for candidates without one.

    If no model scored, the priors are those of `other`, because priors are part of a release.
    """
    if then.scoring_model == PRIOR_MODEL:
        return scorer_of_model()
    recorded, own = _own_scores(record, then), [full_id(*pair) for pair in other.candidates]

    def score(facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        at = np.asarray([recorded.get(own[c], -1) for c in candidates.tolist()], dtype=np.int64)
        if (at >= 0).all() and not _asks_more(record, other):
            return recorded_scorer(record)(facts, np.asarray(record["scores"]["candidates"], dtype=np.int64)[at])
        return _merged(record, at, scorer_of_model()(facts, candidates))

    return score


def _own_scores(record: dict[str, Any], then: Computation) -> Mapping[str, int]:
    """Return treatment -> its place in the recorded scores, without those for which a prior was recorded instead."""
    scores, floor = record["scores"], then.view.transparency_floor[then.screened.rows]
    stated = np.asarray(scores.get("transparency", [5] * len(floor)))
    names = (full_id(*then.release.candidates[c]) for c in scores["candidates"])
    return {name: n for n, name in enumerate(names) if stated[n] >= floor[n]}


def _asks_more(record: dict[str, Any], other: Release) -> bool:
    """Tell whether the other release needs a score's transparency or uplift, which this decision did not record."""
    needed = {"uplift"} if other.catalogue.settings.ranking == "uplift" else set()
    needed |= {"transparency"} if other.catalogue.settings.transparency else set()
    return not needed <= record["scores"].keys()


def _merged(record: dict[str, Any], place: NDArray[np.int64], scores: Scores) -> Scores:
    """Return `scores` with the recorded ones in their place: `place` (n,) in the recorded scores, -1 for none."""
    recorded, has = record["scores"], place >= 0

    def column(name: str, now: NDArray[Any]) -> NDArray[Any]:
        values = np.asarray(recorded.get(name, []), dtype=np.float64)
        return np.where(has, values[place], now).astype(now.dtype) if len(values) else now

    return Scores(
        propensity=column("propensity", scores.propensity),
        evidence=column("evidence", scores.evidence),
        factors=scores.factors,
        transparency=None if scores.transparency is None else column("transparency", scores.transparency),
        upper=None if scores.upper is None else column("upper", scores.upper),
        uplift=None if scores.uplift is None else column("uplift", scores.uplift),
    )


def _expected(names: Sequence[str | None], then: Computation, now: Computation) -> tuple[Expected, Expected]:
    """Return what is expected of the logged slate and of one that `now` draws with the decision's own draws.

    Both by one measure: what held then, if the treatment passed then.
    """
    measures = _measures(now) | _measures(then)
    picks = draw(now.ranking, now.case.context.decision_id)
    drawn = [now.view.ids[p.candidate] for p in picks if p.candidate != NOTHING]
    return _total([measures[n] for n in names if n is not None]), _total([measures[n] for n in drawn])


def _total(measures: Sequence[tuple[float, float]]) -> Expected:
    return Expected(fsum(p for p, _ in measures), fsum(p * value for p, value in measures))


def _measures(computed: Computation) -> dict[str, tuple[float, float]]:
    """Return treatment -> (propensity, value in euros) of the candidates that passed."""
    value = computed.screened.worth.value_eur
    rows = zip(computed.screened.rows.tolist(), computed.scores.propensity.tolist(), strict=True)
    return {computed.view.ids[i]: (p, float(value[i])) for i, p in rows}
