"""`brain evaluate --against RELEASE`: what decisions would have earned, had another release made them, from the log.

Each decision is made again alone: everything that it read, caps and suppression included, stays as it was. So an effect
that builds up over weeks is not fully measured. An offer that never reached the customer earned nothing. Leaving such
decisions out would select decisions by what was drawn.

If the other release may pick anything that the log could not hold, no weighing of the log is unbiased, and no estimate
is given. The claim is that of weighing whole slates, which assumes nothing about how slots affect each other. The
doubly robust estimate assumes nothing either, because it weighs only what was earned beyond what the scores expect; it
is narrower where the scores are right. What the scores alone expect (`model-based`) carries no claim.

While the windows of all decisions are open, nothing is known of what they earned. They are decided again all the same:
what the scores expect and what the log could not hold needs no outcome.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from typing import Any

import numpy as np
import pyarrow as pa

from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused, RequestError
from decisioning.facts.forms import Scorer
from decisioning.facts.standing_rules import united
from decisioning.review.what_if import Expected, Unsupported, WhatIf, what_if
from decisioning.times import iso
from features.decisions.log import Progress
from features.ledger import Record
from features.ledger.as_of_decision import KnownAtDecisions, decisions_by_seq, is_erased
from training.evaluation.estimators import check_average, claim_of
from training.evaluation.policies import Reward
from training.evaluation.slates import WEIGHINGS, SlateEstimate, SlateLog, estimate_beyond_model, estimate_slates
from training.fitting.intervals import MIN_CUSTOMERS, mean_interval
from training.learning.context import LearningContext, reads_log
from training.model.frame import Floats, Ints
from training.reporting.evidence_text import left_out_why, rests_on
from training.reporting.registration import Result

MOST_DECISIONS = 20_000
"""Decisions that are made again, at most: each takes a few milliseconds."""
_NEGLIGIBLE = 1e-9
"""A probability above what rounding leaves."""
_MOST_ROWS = 20
_EARNED = """
SELECT _seq, any_value(_customer) AS customer, list(_placement ORDER BY _id) AS placement,
  list(_rank ORDER BY _id) AS rank,
  list(coalesce(_succeeded, false) ORDER BY _id) AS label, list(coalesce(_earned_eur, 0.0) ORDER BY _id) AS value_eur,
  min(_at_us) AS at_us, any_value(_arm) = 'nba' AS nba
