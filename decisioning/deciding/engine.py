"""decide(): screen, score, arbitrate, let emotion help, seal. Pure: the same arguments give the same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum, isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.exploration import FULL_OPTIMISM_ROWS
from decisioning.catalogue.release import Mask, Release, View
from decisioning.deciding import arms, ethics
from decisioning.deciding.arbitration import COMMERCIAL_TIER, NOTHING, Exploration, Field, Pick, Slot
from decisioning.deciding.consent import Permission
from decisioning.deciding.contact import history_of
from decisioning.deciding.drawing import Drawing
from decisioning.deciding.record import Run, sealed
from decisioning.deciding.screening import Screened, allowed_now, screen
from decisioning.errors import RequestError, SealBroken
from decisioning.facts.forms import Ask, Decision, Known, Scorer, Scores, Shadow, canonical
from decisioning.facts.schema import Facts, Value
from decisioning.times import DAY_US


def decide(
    ask: Ask,
    known: Known,
    release: Release,
    score: Scorer,
    *,
    model: str,
    now_us: int,
    decision_id: str,
    environment: str = "dev",
    paused: frozenset[str] = frozenset(),
    supersedes: str | None = None,
    gamma: float | None = None,
    shadow: Shadow | None = None,
) -> Decision:
    """What to do next for one customer.

    `score` is called at most once, with only those who passed every filter, and not at all where profiling is not
    allowed. `decision_id` seeds every draw. `gamma` stands in for the channel's (personas are previewed without
    exploration, and in no control group). `shadow` is asked about the same, and recorded. Raises RequestError for an
    unknown channel or placement.
    """
    made = _drawing(ask, known, release, score, model, now_us, decision_id, environment, paused, gamma, shadow)
    run, screened = made.run, made.run.screened
    shown = ethics.apply(run.mood, made.picks(), made.slots, screened.view, made.field, screened.limits)
    return sealed(run, _seal(shown, screened), tuple(sorted(paused & release.actions.keys())), supersedes)


def _drawing(
    ask: Ask,
    known: Known,
    release: Release,
    score: Scorer,
    model: str,
    now_us: int,
    decision_id: str,
    environment: str,
    paused: frozenset[str],
    gamma: float | None,
    shadow: Shadow | None,
) -> Drawing:
    """Everything but the draw, the emotion layer and the sealing; see decide()."""
    view = release.view(ask.channel)
    locale = _locale(ask, release)
    facts = _facts(ask, known, locale, now_us)
    arm = arms.NBA if gamma is not None else _arm(release, known, now_us)
    screened = arms.weighed(_screened(ask, known, release, facts, now_us, paused, arm), arm)
    rows = np.flatnonzero(screened.permitted)
    scores = _ranked(_score(screened, rows, facts, score), release, view, rows, arm)
    behind = _behind(view, rows, scores)
    slots, field = _slots(ask, view), _field(screened, rows, scores, arm, behind)
    explore = _explored(screened, rows, scores, behind, now_us) if gamma is None else Exploration.flat(gamma, len(view))
    usual = replace(field, permitted=field.permitted & ~view.held_help)
    felt = ethics.mood(release, facts, history_of(release, known, now_us), screened.permissions, ask.moment)
    beside = _beside(screened, rows, facts, shadow)
    run = Run(
        ask,
        known,
        release,
        screened,
        rows,
        scores,
        felt,
        facts,
        locale,
        model,
        now_us,
        decision_id,
        environment,
        arm,
        beside,
    )
    return Drawing(run, slots, field, usual, arms.explored(explore, arm))


def screened_for(
    ask: Ask,
    known: Known,
    release: Release,
    *,
    now_us: int,
    paused: frozenset[str] = frozenset(),
    arm: str | None = None,
) -> Screened:
    """Only the screening of decide(). `arm`: instead of the customer's."""
    facts = facts_for(ask, known, release, now_us)
    return _screened(ask, known, release, facts, now_us, paused, arm or _arm(release, known, now_us))


