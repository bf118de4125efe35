"""A trial of a challenger: how it begins, what the log of decisions shows of it, and how it is rolled back."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.actions import COMMERCIAL_ISSUES
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.forms import PRIOR_MODEL
from decisioning.review.approval import Permit
from decisioning.times import days_us, iso
from features.decisions.labels import longest_window_us
from features.decisions.log import DecisionLog
from features.decisions.parsing import NOTHING
from features.decisions.worth import catalogue_eur
from training.evaluation.policies import Reward
from training.fitting.intervals import ConfidenceInterval
from training.learning.context import LearningContext, TrialRules, reads_log
from training.learning.evidence import (
    Guard,
    TrialOutcomes,
    Verdict,
    calibration_guard,
    harm_guard,
    judge,
    latency_guard,
    reward_difference,
    share_is_off,
)
from training.learning.fairness import fairness_guards
from training.model.frame import Floats
from training.model.model import PropensityModel
from training.registry import PROPENSITY, Lineup, Registry, Trial, propensity_name
from training.reporting.registration import Result
from training.rows.columns import bools, floats, unit_codes

EXTRA_COMPLAINTS, EXTRA_OPT_OUTS = 0.002, 0.002
"""More of these per decision than this is harm."""
SHADOW_DECISIONS = 1_000
"""Decisions in shadow before a challenger may decide itself."""
LARGEST_SHARE = 0.9
LARGEST_SALE = 10.0
"""What a decision earns counts up to this many times the catalogue's most valuable action, so that no single told value
decides a trial."""
ROLLED_BACK = "rolled-back"
"""The tag under which the reason of a rollback is kept with a version."""
_TIMINGS = 200

_DECISIONS = """
SELECT _assigned = '{challenger}' AS challenger, max(_at_us) + {horizon_us} <= {now_us} AS closed,
  max(_at_us) + {guarded_us} <= {now_us} AS guarded, any_value(_customer) AS unit,
  coalesce(max(_succeeded::INT) FILTER (sells), 0) AS outcome,
  coalesce(sum(_earned_eur ORDER BY _id) FILTER (sells), 0.0) AS value_eur,
  bool_or(_complained) AS complained, bool_or(_opted_out) AS opted_out
FROM (SELECT *, _issue IN ({commercial}) AS sells FROM log JOIN units USING (_stream)
  WHERE _source = 'decision' AND _arm = 'nba' AND ('{champion}' = '{prior}' OR _model <> '{prior}')
    AND _trial = {since_us} AND _assigned IN ('{challenger}', '{champion}'))
GROUP BY _decision, _assigned ORDER BY _decision
"""
_IN_SHADOW = "SELECT count(DISTINCT _decision) AS n FROM log WHERE _shadow = '{challenger}'"
_OFFERS = """
SELECT _label, _propensity, _customer FROM log JOIN units USING (_stream)
WHERE _source = 'decision' AND _arm = 'nba' AND _model = '{challenger}'
  AND _trial = {since_us} AND _label IS NOT NULL AND _action <> '{nothing}' ORDER BY _id
"""  # names of models follow patterns that hold no quotes


def begin(
    registry: Registry, version: int | None, share: float, now_us: int, permit: Callable[[int], Permit] | None = None
) -> Result:
    """Put a version, by default the challenger, beside the champion. A new share is a new trial.

    :param share: the probability that a decision is the challenger's; 0 keeps it in shadow
    :param permit: returns the permit that a version makes decisions, which it needs for more than its share now
    :raises Refused: the share is out of range, there is no challenger, or the version is the champion
    """
    if not 0.0 <= share <= LARGEST_SHARE:
        raise Refused("a trial's share lies between 0 (in shadow) and 0.9, so that there is a champion to compare with")
    chosen = version if version is not None else registry.alias_version(PROPENSITY, "challenger")
    if chosen is None:
        raise Refused("there is no challenger to try: train one with `brain train`, or name a version")
    if chosen == registry.lineup(PROPENSITY).champion:
        raise Refused(
            f"{PROPENSITY}@{chosen} decides already: train a challenger with `brain train`, or name another version"
        )
    trial = Trial(chosen, share, now_us, f"{PROPENSITY}@{chosen}/{now_us}")
    registry.set_trial(PROPENSITY, trial, permit(chosen) if share and permit is not None else None)
    registry.set_alias(PROPENSITY, "challenger", chosen)
    return {"model": f"{PROPENSITY}@{chosen}", "stage": stage_of(trial), "share": share, "since": iso(now_us)}


def stage_of(trial: Trial) -> str:
    """Return the trial's stage in one word, `share` or `shadow`."""
    return "share" if trial.share else "shadow"


