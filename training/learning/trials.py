"""A trial of a challenger: begun, judged from the log of decisions, and ended by promotion or rollback."""

import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.forms import PRIOR_MODEL
from decisioning.times import DAY_US, iso
from features.decisions.log import DecisionLog
from features.decisions.parsing import NOTHING
from training.evaluation.policies import Reward
from training.learning.promotion import (
    Guard,
    TrialOutcomes,
    Verdict,
    calibrated,
    difference,
    fair,
    fast,
    harmless,
    judge,
)
from training.learning.workflow import promote as make_champion
from training.model.frame import Bools, Floats
from training.model.model import PropensityModel
from training.registry import PROPENSITY, Lineup, Registry, propensity_name
from training.registry import Trial as Running
from training.reporting.reporting import Result

EXTRA_COMPLAINTS, EXTRA_OPT_OUTS = 0.002, 0.002
"""More of these per decision than this is harm."""
SHADOWED = 1_000
"""Decisions in shadow before a challenger may decide itself."""
FAIR_DAYS = 90
JUSTIFIED, ROLLED_BACK = "justification", "rolled-back"
"""What is noted beside a version."""
_TIMED = 200

_DECISIONS = """
SELECT _assigned = '{challenger}' AS challenger, max(_at_us) + {horizon_us} <= {now_us} AS closed,
  max(_label::INT) AS outcome,
  sum(_label::INT * _worth_eur) AS value_eur, bool_or(_complained) AS complained, bool_or(_opted_out) AS opted_out
FROM log WHERE _source = 'decision' AND _arm = 'nba' AND ('{champion}' = '{prior}' OR _model <> '{prior}')
  AND _at_us >= {since_us} AND _assigned IN ('{challenger}', '{champion}')
GROUP BY _decision, _assigned ORDER BY _decision
"""
_SHADOWED = "SELECT count(DISTINCT _decision) AS n FROM log WHERE _shadow = '{challenger}'"
_OFFERS = """
SELECT _label, _propensity FROM log WHERE _source = 'decision' AND _arm = 'nba' AND _model = '{challenger}'
  AND _at_us >= {since_us} AND _label IS NOT NULL AND _action <> '{nothing}' ORDER BY _id
"""
_GROUPS = """
SELECT "{feature}"::VARCHAR AS part, count(*) AS decisions, count(*) FILTER (shown) AS shown,
  count(*) FILTER (label IS NOT NULL) AS labelled, count(*) FILTER (label) AS succeeded
FROM (SELECT _decision, any_value("{feature}") AS "{feature}", bool_or(_issue = '{issue}') AS shown,
    bool_or(_label) FILTER (_issue = '{issue}') AS label
  FROM log WHERE _source = 'decision' AND _arm = 'nba' AND _at_us >= {since_us} {whose} GROUP BY _decision)
WHERE "{feature}" IS NOT NULL GROUP BY part ORDER BY part
"""  # names of features and models follow patterns that hold no quotes


@dataclass(frozen=True, slots=True)
class Justification:
    """Why a version may serve although groups fare differently; signed with the workspace's secret."""

    by: str
    text: str

    def signed(self, about: str, breached: Sequence[str], at_us: int, secret: bytes) -> str:
        """The record that is kept beside the version: what was said, about what, and a signature over both."""
        said = {"about": about, "by": self.by, "at": iso(at_us), "text": self.text, "breached": sorted(breached)}
        return json.dumps({**said, "signature": _signature(said, secret)})


def _signature(said: Mapping[str, object], secret: bytes) -> str:
    return hmac.digest(secret, json.dumps(dict(said), sort_keys=True).encode(), "sha256").hex()


def genuine(record: str, secret: bytes) -> bool:
    """Whether a justification is as it was signed."""
    said = json.loads(record)
    return hmac.compare_digest(said.pop("signature"), _signature(said, secret))


def begin(registry: Registry, version: int | None, share: float, now_us: int) -> Result:
    """Puts a version, else the challenger, beside the champion: in shadow for share 0. A new share is a new trial."""
    if not 0.0 <= share <= 0.9:
        raise Refused("a trial's share lies between 0 (in shadow) and 0.9, so that there is a champion to compare with")
    found = version if version is not None else registry.alias_version(PROPENSITY, "challenger")
    if found is None:
        raise Refused(f"{PROPENSITY} has no challenger: train one, or name a version")
    if found == registry.lineup(PROPENSITY).champion:
        raise Refused(f"{PROPENSITY}@{found} is the champion, there is nothing to try")
    registry.set_alias(PROPENSITY, "challenger", found)
    trial = Running(found, share, now_us, f"{PROPENSITY}@{found}/{now_us}")
    registry.set_trial(PROPENSITY, trial)
    return {"model": f"{PROPENSITY}@{found}", "stage": stage_of(trial), "share": share, "since": iso(now_us)}