FROM log JOIN units USING (_stream)
WHERE _source = 'decision' GROUP BY _seq ORDER BY _seq DESC
"""
_WHY = (
    "each decision alone is made otherwise, at its own time: caps, suppression and other history stay what they were, "
    "and what its release did not serve is unknown"
)
_MODEL = "model-based is what the scores of then expect of both; its interval leaves out that they may be wrong"
Rewards = dict[tuple[str, int], float]
"""What each slot of a decision earned, by placement and rank."""


@dataclass(frozen=True)
class ReleaseQuestion:
    """What is asked of the log: the value of `other` in place of the releases that decided.

    `scorer_of` returns the model of a name, over the candidates of `other`; it raises NotFound or Refused if the model
    is gone. `outcome` labels the log instead of each action's positive outcomes.
    """

    other: Release
    scorer_of: Callable[[str], Scorer]
    reward: Reward = "outcome"
    outcome: str | None = None
    at_most: int = MOST_DECISIONS


@dataclass(frozen=True)
class _Logged:
    """What the decisions to make again earned and whose they are, by `seq`, and how many were left out, by reason.

    `open_until_us`: when the last window closes, if no decision's windows have closed, so that nothing is known of what
    they earned.
    """

    earned: dict[int, Rewards]
    customer: dict[int, str]
    left_out: Counter[str]
    open_until_us: int | None = None


@dataclass
class _Remade:
    """The decisions that could be made again, what each earned and whose it is, and how many could not, by reason."""

    decisions: list[WhatIf] = field(default_factory=list)
    earned: list[Rewards] = field(default_factory=list)
    customer: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    open_until_us: int | None = None


@dataclass(frozen=True)
class _Support:
    """How far the log supports what the other release would choose.

    `rows`: per (action, gate) the share of slates, weighted by probability, and the share of decisions in which the
    gate removed the action. `share` and `decisions` are the totals of both.
    """

    rows: list[Result]
    share: float
    decisions: float


@reads_log
def evaluate_release(
    context: LearningContext, question: ReleaseQuestion, *, now_us: int, progress: Progress | None = None
) -> Result:
    """Return what `question.other` would have earned per decision, and what was earned, with 95% intervals.

    Outcomes label the log as the release that serves declares them. If no window has closed yet, only what the scores
    expect is told.

    :raises Refused: no decision can be made again, or no action has the outcome
    """
    actions = context.release.with_superseded.values()
    if question.outcome and not any(question.outcome in a.outcomes.all for a in actions):
        raise Refused(f"no action of the release that serves has the outcome {question.outcome}")
    table = context.updated_log(now_us, progress).query(_EARNED, context.release, question.outcome)
    longest_us = max((a.outcomes.window_us for a in actions), default=0)
    remade = _remake(context, _logged(table, question, now_us, longest_us), question, progress)
    if not remade.decisions:
        why = ", ".join(f"{n} {what}" for what, n in remade.left_out.items()) or "none was made"
        raise Refused(f"no decision can be made again by {question.other.hash}: {why}; wait until windows have closed")
    return _result(remade, question)


def _logged(table: pa.Table, question: ReleaseQuestion, now_us: int, longest_us: int) -> _Logged:
    """Select the latest decisions whose windows have closed; if there is none, the latest of all.

    The longest window of all counts for each. Waiting only for the window of the action that was picked would select
    actions with short windows too often.
    """
    rows = table.to_pylist()
    nba = [r for r in rows if r["nba"]]
    closed = [r for r in nba if r["at_us"] <= now_us - longest_us]
    usable = closed or nba
    left_out = Counter({"control group": len(rows) - len(nba), "older": len(usable[question.at_most :])})
    left_out["window still open"] = len(nba) - len(usable)
    column = "label" if question.reward == "outcome" else "value_eur"
    used = usable[: question.at_most]
    earned = {r["_seq"]: _rewards(r, column) for r in used}
    open_until_us = None if closed or not nba else max(r["at_us"] for r in nba) + longest_us
    return _Logged(earned, {r["_seq"]: r["customer"] for r in used}, +left_out, open_until_us)


def _rewards(row: Mapping[str, Any], column: str) -> Rewards:
    slots = zip(row["placement"], row["rank"], strict=True)
    return dict(zip(slots, map(float, row[column]), strict=True))


def _remake(context: LearningContext, logged: _Logged, question: ReleaseQuestion, progress: Progress | None) -> _Remade:
    remade = _Remade(left_out=logged.left_out, open_until_us=logged.open_until_us)
    before = KnownAtDecisions(context.ledger)
    for n, record in enumerate(decisions_by_seq(context.ledger, logged.earned)):
        if progress:
            progress(n, len(logged.earned), "deciding again")
        decision = _decide_again(context, before, record, question)
        if isinstance(decision, WhatIf):
            remade.decisions.append(decision)
            remade.earned.append(logged.earned[record.seq])
            remade.customer.append(logged.customer[record.seq])
        else:
            remade.left_out[decision] += 1
    return remade


def _decide_again(
    context: LearningContext, before: KnownAtDecisions, record: Record, question: ReleaseQuestion
) -> WhatIf | str:
    """Return the decision as the other release makes it, or the reason why it cannot be made again."""
    body = record.body
    if body is None:
        return "erased"
    release = context.release_of(body["release"])
    rules = united((release.standing_rules, question.other.standing_rules))
    known = before.known(record.stream, body, rules)
    if is_erased(known):
        return "erased"
    actions = context.release.with_superseded
    if any(release.candidates[c][0].id not in actions for c in body["scores"]["candidates"]):
        return "action gone"
    try:
        return what_if(body, known, release, question.other, lambda: question.scorer_of(body["model"]))
    except (NotFound, Refused):
        return "model gone"
    except RequestError:
        return "not asked of this release"


def _result(remade: _Remade, question: ReleaseQuestion) -> Result:
    log, target = _slates(remade)
    support = _support(remade.decisions)
    expected = _expected(remade.decisions, question.reward)
    estimates, refused = _known_estimates(remade, log, target, expected, support)
    whole = next(iter(estimates), None)
    customers, is_open = len(set(remade.customer)), remade.open_until_us is not None
    return {
        "reward": question.reward,
        "against": question.other.hash,
        "decisions": len(remade.decisions),
        "customers": customers,
        "needed_customers": MIN_CUSTOMERS,
        "at_most": question.at_most,
        "rests_on": rests_on(len(remade.decisions), customers),
        "left_out": dict(remade.left_out),
        "left_out_why": left_out_why(remade.left_out),
        "logged": None if is_open else asdict(mean_interval(np.sum(log.reward, axis=1), unit=log.unit)),
        "estimates": [*(_row(e) for e in estimates), _model_based(*expected, log.unit)],
        "claim": claim_of(whole.more if whole else None),
        "refused": refused,
        "unsupported_share": support.share,
        "unsupported_decisions": support.decisions,
        "lacking": support.rows,
        "why": f"{_WHY}; {_MODEL}",
    }


def _slates(remade: _Remade) -> tuple[SlateLog, Floats]:
    """Return the log of slates, and the other release's probability of every pick (n, m)."""
    shape = len(remade.decisions), max(len(decision.steps) for decision in remade.decisions)
    reward, logged, target = np.zeros(shape), np.ones(shape), np.ones(shape)
    for n, (decision, earned) in enumerate(zip(remade.decisions, remade.earned, strict=True)):
        for m, step in enumerate(decision.steps):
            reward[n, m] = earned[step.placement, step.rank]
            logged[n, m], target[n, m] = step.logged, min(step.other, 1.0)
    _, unit = np.unique(np.array(remade.customer), return_inverse=True)
    return SlateLog(reward, logged, unit.astype(np.int64)), target


