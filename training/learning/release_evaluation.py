"""`brain evaluate --against RELEASE`: what decisions would have earned, had another release made them, from the log.

Each decision alone is made otherwise: what it read, caps and suppression too, stays as it was. An offer that never
reached the customer earned nothing; leaving out decisions for that would choose them by what was drawn.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused, RequestError
from decisioning.facts.forms import Known, Scorer
from decisioning.review.what_if import Expected, Unsupported, WhatIf, what_if
from features.decisions.log import LOG, DecisionLog, Progress
from features.ledger import Ledger, Record
from features.ledger.as_of_decision import decisions_by_seq, known_at_decision
from training.evaluation.estimators import check_average, claim_of
from training.evaluation.policies import Reward
from training.evaluation.slates import WEIGHINGS, SlateEstimate, SlateLog, estimate_beyond_model, estimate_slates
from training.fitting.intervals import mean_interval
from training.model.frame import Floats
from training.reporting.reporting import Result
from training.rows.logged import ReleaseOf

AT_MOST = 20_000
"""Decisions that are made again: a few milliseconds each."""
_UNSUPPORTED = 1e-9
"""Of probability, above what rounding leaves."""
_TOLD = 20
_EARNED = """
SELECT _seq, list(_placement ORDER BY _id) AS placement, list(_rank ORDER BY _id) AS rank,
  list(coalesce(_label, false) ORDER BY _id) AS label,
  list(CASE WHEN _label THEN coalesce(_value_eur, 0.0) ELSE 0.0 END ORDER BY _id) AS value_eur,
  min(_at_us) AS at_us, any_value(_arm) = 'nba' AS nba
FROM log WHERE _source = 'decision' GROUP BY _seq ORDER BY _seq DESC
"""
_WHY = (
    "each decision alone is made otherwise, at its own time: caps, suppression and other history stay what they were, "
    "and what its release did not serve is unknown"
)
_MODEL = "model-based is what the scores of then expect of both; its interval leaves out that they may be wrong"
Rewards = dict[tuple[str, int], float]
"""What each slot earned, by placement and rank."""


@dataclass(frozen=True)
class Asked:
    """`other` in the place of the releases that decided; `scorer_of`: a model's name -> it over `other`'s candidates.

    `scorer_of` raises NotFound or Refused where the model is gone.
    """

    other: Release
    release_of: ReleaseOf
    scorer_of: Callable[[str], Scorer]
    reward: Reward = "outcome"
    outcome: str | None = None


@dataclass
class _Found:
    """The decisions that can be made again, one of each list for each, and how many cannot, by why."""

    made: list[WhatIf] = field(default_factory=list)
    earned: list[Rewards] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def against(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    asked: Asked,
    *,
    now_us: int,
    at_most: int = AT_MOST,
    progress: Progress | None = None,
) -> Result:
    """What `asked.other` would have earned per decision, against what was earned, with 95% intervals.

    :param release: the one that serves, whose outcomes label the log
    :raises Refused: no decision whose windows have closed can be made again, or no action has the outcome
    """
    if asked.outcome and not any(asked.outcome in a.outcomes.all for a in release.with_superseded.values()):
        raise Refused(f"no action of the release that serves has the outcome {asked.outcome}")
    log = DecisionLog(workspace_data / LOG)
    log.update(ledger, release, now_us, progress)
    found = _decided_again(ledger, _earned(log, release, asked, now_us, at_most), release, asked, progress)
    if not found.made:
        why = ", ".join(f"{n} {what}" for what, n in found.left_out.items()) or "none was made"
        raise Refused(f"no decision can be made again by {asked.other.hash}: {why}; wait until windows have closed")
    return _told(found, asked, at_most)


def _earned(
    log: DecisionLog, release: Release, asked: Asked, now_us: int, at_most: int
) -> tuple[dict[int, Rewards], Counter[str]]:
    """What each slot of the latest decisions earned, by the decision's `seq`; and how many were left out, by why.

    The longest window of all must have closed, not those of what was picked: else what has a short one comes too often.
    """
    until_us = now_us - max((a.outcomes.window_us for a in release.with_superseded.values()), default=0)
    rows = log.query(_EARNED, release, asked.outcome).to_pylist()
    usable = [r for r in rows if r["nba"] and r["at_us"] <= until_us]
    left_out = Counter({"control group": sum(not r["nba"] for r in rows), "older": len(usable[at_most:])})
    left_out["window still open"] = len(rows) - len(usable) - left_out["control group"]
    column = "label" if asked.reward == "outcome" else "value_eur"
    return {r["_seq"]: _rewards(r, column) for r in usable[:at_most]}, +left_out


def _rewards(row: Mapping[str, Any], column: str) -> Rewards:
    slots = zip(row["placement"], row["rank"], strict=True)
    return dict(zip(slots, map(float, row[column]), strict=True))


def _decided_again(
    ledger: Ledger,
    logged: tuple[dict[int, Rewards], Counter[str]],
    release: Release,
    asked: Asked,
    progress: Progress | None,
) -> _Found:
    earned, left_out = logged
    found = _Found(left_out=left_out)
    for done, record in enumerate(decisions_by_seq(ledger, earned)):
        if progress:
            progress(done, len(earned), "deciding again")
        made = _again(ledger, record, release, asked)
        if isinstance(made, WhatIf):
            found.made.append(made)
            found.earned.append(earned[record.seq])
        else:
            found.left_out[made] += 1
    return found


def _again(ledger: Ledger, record: Record, release: Release, asked: Asked) -> WhatIf | str:
    """The decision made by the other release, or why not."""
    body = record.body
    if body is None:
        return "erased"
    known, then = known_at_decision(ledger, record.stream, body), asked.release_of(body["release"])
    if _forgotten(known):
        return "erased"
    if any(then.candidates[c][0].id not in release.with_superseded for c in body["scores"]["candidates"]):
        return "action gone"
    try:
        return what_if(body, known, then, asked.other, lambda: asked.scorer_of(body["model"]))
    except (NotFound, Refused):
        return "model gone"
    except RequestError:
        return "not asked of this release"


def _forgotten(known: Known) -> bool:
    standings = (known.person, *known.person.visitors, *((known.account,) if known.account else ()))
    return any(s.erased for s in standings)


def _told(found: _Found, asked: Asked, at_most: int) -> Result:
    log, target = _slates(found)
    lacking, share, touched = _lacking(found.made)
    expected = _expected(found.made, asked.reward)
    estimates, refused = _estimates(log, target, expected, share, touched)
    whole = next(iter(estimates), None)
    return {
        "reward": asked.reward,
        "against": asked.other.hash,
        "decisions": len(found.made),
        "at_most": at_most,
        "left_out": dict(found.left_out),
        "logged": asdict(mean_interval(np.sum(log.reward, axis=1))),
        "estimates": [*(_row(e) for e in estimates), _model_based(*expected)],
        "claim": claim_of(whole.more if whole else None),
        "refused": refused,
        "unsupported_share": share,
        "unsupported_decisions": touched,
        "lacking": lacking,
        "why": f"{_WHY}; {_MODEL}",
    }


def _slates(found: _Found) -> tuple[SlateLog, Floats]:
    """The log of slates, and the other release's probability of every pick (n, m)."""
    shape = len(found.made), max(len(made.steps) for made in found.made)
    reward, logged, target = np.zeros(shape), np.ones(shape), np.ones(shape)
    for n, (made, earned) in enumerate(zip(found.made, found.earned, strict=True)):
        for m, step in enumerate(made.steps):
            reward[n, m] = earned[step.placement, step.rank]
            logged[n, m], target[n, m] = step.logged, min(step.other, 1.0)
    return SlateLog(reward, logged), target