@reads_log
def assess(context: LearningContext, now_us: int) -> tuple[Verdict, Result]:
    """Return the verdict on the trial so far, and the figures behind it. The log is taken as it was last updated.

    Evidence are decisions that record that their model was drawn in this trial. The reward is compared over those all
    of whose windows have closed, whatever was shown and whether or not it was reached. Harm is compared over all of
    them, and shown to be absent over those after which no complaint can count any more. Nothing is judged while the
    challenger's share is not the declared one.

    :raises Refused: there is no trial
    """
    log, registry, release, rules = context.log, context.registry, context.release, context.rules
    lineup = registry.lineup(PROPENSITY)
    if lineup.trial is None:
        version = registry.alias_version(PROPENSITY, "challenger")
        ended = last_rollback(registry, version)
        step = "brain train" if version in (None, lineup.champion) else "brain trial --share 0.5"
        raise Refused(f"no challenger is on trial: the next step is `{step}`{ended and '; '}{ended}")
    challenger = propensity_name(lineup.trial.version)
    summary: Result = {
        "model": challenger,
        "stage": stage_of(lineup.trial),
        "share": lineup.trial.share,
    }
    latency = _latency(registry, lineup)
    if lineup.trial.share == 0.0:
        n_shadow = int(log.query(_IN_SHADOW.format(challenger=challenger), release)["n"][0].as_py())
        return _shadow_verdict(latency, n_shadow), {**summary, "decisions": n_shadow, "guards": [asdict(latency)]}
    compared = Compared(lineup.trial, propensity_name(lineup.champion))
    decisions = drawn_decisions(log, release, compared, now_us)
    closed = decisions.filter(decisions["closed"])
    over = _over(rules, lineup.trial, release, now_us)
    counts = {**_counts(decisions, closed), "reward": rules.reward}
    if off := _share_off(decisions, lineup.trial):
        return Verdict("wait" if over is None else "end", off), {**summary, **counts, "value": None, "guards": []}
    reward, bound = floats(closed[rules.reward]), _bound(release, rules.reward)
    value = reward_difference(outcomes_of(closed, lineup.trial), reward, bound)
    guards = [latency, *harm_guards(decisions, lineup.trial), _calibration(log, release, compared, now_us)]
    guards += fairness_guards(log, release, now_us, challenger, always=True)
    ends = _futile(value, _champions_mean(closed, np.minimum(reward, bound)), rules) or over
    figures = {"value": asdict(value), "bound": bound, "guards": [asdict(g) for g in guards]}
    return judge(value, guards, rules.reward, ends), {**summary, **counts, **figures}


@dataclass(frozen=True, slots=True)
class Compared:
    """A trial, and the champion that its challenger is compared with, as decisions name it."""

    trial: Trial
    champion: str


def drawn_decisions(log: DecisionLog, release: Release, compared: Compared, now_us: int) -> pa.Table:
    """Return the decisions whose model was drawn in a trial: who made each, whose it is, and what came of it."""
    return log.query(_DECISIONS.format(**_names(compared, release, now_us)), release)


def outcomes_of(decisions: pa.Table, trial: Trial) -> TrialOutcomes:
    """Return who made each of the decisions, for customers or accounts as units."""
    return TrialOutcomes(bools(decisions["challenger"]), trial.share, unit_codes(decisions["unit"]))


def _counts(decisions: pa.Table, closed: pa.Table) -> Result:
    still_open, customers = len(decisions) - len(closed), len(pc.unique(decisions["unit"]))
    return {
        "decisions": len(closed),
        "open": still_open,
        "customers": customers,
        "rests_on": (
            f"The difference is per decision, of {len(closed)} decisions, and the customer or account is the unit of "
            f"its interval, {customers} in all; left out are {still_open} decisions whose window is open, control "
            "groups, and decisions whose model was not drawn in this trial."
        ),
    }


def _share_off(decisions: pa.Table, trial: Trial) -> str:
    """Return what is wrong with the challenger's share of the decisions, or an empty text."""
    n, by_challenger = len(decisions), int(np.count_nonzero(bools(decisions["challenger"])))
    if not share_is_off(by_challenger, n, trial.share):
        return ""
    return (
        f"the challenger made {by_challenger / n:.1%} of {n} decisions that were drawn, and {trial.share:.1%} is its "
        "share: nothing is judged until that is explained (do decisions of one model fail, or take too long?); then "
        "begin the trial anew with `brain trial --share`"
    )