def _expected(remade: Sequence[WhatIf], reward: Reward) -> tuple[Floats, Floats]:
    """Return what the scores expect of each slate, as logged and as drawn by the other release, (n,) each."""
    logged = np.array([_reward_of(one.logged, reward) for one in remade])
    return logged, np.array([_reward_of(one.drawn, reward) for one in remade])


def _known_estimates(
    remade: _Remade, log: SlateLog, target: Floats, expected: tuple[Floats, Floats], support: _Support
) -> tuple[list[SlateEstimate], str | None]:
    """Return what `_estimates` does, or none and until when windows are open, if nothing is known of outcomes yet."""
    if remade.open_until_us is None:
        return _estimates(log, target, expected, support)
    until = iso(remade.open_until_us)[:10]
    why = f"outcomes of all {len(remade.decisions)} decisions may still come, the last until {until}"
    return [], f"off-policy value: {why}; until then, model-based is all that can be told"


def _estimates(
    log: SlateLog, target: Floats, expected: tuple[Floats, Floats], support: _Support
) -> tuple[list[SlateEstimate], str | None]:
    """Return the estimates by all methods, whole slates first; or none, and why the log supports none."""
    if support.share > _NEGLIGIBLE:
        lost = f"{support.share:.1%} of its slates, in {support.decisions:.1%} of the decisions"
        unweighed = "so no weighing of the log tells what they would earn"
        return [], f"off-policy value: {lost}, could not have been logged (see lacking), {unweighed}"
    try:
        check_average(np.prod(target / log.probability, axis=1))
        weighed = [estimate_slates(log, target, method) for method in WEIGHINGS]
        return [*weighed, estimate_beyond_model(log, target, *expected)], None
    except Refused as refused:
        return [], str(refused)


def _support(remade: Sequence[WhatIf]) -> _Support:
    """Sum up what the other release would choose and the log could not hold.

    A slot counts as often as the other release comes to it: by the weight of what was picked before.
    """
    share: dict[tuple[str, str], float] = defaultdict(float)
    decided: Counter[tuple[str, str]] = Counter()
    touched = 0
    for one in remade:
        unsupported = list(_weighed(one))
        touched += bool(unsupported)
        decided.update({(choice.action, choice.why) for choice, _ in unsupported})
        for choice, weight in unsupported:
            share[choice.action, choice.why] += weight * choice.probability / len(remade)
    rows: list[Result] = [
        {"action": action, "why": why, "share": part, "decisions": decided[action, why] / len(remade)}
        for (action, why), part in sorted(share.items(), key=lambda item: (-item[1], item[0]))
    ]
    return _Support(rows[:_MOST_ROWS], fsum(share.values()), touched / len(remade))


def _weighed(remade: WhatIf) -> Iterator[tuple[Unsupported, float]]:
    """Yield each unsupported choice with the weight of the picks before it."""
    weight = 1.0
    for step in remade.steps:
        yield from ((choice, weight) for choice in step.unsupported)
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


def _model_based(logged: Floats, drawn: Floats, unit: Ints | None) -> Result:
    """Return the expected reward of what the other release draws, by the scores; nothing is claimed of it."""
    value, more = (asdict(mean_interval(terms, unit=unit)) for terms in (drawn, drawn - logged))
    none = {"claim": None, "effective_decisions": None, "average_weight": None}
    return {"method": "model-based", "value": value, "more_than_logged": more, **none}


def _reward_of(expected: Expected, reward: Reward) -> float:
    return expected.outcome if reward == "outcome" else expected.value_eur