def _arm(release: Release, known: Known, now_us: int) -> str:
    return arms.arm_of(release.catalogue.arms, release.catalogue.settings.arm_salt, known, now_us)


def _screened(
    ask: Ask, known: Known, release: Release, facts: Facts, now_us: int, paused: frozenset[str], arm: str
) -> Screened:
    view = release.view(ask.channel)
    screened = screen(release, view, _asked(ask, view), known, facts, now_us, paused, _reported(ask, release))
    arms.withhold(screened, arm)
    return screened


def permissions_for(ask: Ask, known: Known, release: Release, *, now_us: int) -> dict[str, Permission]:
    """By purpose, the permissions that screening goes by."""
    facts = facts_for(ask, known, release, now_us)
    return allowed_now(release, release.view(ask.channel), known, _reported(ask, release), facts, now_us)


def facts_for(ask: Ask, known: Known, release: Release, now_us: int) -> Facts:
    """The facts that decide() would serve."""
    return _facts(ask, known, _locale(ask, release), now_us)


def _locale(ask: Ask, release: Release) -> str:
    """The locale asked for or its language where content is written in it, else the workspace's first."""
    spoken = release.catalogue.settings.locales
    wanted = (ask.locale, ask.locale.split("-")[0]) if ask.locale else ()
    return next((w for w in wanted if w in spoken), spoken[0])


def _facts(ask: Ask, known: Known, locale: str, now_us: int) -> Facts:
    """The facts as served: profile, signals and context, and what every decision knows; unknown ones left out."""
    served = {k: v for k, v in known.facts.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}
    built_in: dict[str, Value] = {
        "channel": ask.channel,
        "locale": locale,
        "now": now_us,
        "has_account": known.account is not None,
    }
    return {"gpc": False, **served, **built_in}


def _reported(ask: Ask, release: Release) -> Mapping[str, bool]:
    """What a consent platform reports; raises RequestError for a purpose that nobody declared."""
    for name in ask.consent_platform:
        if name not in release.purposes:
            has = ", ".join(release.purposes)
            raise RequestError(f"consent_platform.{name}", f"there is no such purpose; known are {has}")
    return ask.consent_platform


def _asked(ask: Ask, view: View) -> Mask:
    asked = np.zeros(len(view), dtype=np.bool_)
    for n, placement in enumerate(ask.placements):
        if placement.name not in view.placements:
            has = ", ".join(view.placements)
            raise RequestError(f"placements.{n}.name", f"no such placement on {view.channel.id}; it has {has}")
        asked |= view.placements[placement.name]
    return asked


def _score(screened: Screened, rows: NDArray[np.int64], facts: Facts, score: Scorer) -> Scores:
    """Scores of the permitted `rows`; catalogue priors, without evidence, where profiling is not allowed."""
    if not len(rows):
        return Scores(np.zeros(0), np.zeros(0), ())
    if not screened.profiled:
        return Scores(screened.view.prior[rows], np.zeros(len(rows)), ((),) * len(rows))
    scores = score(facts, screened.view.candidates[rows])
    if not np.all((scores.propensity >= 0.0) & (scores.propensity <= 1.0)):
        raise SealBroken("the model gave a propensity outside [0, 1]; nothing was decided")
    return _transparent(scores, screened.view, rows)


def _transparent(scores: Scores, view: View, rows: NDArray[np.int64]) -> Scores:
    """The scores, and the catalogue's priors where the model is less transparent than the action's issue asks for."""
    floor = view.transparency_floor[rows]
    if not (floor > 1).any():
        return replace(scores, transparency=None)
    stated = np.ones(len(rows), dtype=np.int8) if scores.transparency is None else scores.transparency
    opaque, prior = stated < floor, view.prior[rows]
    upper = None if scores.upper is None else np.where(opaque, prior, scores.upper)
    return Scores(
        np.where(opaque, prior, scores.propensity),
        np.where(opaque, 0.0, scores.evidence),
        tuple(() if hidden else names for hidden, names in zip(opaque.tolist(), scores.factors, strict=True)),
        stated,
        upper,
        None if scores.uplift is None else np.where(opaque, np.nan, scores.uplift),
    )


