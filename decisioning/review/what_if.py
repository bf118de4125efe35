"""A recorded decision as another release would make it: how likely what was picked is, and what could not be picked.

Everything but the release stays: the time, the facts as served, the standing and what was paused. Candidates are the
same where their treatment is, as an index means something within one release alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import full_id
from decisioning.catalogue.release import Release
from decisioning.deciding.arbitration import COMMERCIAL_TIER, NOTHING, Odds, Slot, walk
from decisioning.deciding.arms import NBA
from decisioning.deciding.drawing import Drawing
from decisioning.deciding.engine import drawing_as, recorded_scorer
from decisioning.facts.forms import PRIOR_MODEL, Known, Scorer, Scores
from decisioning.facts.schema import Facts

LeftOut = Literal["control group", "emotion layer", "not as recorded"]
"""Why a decision tells nothing: it, or the other release's, is in an arm, or may be changed after the draw; or what is
computed now is not what was recorded, as where a linked visitor was erased since."""
Chances = dict[str | None, float]
"""Treatment -> probability in a slot; None is doing nothing."""
DOING_NOTHING = "none"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A choice of the other release that the log could not hold: `why` is a gate, or says what else kept it out."""

    action: str
    why: str
    probability: float


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """A slot: the probability of what was picked, given the picks before, then and by the other release."""

    placement: str
    rank: int
    logged: float
    other: float
    lacks: tuple[Unsupported, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model says of a slate: its positive outcomes, and their euros."""

    outcome: float
    value_eur: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`steps` in the order of the slots; what is expected of the slate as logged, and as drawn by the other release."""

    steps: tuple[SlotChoice, ...]
    logged: Expected
    drawn: Expected


def otherwise(
    record: dict[str, Any], known: Known, release: Release, other: Release, asked: Callable[[], Scorer]
) -> WhatIf | LeftOut:
    """The recorded decision, made by `other`.

    What is left out does not depend on what was drawn, so that those left are drawn as they were. RequestError where
    the request is none that `other` takes.

    :param asked: the model that the decision names, over the candidates of `other`; of those not scored then
    """
    then = drawing_as(record, known, release, recorded_scorer(record))
    if record["answer"]["arm"] != NBA or then.moved:
        return _left_out(record["answer"]["arm"])
    now = drawing_as(record, known, other, _scorer(record, then, other, asked))
    if now.run.arm != NBA or now.moved:
        return _left_out(now.run.arm)
    names = [pick["treatment"] for pick in record["picks"]]
    before, after = list(_along(then, names)), list(_along(now, names))
    found = [point.chances.get(name) for point, name in zip(before, names, strict=False)]
    if found != [pick["probability"] for pick in record["picks"]]:
        return "not as recorded"
    return WhatIf(tuple(_steps(record["picks"], then, now, before, after)), *_expected(names, then, now))


def _left_out(arm: str) -> LeftOut:
    return "emotion layer" if arm == NBA else "control group"


@dataclass(frozen=True, slots=True)
class _Point:
    """A slot on the way along what was picked, and what it may get."""

    slot: Slot
    odds: Odds
    chances: Chances


def _along(made: Drawing, names: Sequence[str | None]) -> Iterator[_Point]:
    """Slot after slot, given that `names` were picked, up to the first that cannot be."""
    ids, left = made.run.screened.view.ids, iter(names)

    def take(_: int, odds: Odds) -> int:
        name = next(left, None)
        return next((n for n, c in enumerate(odds.candidates.tolist()) if ids[c] == name), len(odds.candidates))

    walked = walk(made.slots, made.usual, made.run.screened.limits, made.explore, take)
    for name, (slot, odds, _) in zip(names, walked, strict=False):
        shown: list[str | None] = [*(ids[c] for c in odds.candidates.tolist()), None]
        chances = dict(zip(shown, odds.probability.tolist(), strict=True))
        yield _Point(slot, odds, chances)
        if not chances.get(name):
            return


def _steps(
    picks: Sequence[Mapping[str, Any]], then: Drawing, now: Drawing, before: Sequence[_Point], after: Sequence[_Point]
) -> Iterator[SlotChoice]:
    for n, pick in enumerate(picks):
        chances = after[n].chances if n < len(after) else {}
        lacks = tuple(
            Unsupported(_action(name, now), _why(name, before[n], then), likely)
            for name, likely in chances.items()
            if likely > 0.0 and not before[n].chances.get(name)
        )
        likely = chances.get(pick["treatment"], 0.0)
        yield SlotChoice(pick["placement"], pick["rank"], pick["probability"], likely, lacks)


def _action(name: str | None, made: Drawing) -> str:
    view = made.run.screened.view
    return DOING_NOTHING if name is None else view.actions[view.ids.index(name)].id


def _why(name: str | None, at: _Point, then: Drawing) -> str:
    """Why a choice could not be drawn when it was logged: its gate, or what else."""
    screened, view = then.run.screened, then.run.screened.view
    if name is not None and name not in view.ids:
        return "new"
    if stopped := next((w.gate for w in screened.withheld if w.treatment == name), None):
        return stopped
    i = NOTHING if name is None else view.ids.index(name)
    if name is None or i in at.odds.candidates:
        return "never drawn"
    if not (then.usual.permitted[i] and at.slot.members[i]):
        return "not for this placement"
    if view.tier[i] == COMMERCIAL_TIER and then.usual.priority[i] <= 0.0:
        return "worth nothing"
    first = at.odds.candidates[:1]
    return "after another tier" if (view.tier[first] < view.tier[i]).any() else "no room"


def _scorer(record: dict[str, Any], then: Drawing, other: Release, asked: Callable[[], Scorer]) -> Scorer:
    """The recorded scores by treatment, and the model's own of who was not scored, or not by it.

    Where no model scored, the priors are those of `other`: they are part of a release.
    """
    if then.run.served_by == PRIOR_MODEL:
        return asked()
    recorded, own = _own_scores(record, then), [full_id(*pair) for pair in other.candidates]

    def score(facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        at = np.asarray([recorded.get(own[c], -1) for c in candidates.tolist()], dtype=np.int64)
        if (at >= 0).all() and not _asks_more(record, other):
            return recorded_scorer(record)(facts, np.asarray(record["scores"]["candidates"], dtype=np.int64)[at])
        return _merged(record, at, asked()(facts, candidates))

    return score


def _own_scores(record: dict[str, Any], then: Drawing) -> Mapping[str, int]:
    """Treatment -> its place in the recorded scores, but for those in whose place a prior was recorded."""
    scores, floor = record["scores"], then.run.screened.view.transparency_floor[then.run.rows]
    stated = np.asarray(scores.get("transparency", [5] * len(floor)))
    names = (full_id(*then.run.release.candidates[c]) for c in scores["candidates"])
    return {name: n for n, name in enumerate(names) if stated[n] >= floor[n]}


def _asks_more(record: dict[str, Any], other: Release) -> bool:
    """Whether `other` needs what was not recorded of a score: how transparent it is, or its uplift."""
    lacks = {"uplift"} if other.catalogue.settings.ranking == "uplift" else set()
    lacks |= {"transparency"} if other.catalogue.settings.transparency else set()
    return not lacks <= record["scores"].keys()


def _merged(record: dict[str, Any], at: NDArray[np.int64], asked: Scores) -> Scores:
    """What was recorded in the place of what is asked now, where there is any: `at` (n,), else -1."""
    scores, was = record["scores"], at >= 0

    def kept(name: str, now: NDArray[Any]) -> NDArray[Any]:
        told = np.asarray(scores.get(name, []), dtype=np.float64)
        return np.where(was, told[at], now).astype(now.dtype) if len(told) else now

    return Scores(
        kept("propensity", asked.propensity),
        kept("evidence", asked.evidence),
        asked.factors,
        None if asked.transparency is None else kept("transparency", asked.transparency),
        None if asked.upper is None else kept("upper", asked.upper),
        None if asked.uplift is None else kept("uplift", asked.uplift),
    )


def _expected(names: Sequence[str | None], then: Drawing, now: Drawing) -> tuple[Expected, Expected]:
    """Of the logged slate and of one by `now` with the decision's own draws, by one measure: what held then, if any."""
    told = _told(now) | _told(then)
    drawn = [now.run.screened.view.ids[p.candidate] for p in now.picks() if p.candidate != NOTHING]
    return _sum([told[n] for n in names if n is not None]), _sum([told[n] for n in drawn])


def _sum(told: Sequence[tuple[float, float]]) -> Expected:
    return Expected(fsum(p for p, _ in told), fsum(p * value for p, value in told))


def _told(made: Drawing) -> dict[str, tuple[float, float]]:
    """Treatment -> its propensity and its value in euros, of who passed."""
    run, value = made.run, made.run.screened.worth.value_eur
    rows = zip(run.rows.tolist(), run.scores.propensity.tolist(), strict=True)
    return {run.screened.view.ids[i]: (p, float(value[i])) for i, p in rows}
