"""A trial of a challenger: how it begins, what the log of decisions shows of it, and how it is rolled back."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from statistics import median

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.forms import PRIOR_MODEL
from decisioning.times import iso
from features.decisions.log import DecisionLog
from features.decisions.parsing import NOTHING
from training.evaluation.policies import Reward
from training.learning.context import LearningContext
from training.learning.evidence import (
    Guard,
    TrialOutcomes,
    Verdict,
    calibration_guard,
    harm_guard,
    judge,
    latency_guard,
    reward_difference,
)
from training.learning.fairness import fairness_guards
from training.model.model import PropensityModel
from training.registry import PROPENSITY, Lineup, Registry, Trial, propensity_name
from training.reporting.registration import Result
from training.rows.columns import bools, floats

EXTRA_COMPLAINTS, EXTRA_OPT_OUTS = 0.002, 0.002
"""More of these per decision than this is harm."""
SHADOW_DECISIONS = 1_000
"""Decisions in shadow before a challenger may decide itself."""
LARGEST_SHARE = 0.9
ROLLED_BACK = "rolled-back"
"""The tag under which the reason of a rollback is kept with a version."""
_TIMINGS = 200

_DECISIONS = """
SELECT _assigned = '{challenger}' AS challenger, max(_at_us) + {horizon_us} <= {now_us} AS closed,
  max(_label::INT) AS outcome,
  sum(_label::INT * _worth_eur) AS value_eur, bool_or(_complained) AS complained, bool_or(_opted_out) AS opted_out
FROM log WHERE _source = 'decision' AND _arm = 'nba' AND ('{champion}' = '{prior}' OR _model <> '{prior}')
  AND _at_us >= {since_us} AND _assigned IN ('{challenger}', '{champion}')
GROUP BY _decision, _assigned ORDER BY _decision
"""
_IN_SHADOW = "SELECT count(DISTINCT _decision) AS n FROM log WHERE _shadow = '{challenger}'"
_OFFERS = """
SELECT _label, _propensity FROM log WHERE _source = 'decision' AND _arm = 'nba' AND _model = '{challenger}'
  AND _at_us >= {since_us} AND _label IS NOT NULL AND _action <> '{nothing}' ORDER BY _id
"""  # names of models follow patterns that hold no quotes


def begin(registry: Registry, version: int | None, share: float, now_us: int) -> Result:
    """Put a version, by default the challenger, beside the champion. A new share is a new trial.

    :param share: the probability that a decision is the challenger's; 0 keeps it in shadow
    :raises Refused: the share is out of range, there is no challenger, or the version is the champion
    """
    if not 0.0 <= share <= LARGEST_SHARE:
        raise Refused("a trial's share lies between 0 (in shadow) and 0.9, so that there is a champion to compare with")
    chosen = version if version is not None else registry.alias_version(PROPENSITY, "challenger")
    if chosen is None:
        raise Refused(f"{PROPENSITY} has no challenger: train one, or name a version")
    if chosen == registry.lineup(PROPENSITY).champion:
        raise Refused(f"{PROPENSITY}@{chosen} is the champion, there is nothing to try")
    registry.set_alias(PROPENSITY, "challenger", chosen)
    trial = Trial(chosen, share, now_us, f"{PROPENSITY}@{chosen}/{now_us}")
    registry.set_trial(PROPENSITY, trial)
    return {"model": f"{PROPENSITY}@{chosen}", "stage": stage_of(trial), "share": share, "since": iso(now_us)}


def stage_of(trial: Trial) -> str:
    """Return the trial's stage in one word, `share` or `shadow`."""
    return "share" if trial.share else "shadow"


def assess(context: LearningContext, now_us: int, reward: Reward = "outcome") -> tuple[Verdict, Result]:
    """Return the verdict on the trial so far, and the figures behind it. The log is taken as it was last updated.

    The reward is compared over decisions all of whose windows have closed, whatever was shown. Harm is compared over
    all decisions.

    :raises Refused: there is no trial
    """
    log, registry, release = context.log, context.registry, context.release
    lineup = registry.lineup(PROPENSITY)
    if lineup.trial is None:
        ended = last_rollback(registry, registry.alias_version(PROPENSITY, "challenger"))
        raise Refused(f"no challenger is on trial: begin one with `brain trial`{ended and '; '}{ended}")
    challenger = propensity_name(lineup.trial.version)
    summary: Result = {"model": challenger, "stage": stage_of(lineup.trial), "share": lineup.trial.share}
    latency = _latency(registry, lineup)
    if lineup.trial.share == 0.0:
        decisions = int(log.query(_IN_SHADOW.format(challenger=challenger), release)["n"][0].as_py())
        return _shadow_verdict(latency, decisions), {**summary, "decisions": decisions, "guards": [asdict(latency)]}
    names = _names(lineup, lineup.trial, release, now_us)
    decisions = log.query(_DECISIONS.format(**names), release)
    closed = decisions.filter(decisions["closed"])
    value = reward_difference(
        _outcomes(closed, lineup.trial), np.nan_to_num(floats(closed[reward])), _bound(release, reward)
    )
    guards = [latency, *_harm(_outcomes(decisions, lineup.trial), decisions), _calibration(log, release, names)]
    if bools(decisions["challenger"]).any():  # otherwise the groups would be those of the champion's decisions
        guards += fairness_guards(log, release, now_us, challenger, always=True)
    counts = {"decisions": len(closed), "open": len(decisions) - len(closed)}
    figures = {"reward": reward, "value": asdict(value), "guards": [asdict(g) for g in guards]}
    return judge(value, guards), {**summary, **counts, **figures}