def stage_of(trial: Running) -> str:
    """In words."""
    return "share" if trial.share else "shadow"


def assess(
    log: DecisionLog, registry: Registry, release: Release, now_us: int, reward: Reward = "outcome"
) -> tuple[Verdict, Result]:
    """What the trial shows by now, from decisions all of whose windows have closed, whatever was shown; of harm, from
    all decisions.

    :raises Refused: there is no trial
    """
    lineup = registry.lineup(PROPENSITY)
    if lineup.trial is None:
        raise Refused(f"no challenger is on trial: begin one with `brain trial`{_rolled_back(registry)}")
    challenger = f"{PROPENSITY}@{lineup.trial.version}"
    told: Result = {"model": challenger, "stage": stage_of(lineup.trial), "share": lineup.trial.share}
    guards = [_latency(registry, lineup)]
    if lineup.trial.share == 0.0:
        shadowed = _one(log.query(_SHADOWED.format(challenger=challenger), release))
        return _of_shadow(guards, shadowed), {**told, "decisions": shadowed, "guards": [asdict(g) for g in guards]}
    known = _names(lineup, lineup.trial, release, now_us)
    decisions = log.query(_DECISIONS.format(**known), release)
    closed = decisions.filter(decisions["closed"])
    value = difference(_trial(closed, lineup.trial), _floats(closed[reward]), _bound(release, reward))
    everyone = _trial(decisions, lineup.trial)
    guards += _harm(everyone, decisions) + _promise(log, release, known)
    if everyone.challenger.any():  # else the groups would be those of the champion
        guards += fairness(log, release, now_us, challenger, always=True)
    verdict = judge(value, guards)
    return verdict, {
        **told,
        "decisions": len(closed),
        "open": len(decisions) - len(closed),
        "reward": reward,
        "value": asdict(value),
        "guards": [asdict(g) for g in guards],
    }


def _trial(decisions: pa.Table, running: Running) -> TrialOutcomes:
    return TrialOutcomes(_bools(decisions["challenger"]), running.share)


def _names(lineup: Lineup, trial: Running, release: Release, now_us: int) -> dict[str, object]:
    return {
        "challenger": propensity_name(trial.version),
        "prior": PRIOR_MODEL,
        "champion": propensity_name(lineup.champion),
        "since_us": trial.since_us,
        "now_us": now_us,
        "horizon_us": max((a.outcomes.window_us for a in release.actions.values()), default=0),
        "nothing": NOTHING,
    }


def _of_shadow(guards: Sequence[Guard], shadowed: int) -> Verdict:
    if any(g.state == "breached" for g in guards):
        return Verdict("roll back", "breached in shadow: " + ", ".join(g.name for g in guards if g.state == "breached"))
    if shadowed < SHADOWED:
        return Verdict("wait", f"{shadowed} decisions in shadow, {SHADOWED} are needed")
    return Verdict("promote", f"{shadowed} decisions in shadow: it may have a share of traffic")


def _bound(release: Release, reward: Reward) -> float:
    """The most that a decision can earn, from the catalogue and not from the data: twice what is dearest."""
    if reward == "outcome":
        return 1.0
    points = release.catalogue.settings.eur_per_point
    typical = [a.value.typical or a.value.constant_eur(points) or 0.0 for a in release.actions.values()]
    return 2.0 * max(typical, default=1.0) or 1.0


def _harm(trial: TrialOutcomes, decisions: pa.Table) -> list[Guard]:
    closed = _bools(decisions["closed"])
    return [
        harmless("complaints", trial, _bools(decisions["complained"]), EXTRA_COMPLAINTS, closed),
        harmless("opt-outs", trial, _bools(decisions["opted_out"]), EXTRA_OPT_OUTS, closed),
    ]


def _promise(log: DecisionLog, release: Release, known: Mapping[str, object]) -> list[Guard]:
    offers = log.query(_OFFERS.format(**known), release)
    everyone = TrialOutcomes(np.ones(len(offers), dtype=np.bool_), 0.5)
    return [calibrated(everyone, _bools(offers["_label"]), _floats(offers["_propensity"]))]


def _latency(registry: Registry, lineup: Lineup) -> Guard:
    if lineup.trial is None or lineup.champion is None:
        return fast(1.0, 1.0)
    mine, theirs = (registry.load(PROPENSITY, v) for v in (lineup.trial.version, lineup.champion))
    return fast(*map(median, zip(*((_score_ms(mine), _score_ms(theirs)) for _ in range(_TIMED)), strict=True)))