def _expected(made: Sequence[WhatIf], reward: Reward) -> tuple[Floats, Floats]:
    """What the scores expect of each slate, as logged and as drawn by the other release, (n,) each."""
    return np.array([_of(one.logged, reward) for one in made]), np.array([_of(one.drawn, reward) for one in made])


def _estimates(
    log: SlateLog, target: Floats, expected: tuple[Floats, Floats], share: float, touched: float
) -> tuple[list[SlateEstimate], str | None]:
    """By all methods, whole slates first; or why the log supports none."""
    if share > _UNSUPPORTED:
        lost = f"{share:.1%} of its slates, in {touched:.1%} of the decisions, could not have been logged"
        return [], f"off-policy value: {lost} (see lacking), so no weighing of the log tells what they would earn"
    try:
        check_average(np.prod(target / log.probability, axis=1))
        weighed = [estimate_slates(log, target, method) for method in WEIGHINGS]
        return [*weighed, estimate_beyond_model(log, target, *expected)], None
    except Refused as refused:
        return [], str(refused)


def _lacking(made: Sequence[WhatIf]) -> tuple[list[Result], float, float]:
    """By action and what kept it out: its share of all slates, by probability, and of the decisions; both in all.

    A slot counts as often as the other release comes to it: by the weight of what was picked before.
    """
    share: dict[tuple[str, str], float] = defaultdict(float)
    decided: Counter[tuple[str, str]] = Counter()
    touched = 0
    for one in made:
        lacks = list(_weighed(one))
        touched += bool(lacks)
        decided.update({(lack.action, lack.why) for lack, _ in lacks})
        for lack, weight in lacks:
            share[lack.action, lack.why] += weight * lack.probability / len(made)
    rows: list[Result] = [
        {"action": action, "why": why, "share": found, "decisions": decided[action, why] / len(made)}
        for (action, why), found in sorted(share.items(), key=lambda item: (-item[1], item[0]))
    ]
    return rows[:_TOLD], fsum(share.values()), touched / len(made)


def _weighed(made: WhatIf) -> Iterator[tuple[Unsupported, float]]:
    weight = 1.0
    for step in made.steps:
        yield from ((lack, weight) for lack in step.lacks)
        weight *= step.other / step.logged
        if not weight:
            return


def _row(estimate: SlateEstimate) -> Result:
    return {
        "method": estimate.method,
        "value": asdict(estimate.interval),
        "more_than_logged": asdict(estimate.more),
        "claim": estimate.claim,
        "effective_decisions": estimate.effective,
        "average_weight": estimate.average,
    }


def _model_based(logged: Floats, drawn: Floats) -> Result:
    """The expected reward of what the other release draws, by the scores; nothing is claimed of it."""
    more = mean_interval(drawn - logged)
    none = {"claim": None, "effective_decisions": None, "average_weight": None}
    return {"method": "model-based", "value": asdict(mean_interval(drawn)), "more_than_logged": asdict(more), **none}


def _of(expected: Expected, reward: Reward) -> float:
    return expected.outcome if reward == "outcome" else expected.value_eur