def _outcomes(decisions: pa.Table, trial: Trial) -> TrialOutcomes:
    return TrialOutcomes(bools(decisions["challenger"]), trial.share)


def _names(lineup: Lineup, trial: Trial, release: Release, now_us: int) -> dict[str, object]:
    """Return what the queries are filled in with."""
    return {
        "challenger": propensity_name(trial.version),
        "champion": propensity_name(lineup.champion),
        "prior": PRIOR_MODEL,
        "since_us": trial.since_us,
        "now_us": now_us,
        "horizon_us": max((a.outcomes.window_us for a in release.actions.values()), default=0),
        "nothing": NOTHING,
    }


def _shadow_verdict(latency: Guard, decisions: int) -> Verdict:
    if latency.state == "breached":
        return Verdict("roll back", f"breached in shadow: {latency.name}")
    if decisions < SHADOW_DECISIONS:
        return Verdict("wait", f"{decisions} decisions in shadow, {SHADOW_DECISIONS} are needed")
    return Verdict("promote", f"{decisions} decisions in shadow: it may have a share of traffic")


def _bound(release: Release, reward: Reward) -> float:
    """Return the most that a decision can earn: from the catalogue, not the data, twice the most valuable action."""
    if reward == "outcome":
        return 1.0
    points = release.catalogue.settings.eur_per_point
    typical = [a.value.typical or a.value.constant_eur(points) or 0.0 for a in release.actions.values()]
    return 2.0 * max(typical, default=1.0) or 1.0


def _harm(trial: TrialOutcomes, decisions: pa.Table) -> list[Guard]:
    closed = bools(decisions["closed"])
    return [
        harm_guard("complaints", trial, bools(decisions["complained"]), EXTRA_COMPLAINTS, closed),
        harm_guard("opt-outs", trial, bools(decisions["opted_out"]), EXTRA_OPT_OUTS, closed),
    ]


def _calibration(log: DecisionLog, release: Release, names: Mapping[str, object]) -> Guard:
    offers = log.query(_OFFERS.format(**names), release)
    everyone = TrialOutcomes(np.ones(len(offers), dtype=np.bool_), 0.5)
    return calibration_guard(everyone, bools(offers["_label"]), np.nan_to_num(floats(offers["_propensity"])))


def _latency(registry: Registry, lineup: Lineup) -> Guard:
    if lineup.trial is None or lineup.champion is None:
        return latency_guard(1.0, 1.0)
    models = [registry.load(PROPENSITY, version) for version in (lineup.trial.version, lineup.champion)]
    timings = [[_score_ms(model) for model in models] for _ in range(_TIMINGS)]  # in turns: other load slows both
    return latency_guard(*map(median, zip(*timings, strict=True)))


def _score_ms(model: PropensityModel) -> float:
    """Return the milliseconds that it takes to score every action for one customer."""
    row = np.zeros(len(model.feature_names))
    actions = np.arange(len(model.actions), dtype=np.int64)
    began = time.perf_counter()
    model.score(row, actions, np.full(len(actions), -1, dtype=np.int64))
    return 1e3 * (time.perf_counter() - began)


def roll_back(registry: Registry, judged: Trial, why: str, now_us: int) -> str:
    """End the trial that was judged, and keep the reason with the version. Return in words what was done."""
    if registry.lineup(PROPENSITY).trial != judged:
        return "nothing: what was judged is not on trial any more"
    registry.set_trial(PROPENSITY, None)
    registry.write_note(PROPENSITY, judged.version, ROLLED_BACK, json.dumps({"at": iso(now_us), "why": why}))
    return "rolled back: the champion decides alone"


def last_rollback(registry: Registry, version: int | None) -> str:
    """Return when and why a version was rolled back, or an empty text if its trial did not end so."""
    record = None if version is None else registry.read_note(PROPENSITY, version, ROLLED_BACK)
    if record is None:
        return ""
    return "{name}@{version} was rolled back at {at}, {why}".format(
        name=PROPENSITY, version=version, **json.loads(record)
    )