def _score_ms(model: PropensityModel) -> float:
    """Milliseconds to score every action for one customer; in turns with another's, so that what else the machine does
    slows both."""
    row = np.zeros(len(model.feature_names))
    actions = np.arange(len(model.actions), dtype=np.int64)
    began = time.perf_counter()
    model.score(row, actions, np.full(len(actions), -1, dtype=np.int64))
    return 1e3 * (time.perf_counter() - began)


def fairness(
    log: DecisionLog, release: Release, now_us: int, model: str | None = None, *, always: bool = False
) -> list[Guard]:
    """Per issue that sells and protected feature: the rates at which groups are selected, and succeed if selected.

    :param model: of its decisions alone, where it made any; else of all decisions of the last `FAIR_DAYS`
    :param always: with intervals that hold however often one looks
    """
    made = model is not None and _one(
        log.query(f"SELECT count(*) AS n FROM log WHERE _assigned = '{model}' AND _source = 'decision'", release)  # noqa: S608
    )
    about = {
        "since_us": now_us - FAIR_DAYS * DAY_US,
        "whose": f"AND _assigned = '{model}'" if made else "",
    }
    features = [
        f.name for f in release.schema.features.values() if "protected" in f.tags and f.dtype in ("enum", "bool")
    ]
    issues = sorted({a.issue for a in release.actions.values() if a.commercial})
    found: list[Guard] = []
    for issue in issues:
        for feature in features:
            rows = log.query(_GROUPS.format(feature=feature, issue=issue, **about), release).to_pylist()
            found += _of_groups(f"fairness.{issue}.selected.{feature}", rows, "shown", "decisions", always)
            found += _of_groups(f"fairness.{issue}.succeeded.{feature}", rows, "succeeded", "labelled", always)
    return found


def _of_groups(name: str, rows: Sequence[Mapping[str, int]], hits: str, of: str, always: bool) -> list[Guard]:
    return fair(name, {str(r["part"]): r[hits] for r in rows}, {str(r["part"]): r[of] for r in rows}, always=always)


def roll_back(registry: Registry, judged: Running, why: str, now_us: int) -> str:
    """Ends the trial that was judged, and keeps why beside the version; what was done, in words."""
    if registry.lineup(PROPENSITY).trial != judged:
        return "nothing: what was judged is not on trial any more"
    registry.set_trial(PROPENSITY, None)
    registry.write_note(PROPENSITY, judged.version, ROLLED_BACK, json.dumps({"at": iso(now_us), "why": why}))
    return "rolled back: the champion decides alone"


def _rolled_back(registry: Registry) -> str:
    """Of the last that was tried, if that is how it ended: when and why."""
    version = registry.alias_version(PROPENSITY, "challenger")
    said = None if version is None else registry.read_note(PROPENSITY, version, ROLLED_BACK)
    if said is None:
        return ""
    return "; {name}@{version} was rolled back at {at}, {why}".format(
        name=PROPENSITY, version=version, **json.loads(said)
    )


def promote(
    log: DecisionLog,
    registry: Registry,
    release: Release,
    now_us: int,
    *,
    secret: bytes,
    name: str = PROPENSITY,
    version: int | None = None,
    justification: Justification | None = None,
) -> Result:
    """Makes a version the champion and ends its trial.

    :raises Refused: as `workflow.promote`; and where groups fare too differently and nobody justifies it
    """
    chosen = version if version is not None else registry.alias_version(name, "challenger")
    guards = fairness(log, release, now_us, f"{name}@{chosen}") if name == PROPENSITY and chosen is not None else []
    breached = [f"{g.name} {g.value:.2f}" for g in guards if g.state == "breached"]
    if breached and justification is None:
        few = "; ".join(breached[:3])
        raise Refused(
            f"groups fare too differently ({few}; between 0.80 and 1.25 is fair): change what causes it, or give a "
            'reason that is kept with your name: brain promote --justify "…"'
        )
    made = make_champion(registry, release, name, version)
    if breached and justification is not None:
        record = justification.signed(made["model"], breached, now_us, secret)
        registry.write_note(name, made["version"], JUSTIFIED, record)
    trial = registry.lineup(name).trial
    if name == PROPENSITY and trial is not None and trial.version == made["version"]:
        registry.set_trial(name, None)
    return made


def _one(table: pa.Table) -> int:
    return int(table["n"][0].as_py())


def _bools(column: pa.ChunkedArray) -> Bools:
    return np.asarray(column.cast(pa.int8()).to_numpy(zero_copy_only=False)) > 0


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.nan_to_num(np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64))
