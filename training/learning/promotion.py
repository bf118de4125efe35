"""Whether a challenger may serve: evidence that holds however often one looks at it.

Each decision of a trial is the challenger's with a known probability, so that the reward, weighted by it, is on average
the difference between the two models whatever else changes over time. Evidence against "no better" is the capital of
bets on that, whose odds were fair if it were true: it ever reaches 1 / alpha with probability alpha at most (Ville
1939), so looking every few minutes costs no more errors than looking once. Bets are a mixture of fixed fractions, so
the capital needs counts alone and no order.

Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024); Howard, Ramdas,
McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.fitting.intervals import ConfidenceInterval
from training.model.frame import Bools, Floats

Action = Literal["promote", "wait", "roll back"]
State = Literal["kept", "open", "breached"]

ALPHA = 0.05
"""How often a challenger that is no better may pass, at most, over all the times that one looks."""
GUARD_ALPHA = 0.01
FAIR = (0.8, 1.25)
"""Between these a rate of one group may lie, as a share of the rate of everybody else."""
_FRACTIONS = np.array([0.9, *(0.5 ** np.arange(1, 9))])
"""Of the largest bet that cannot lose more than there is; a lift of 10% on a rate of 2% is best bet on with 0.06."""
_WIDEST = 2.0
"""Rewards lie in [-1, 1], so no difference is larger."""
_STEPS = 50
_FIRST_TOLD = 10.0
"""1 / variance of a log ratio at about which an interval that holds at all times gives away least."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialOutcomes:
    """Matured decisions of a trial: whose each was, bool (n,), and the probability that it was the challenger's."""

    challenger: Bools
    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise Refused("a trial needs decisions of both models: give the challenger a share between 0 and 1")

    @property
    def largest(self) -> float:
        """No weighted reward is further from 0, for rewards in [-1, 1]."""
        return 1.0 / min(self.share, 1.0 - self.share)

    def terms(self, reward: Floats) -> tuple[Floats, Floats]:
        """The weighted rewards that occur (u,), and how often (u,); of `reward` (n,) within [-1, 1]."""
        found, seen = np.unique(weighted(self.challenger, reward, self.share), return_counts=True)
        return found, seen.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Guard:
    """Something that must not get worse. `limit`: how far `value` may go; the interval is None where nothing varies."""

    name: str
    value: float
    low: float | None
    high: float | None
    limit: float
    state: State


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the challenger, and why, in a line."""

    action: Action
    why: str


def log_evidence(counts: Floats, terms: Floats, mean: float, lowest: float) -> Floats:
    """Log capital (...,) against "the mean is at most `mean`", after `counts` (..., u) sights of each of `terms` (u,).

    :param lowest: no term less `mean` can ever be below `-lowest`
    """
    logs = [counts @ np.log1p(fraction / lowest * (terms - mean)) for fraction in _FRACTIONS]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(_FRACTIONS)), dtype=np.float64)


def weighted(challenger: Bools, reward: Floats, share: float) -> Floats:
    """Rewards (n,) whose mean is the challenger's mean reward less the champion's (Horvitz and Thompson 1952)."""
    return np.where(challenger, reward / share, -reward / (1.0 - share))


def difference(trial: TrialOutcomes, reward: Floats, bound: float, alpha: float = ALPHA) -> ConfidenceInterval:
    """Challenger less champion, reward per decision; each limit is right at all times with probability 1 - alpha.

    :param reward: (n,); what lies outside [-bound, bound] counts as `bound`, which must not be chosen from the data
    """
    terms, counts = trial.terms(np.clip(reward / bound, -1.0, 1.0))
    value = float(terms @ counts / counts.sum()) if len(terms) else 0.0
    low, high = _limit(terms, counts, trial.largest, alpha), -_limit(-terms, counts, trial.largest, alpha)
    return ConfidenceInterval(bound * value, bound * low, bound * high)


def _limit(terms: Floats, counts: Floats, largest: float, alpha: float) -> float:
    """The largest mean that is refuted as an upper bound; by bisection, as evidence falls with the mean."""
    low, high = -_WIDEST, _WIDEST
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if log_evidence(counts, terms, middle, largest + _WIDEST) >= -np.log(alpha):
            low = middle
        else:
            high = middle
    return low


def harmless(name: str, trial: TrialOutcomes, event: Bools, limit: float, closed: Bools | None = None) -> Guard:
    """Kept once it is shown that the challenger brings less than `limit` more of an event (n,) per decision.

    Breached as soon as it is shown to bring more, and seems to bring more than the limit: by now, without waiting for
    windows to close. If both did the same, whatever came by now would be the challenger's with the probability of its
    share, so these bets are fair too. Sooner counts as more.

    :param closed: (n,) decisions of which nothing can come any more, by default all; only these show that it is kept
    """
    by_now = difference(trial, event.astype(np.float64), 1.0, GUARD_ALPHA)
    if by_now.low > 0.0 and by_now.value > limit:
        return Guard(name, by_now.value, by_now.low, by_now.high, limit, "breached")
    if closed is not None:
        trial, event = TrialOutcomes(trial.challenger[closed], trial.share), event[closed]
    extra = difference(trial, event.astype(np.float64), 1.0, GUARD_ALPHA)
    terms, counts = trial.terms(event.astype(np.float64))
    shown = log_evidence(counts, -terms, -limit, trial.largest) >= -np.log(GUARD_ALPHA)
    return Guard(name, extra.value, extra.low, extra.high, limit, "kept" if shown else "open")


def calibrated(trial: TrialOutcomes, label: Bools, predicted: Floats) -> Guard:
    """Breached once what came, per predicted, lies outside `FAIR` for the challenger's decisions, all (n,)."""
    came, said = label[trial.challenger].astype(np.float64), predicted[trial.challenger]
    low, high = (_ratio_limit(came, said, upper=upper) for upper in (False, True))
    value = float(came.sum() / said.sum()) if said.sum() > 0.0 else 1.0
    outside = low > FAIR[1] or high < FAIR[0]
    return Guard("calibration", value, low, high, FAIR[1], "breached" if outside else "kept")