def _ranked(scores: Scores, release: Release, view: View, rows: NDArray[np.int64], arm: str) -> Scores:
    """The scores, with uplift where that ranks: what sells, if `settings.ranking` says so, but in `propensity-only`."""
    if scores.uplift is None or release.catalogue.settings.ranking != "uplift" or arm == "propensity-only":
        return replace(scores, uplift=None)
    if not np.all(np.abs(np.nan_to_num(scores.uplift)) <= 1.0):
        raise SealBroken("the model gave an uplift outside [-1, 1]; nothing was decided")
    return replace(scores, uplift=np.where(view.tier[rows] == COMMERCIAL_TIER, scores.uplift, np.nan))


def _beside(screened: Screened, rows: NDArray[np.int64], facts: Facts, shadow: Shadow | None) -> dict[str, Any] | None:
    """What the shadow says of the permitted `rows`; nothing where no model is asked at all."""
    if shadow is None or not len(rows) or not screened.profiled:
        return None
    found = shadow.score(facts, screened.view.candidates[rows]).propensity
    return {"model": shadow.model, "propensity": found.tolist()}


def _slots(ask: Ask, view: View) -> list[Slot]:
    return [
        Slot(n, rank, view.placements[placement.name])
        for n, placement in enumerate(ask.placements)
        for rank in range(1, placement.limit + 1)
    ]


def _behind(view: View, rows: NDArray[np.int64], scores: Scores) -> float:
    """The rows of evidence behind the actions scored, each once; at least 1, and just that where nothing grows."""
    if not (view.channel.gamma_grows or view.gamma_grows.any()):
        return 1.0
    evidence = {view.action[row]: found for row, found in zip(rows.tolist(), scores.evidence.tolist(), strict=True)}
    return max(fsum(evidence.values()), 1.0)


def _field(screened: Screened, rows: NDArray[np.int64], scores: Scores, arm: str, behind: float) -> Field:
    likely = np.zeros(len(screened.view))
    likely[rows] = scores.ranking
    field = Field(screened.permitted, screened.view.tier, screened.worth.priority(likely))
    ranked = arms.ranked(field, likely, arm)
    fades = np.where(screened.view.gamma_grows[rows], sqrt(min(FULL_OPTIMISM_ROWS / behind, 1.0)), 1.0)
    optimism = screened.view.optimism[rows] * fades
    if ranked is not field or scores.upper is None or not optimism.any():
        return ranked
    likely[rows] = np.minimum(scores.ranking + optimism * (scores.upper - scores.propensity), 1.0)
    return replace(field, optimistic_priority=screened.worth.priority(likely))


def _explored(screened: Screened, rows: NDArray[np.int64], scores: Scores, behind: float, now_us: int) -> Exploration:
    """The channel's schedules; what grows, times the root of the evidence. Nothing extra for who is not profiled."""
    view, channel, root = screened.view, screened.view.channel, sqrt(behind)
    gamma, idle = np.where(view.gamma_grows, view.gamma * root, view.gamma), channel.gamma
    idle = idle * root if channel.gamma_grows else idle
    immature = np.zeros(len(view), dtype=np.bool_)
    if not screened.profiled:
        return Exploration(gamma, idle, immature)
    ahead = _ahead(view, now_us)
    if channel.immature is None:
        return Exploration(gamma, idle, immature, launch_boost=ahead)
    immature[rows] = scores.evidence < channel.immature.mature_at
    if scores.transparency is not None:  # where the prior stands in for a score, no evidence is coming
        immature[rows] &= scores.transparency >= view.transparency_floor[rows]
    return Exploration(gamma, idle, immature, channel.immature.budget, ahead)