def _over(rules: TrialRules, trial: Trial, release: Release, now_us: int) -> str | None:
    """Return that the trial has taken its time, or None."""
    ends_us = trial.since_us + days_us(rules.longest_days) + longest_window_us(release)
    return None if now_us < ends_us else f"the windows of the decisions of {rules.longest_days:g} days have closed"


def _futile(value: ConfidenceInterval, champions_mean: float, rules: TrialRules) -> str | None:
    """Return that a gain that is worth having is ruled out, or None."""
    if value.high >= rules.worthwhile_gain * champions_mean:
        return None
    return f"a gain of {rules.worthwhile_gain:.0%} over the champion is ruled out"


def _champions_mean(closed: pa.Table, reward: Floats) -> float:
    """Return the mean reward of the champion's decisions; `reward` (n,)."""
    own = ~bools(closed["challenger"])
    return float(reward[own].mean()) if own.any() else 0.0


def _names(compared: Compared, release: Release, now_us: int) -> dict[str, object]:
    """Return what the queries are filled in with."""
    return {
        "challenger": propensity_name(compared.trial.version),
        "champion": compared.champion,
        "prior": PRIOR_MODEL,
        "since_us": compared.trial.since_us,
        "now_us": now_us,
        "horizon_us": max((a.outcomes.window_us for a in release.actions.values()), default=0),
        "guarded_us": longest_window_us(release),
        "commercial": ", ".join(f"'{issue}'" for issue in sorted(COMMERCIAL_ISSUES)),
        "nothing": NOTHING,
    }


def _shadow_verdict(latency: Guard, decisions: int) -> Verdict:
    if latency.state == "breached":
        return Verdict("roll back", f"breached in shadow: {latency.name}")
    if decisions < SHADOW_DECISIONS:
        return Verdict("wait", f"{decisions} decisions in shadow, {SHADOW_DECISIONS} are needed")
    return Verdict("promote", f"{decisions} decisions in shadow: it may have a share of traffic")


def _bound(release: Release, reward: Reward) -> float:
    """Return the most that a decision counts as: ten times the catalogue's most valuable action."""
    if reward == "outcome":
        return 1.0
    worth = [catalogue_eur(a, release) for a in release.actions.values() if a.commercial]
    return LARGEST_SALE * max(worth, default=1.0) or 1.0


def harm_guards(decisions: pa.Table, trial: Trial) -> list[Guard]:
    """Return the guards of a trial against harm to customers, over all of its decisions."""
    drawn, guarded = outcomes_of(decisions, trial), bools(decisions["guarded"])
    return [
        harm_guard("complaints", drawn, bools(decisions["complained"]), EXTRA_COMPLAINTS, guarded),
        harm_guard("opt-outs", drawn, bools(decisions["opted_out"]), EXTRA_OPT_OUTS, guarded),
    ]


def _calibration(log: DecisionLog, release: Release, compared: Compared, now_us: int) -> Guard:
    offers = log.query(_OFFERS.format(**_names(compared, release, now_us)), release)
    everyone = TrialOutcomes(np.ones(len(offers), dtype=np.bool_), 0.5, unit_codes(offers["_customer"]))
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


def roll_back(registry: Registry, judged: Trial, why: str, now_us: int, said: str = "rolled back") -> str:
    """End the trial that was judged, and keep the reason with the version. Return in words what was done."""
    if registry.lineup(PROPENSITY).trial != judged:
        return "nothing: what was judged is not on trial any more"
    registry.set_trial(PROPENSITY, None)
    note_rollback(registry, judged.version, why, now_us, said)
    return f"{said}: the champion decides alone"


def note_rollback(registry: Registry, version: int, why: str, now_us: int, said: str = "rolled back") -> None:
    """Keep with a version when and why it was rolled back."""
    record = {"at": iso(now_us), "why": why, "said": said}
    registry.write_note(PROPENSITY, version, ROLLED_BACK, json.dumps(record))


def last_rollback(registry: Registry, version: int | None) -> str:
    """Return when and why a version was rolled back or its trial ended, or an empty text if neither happened."""
    record = None if version is None else registry.read_note(PROPENSITY, version, ROLLED_BACK)
    if record is None:
        return ""
    noted = {"said": "rolled back", **json.loads(record)}
    return "{name}@{version} was {said} at {at}, {why}".format(name=PROPENSITY, version=version, **noted)