def _ratio_limit(came: Floats, said: Floats, *, upper: bool) -> float:
    """The confidence limit of what came per predicted, by bisection over 1/64 to 64, on a log scale."""
    low, high, sign = -6.0, 6.0, -1.0 if upper else 1.0
    for _ in range(20):
        middle = (low + high) / 2.0
        ratio = 2.0**middle
        against = log_evidence(np.ones(len(came)), sign * (came - ratio * said), 0.0, 1.0 + ratio)
        refuted = bool(against >= -np.log(GUARD_ALPHA))
        low, high = (middle, high) if refuted != upper else (low, middle)
    return float(2.0 ** (high if upper else low))


def fair(name: str, hits: Mapping[str, int], rows: Mapping[str, int], *, always: bool = False) -> list[Guard]:
    """Each group's rate as a share of everybody else's; breached where its interval lies outside `FAIR`.

    Katz, Baptista, Azen and Pike, Obtaining confidence intervals for the risk ratio in cohort studies, Biometrics 34
    (1978); 99% over all groups together (Bonferroni).

    :param always: and over all the times that one looks
    """
    found = []
    for group in sorted(rows):
        others, others_hits = sum(rows.values()) - rows[group], sum(hits.values()) - hits[group]
        ratio = risk_ratio(hits[group], rows[group], others_hits, others, GUARD_ALPHA / len(rows), always=always)
        if ratio is not None:
            breached = ratio.low > FAIR[1] or ratio.high < FAIR[0]
            state: State = "breached" if breached else "kept"
            found.append(Guard(f"{name}={group}", ratio.value, ratio.low, ratio.high, FAIR[1], state))
    return found


def risk_ratio(
    hits: int, rows: int, other_hits: int, other_rows: int, alpha: float, *, always: bool = False
) -> ConfidenceInterval | None:
    """One rate per another with its interval; None where one of them cannot be told. Half an event is added to each,
    so that no event at all is no certainty.

    :param always: right at all times with probability 1 - alpha, not only when looked at once
    """
    if not rows or not other_rows:
        return None
    a, b = (hits + 0.5) / (rows + 0.5), (other_hits + 0.5) / (other_rows + 0.5)
    error = (1 / (hits + 0.5) - 1 / (rows + 0.5) + 1 / (other_hits + 0.5) - 1 / (other_rows + 0.5)) ** 0.5
    z = _at_all_times(error**2, alpha) if always else NormalDist().inv_cdf(1.0 - alpha / 2.0)
    return ConfidenceInterval(a / b, float(a / b * np.exp(-z * error)), float(a / b * np.exp(z * error)))


def _at_all_times(variance: float, alpha: float) -> float:
    """How many standard errors to either side hold at all times, of an estimate of this variance (Robbins 1970)."""
    gained = 1.0 / (_FIRST_TOLD * max(variance, 1e-12))  # it is 0 where nobody of either was left out
    return float(np.sqrt((1.0 + 1.0 / gained) * (np.log1p(gained) - 2.0 * np.log(alpha))))


def fast(challenger_ms: float, champion_ms: float, limit: float = 2.0) -> Guard:
    """Breached where scoring takes more than `limit` times as long, and more than a millisecond."""
    ratio = challenger_ms / champion_ms
    breached = ratio > limit and challenger_ms > 1.0
    return Guard("latency", ratio, None, None, limit, "breached" if breached else "kept")


def judge(value: ConfidenceInterval, guards: Sequence[Guard]) -> Verdict:
    """Roll back what does harm or earns less, promote what is shown to earn more and to do no harm, else wait."""
    breached = _named(guards, "breached")
    if breached:
        return Verdict("roll back", f"breached: {breached}")
    if value.high < 0.0:
        return Verdict("roll back", "it earns less than the champion")
    if value.low <= 0.0:
        return Verdict("wait", "it is not yet shown to earn more than the champion")
    unshown = _named(guards, "open")
    if unshown:
        return Verdict("wait", f"it earns more, and is not yet shown to do no harm: {unshown}")
    return Verdict("promote", "it earns more than the champion, and no guardrail is breached")


def _named(guards: Iterable[Guard], state: State) -> str:
    return ", ".join(g.name for g in guards if g.state == state)