def _ahead(view: View, now_us: int) -> NDArray[np.float64] | None:
    """By how much new candidates count for more in the draw (k,); None where nothing is new."""
    launch = view.channel.launch
    if launch is None:
        return None
    new = view.starts_us > now_us - round(launch.days * DAY_US)
    return np.where(new, 1.0 / (1.0 - launch.give_up), 1.0) if new.any() else None


def _seal(picks: Sequence[Pick], screened: Screened) -> list[Pick]:
    """The picks, checked once more against what screening permitted, each action once; raises SealBroken."""
    chosen = [p.candidate for p in picks if p.candidate != NOTHING]
    actions = [screened.view.action[c] for c in chosen]
    if not all(screened.permitted[c] for c in chosen) or len(set(actions)) < len(actions):
        raise SealBroken("the slate holds a candidate that was not permitted; nothing was decided")
    return list(picks)


def replay(record: dict[str, Any], known: Known, release: Release) -> Decision:
    """Decides again from a ledger record: the standing as read then, the release, and the recorded scores."""
    return decide_as(record, known, release, recorded_scorer(record), _recorded_shadow(record))


def decide_as(
    record: dict[str, Any], known: Known, release: Release, score: Scorer, shadow: Shadow | None = None
) -> Decision:
    """Decides what a recorded request asked, at its time and with its draws, from what is given as known."""
    return decide(
        _recorded_ask(record),
        known,
        release,
        score,
        model=record["model"],
        now_us=record["decided_us"],
        decision_id=record["decision_id"],
        environment=record["environment"],
        paused=frozenset(record["paused"]),
        supersedes=record["supersedes"],
        shadow=shadow,
    )


def recomputed(record: dict[str, Any], known: Known, release: Release) -> Run:
    """Everything that the recorded decision computed on its way, from the recorded scores."""
    return drawing_as(record, known, release, recorded_scorer(record)).run


def drawing_as(record: dict[str, Any], known: Known, release: Release, score: Scorer) -> Drawing:
    """As decide_as, up to the draws."""
    return _drawing(
        _recorded_ask(record),
        known,
        release,
        score,
        record["model"],
        record["decided_us"],
        record["decision_id"],
        record["environment"],
        frozenset(record["paused"]),
        None,
        None,
    )


def _recorded_ask(record: dict[str, Any]) -> Ask:
    return Ask.model_validate_json(canonical(record["request"]))


def recorded_scorer(record: dict[str, Any]) -> Scorer:
    """What the model said then, of those it was asked about."""
    recorded = record["scores"]
    at = {c: n for n, c in enumerate(recorded["candidates"])}
    factors = {int(c): tuple(names) for c, names in recorded["factors"].items()}

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        n = [at[int(c)] for c in candidates]
        return Scores(
            np.asarray([recorded["propensity"][i] for i in n], dtype=np.float64),
            np.asarray([recorded["evidence"][i] for i in n], dtype=np.float64),
            tuple(factors.get(int(c), ()) for c in candidates),
            np.asarray([recorded["transparency"][i] for i in n], dtype=np.int8) if "transparency" in recorded else None,
            np.asarray([recorded["upper"][i] for i in n], dtype=np.float64) if "upper" in recorded else None,
            np.asarray([recorded["uplift"][i] for i in n], dtype=np.float64) if "uplift" in recorded else None,
        )

    return score


def _recorded_shadow(record: dict[str, Any]) -> Shadow | None:
    said = record.get("shadow")
    if said is None:
        return None
    known = dict(zip(record["scores"]["candidates"], said["propensity"], strict=True))

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        found = np.asarray([known[int(c)] for c in candidates], dtype=np.float64)
        return Scores(found, np.zeros(len(found)), ((),) * len(found))

    return Shadow(said["model"], score)
