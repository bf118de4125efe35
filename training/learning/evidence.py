"""Statistical evidence about a challenger, which holds however often one looks at it.

Each decision of a trial is the challenger's with a known probability. A reward weighted by that probability is
therefore, on average, the difference between the two models, whatever else changes over time.

Harm is rare and counted, so bets against "it does no more harm" need no approximation. Their odds are fair if the
hypothesis is true, so that their capital ever reaches 1 / alpha with a probability of at most alpha (Ville 1939):
looking every few minutes causes no more errors than looking once. The bets are a mixture of fixed fractions, so the
capital depends on counts alone and not on their order.

Euros have no bound and heavy tails, and what one customer does on one day and the next is alike. So the difference of
rewards gets a confidence sequence that needs a finite variance alone, over the sums of customers. It is a limit theorem
for all times from a first one on, which is when `FEWEST_UNITS` customers have brought a reward.

Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024); Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence sequences, Annals of
Statistics 52 (2024); Bibaut, Kallus and Lindon, Near-optimal non-parametric sequential tests (2022).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lgamma, log
from statistics import NormalDist
from typing import Literal

import numpy as np

from decisioning.errors import Refused
from training.evaluation.policies import Reward
from training.fitting.intervals import ConfidenceInterval, effective_size
from training.model.frame import Bools, Floats, Ints

NextStep = Literal["promote", "wait", "roll back", "end"]
GuardState = Literal["kept", "open", "breached"]

ALPHA = 0.05
"""The probability, at most, that a challenger that is no better ever passes, over all the times that one looks."""
GUARD_ALPHA = 0.01
"""The same probability for each guardrail."""
SHARE_ALPHA = 0.001
"""The probability, at most, that the share of a sound trial is ever called off."""
FEWEST_UNITS = 50
"""Nothing is said of a difference until this many customers have brought a reward."""
FAIR_RATIO = (0.8, 1.25)
"""The range in which the rate of one group, divided by the rate of everybody else, counts as fair."""
_FRACTIONS = np.array([0.9, *(0.5 ** np.arange(1, 9))])
"""Fractions of the largest bet that cannot lose more than the capital. A lift of 10% on a rate of 2% is best bet on
with 0.06."""
_LARGEST_DIFFERENCE = 2.0
"""Rewards lie in [-1, 1], so no difference between two means is larger."""
_BISECTIONS = 50
_RATIO_BISECTIONS = 20
_TIGHTEST_UNITS = 200.0
"""Customers with a reward at about which the interval of a difference is closest to the usual one."""
_SHARE_WEIGHT = 100.0
"""Decisions that the prior of a wrong share is worth: it looks for shares some 5 points away from the declared one."""
_SAYS: dict[Reward, tuple[str, str, str]] = {
    "value_eur": ("earns more than the champion", "earns less than the champion", "to earn more than the champion"),
    "outcome": (
        "succeeds more often than the champion",
        "succeeds less often than the champion",
        "to succeed more often than the champion",
    ),
}
"""By reward: what is said of a challenger that is better, that is worse, and what is not yet shown."""
_TIGHTEST_INFORMATION = 10.0
"""1 / variance of a log ratio at about which the interval that holds at all times is closest to the usual one."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialOutcomes:
    """The decisions of a trial.

    `challenger`: bool (n,), whether the challenger made each decision. `share`: the probability that it would. `unit`:
    int (n,), a code of each decision's customer or account; None: no two decisions are of the same one.
    """

    challenger: Bools
    share: float
    unit: Ints | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise Refused("a trial needs decisions of both models: give the challenger a share between 0 and 1")

    def only(self, rows: Bools) -> "TrialOutcomes":
        """Return the decisions `rows` (n,) alone."""
        return TrialOutcomes(self.challenger[rows], self.share, None if self.unit is None else self.unit[rows])

    def per_unit(self, column: Floats) -> Floats:
        """Return the sums (k,) of a column (n,) per customer, of all k customers in the order of their codes."""
        return column if self.unit is None else np.asarray(np.bincount(self.unit, column), dtype=np.float64)

    @property
    def largest_weight(self) -> float:
        """The largest absolute value that a weighted reward can have, for rewards in [-1, 1]."""
        return 1.0 / min(self.share, 1.0 - self.share)

    def distinct_rewards(self, reward: Floats) -> tuple[Floats, Floats]:
        """Return the distinct weighted rewards (u,) and the count of each (u,), for `reward` (n,) within [-1, 1]."""
        values, counts = np.unique(weighted_rewards(self.challenger, reward, self.share), return_counts=True)
        return values, counts.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Guard:
    """The state of one guardrail: a measure that a challenger must not make worse.

    `limit` is how far `value` may go. `low` and `high` are None for a measure without an interval.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    limit: float
    state: GuardState


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next step for a challenger, and the reason in one line."""

    action: NextStep
    why: str


def log_evidence(counts: Floats, values: Floats, mean: float, lowest: float) -> Floats:
    """Return the log capital (...,) of bets against "the mean is at most `mean`".

    :param counts: (..., u), how often each of `values` (u,) was observed
    :param lowest: no value minus `mean` can be below `-lowest`
    """
    logs = [counts @ np.log1p(fraction / lowest * (values - mean)) for fraction in _FRACTIONS]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(_FRACTIONS)), dtype=np.float64)


def weighted_rewards(challenger: Bools, reward: Floats, share: float) -> Floats:
    """Return rewards (n,) whose mean estimates the challenger's mean reward minus the champion's (Horvitz and Thompson
    1952)."""
    return np.where(challenger, reward / share, -reward / (1.0 - share))


def reward_difference(trial: TrialOutcomes, reward: Floats, bound: float, alpha: float = ALPHA) -> ConfidenceInterval:
    """Return the challenger's mean reward per decision minus the champion's, with errors over customers.

    Each limit of the interval is right at all times with probability 1 - alpha. As long as fewer than `FEWEST_UNITS`
    customers brought a reward, the interval holds every possible difference.

    :param reward: (n,); a reward outside [-bound, bound] counts as the nearer bound
    :param bound: must not be chosen from the data
    """
    counted = np.clip(reward, -bound, bound)
    terms = weighted_rewards(trial.challenger, counted, trial.share)
    mean = float(terms.mean()) if len(terms) else 0.0
    rewarded = rewarded_units(trial, counted)
    half = _LARGEST_DIFFERENCE * bound
    if rewarded >= FEWEST_UNITS:
        deviations = trial.per_unit(terms - mean)
        half = float(difference_errors(np.asarray(rewarded), alpha) * np.sum(deviations**2) ** 0.5) / len(terms)
    return ConfidenceInterval(mean, mean - half, mean + half)


def rewarded_units(trial: TrialOutcomes, reward: Floats) -> float:
    """Return how many customers brought a reward (n,), or fewer where a small share makes few of them weigh much."""
    anybody = np.count_nonzero(trial.per_unit(np.abs(reward)))
    of_arm = [np.count_nonzero(trial.per_unit(np.abs(reward) * arm)) for arm in (trial.challenger, ~trial.challenger)]
    weights = np.repeat((1.0 / trial.share, 1.0 / (1.0 - trial.share)), of_arm)
    return min(float(anybody), effective_size(weights))


def difference_errors(rewarded: Floats, alpha: float) -> Floats:
    """Return how many standard errors below or above a difference hold at all times, each with 1 - alpha.

    :param rewarded: (...,) how many customers brought a reward so far, by `rewarded_units`; it stands for the time
    """
    return _mixture_errors(rewarded / _TIGHTEST_UNITS, 2.0 * alpha)


def _mixture_errors(information: Floats, alpha: float) -> Floats:
    """Return how many standard errors to either side hold at all times, (...,), closest to the usual number where the
    information (...,) is about 1 (Robbins 1970)."""
    errors = np.sqrt((1.0 + 1.0 / information) * (np.log1p(information) - 2.0 * np.log(alpha)))
    return np.asarray(errors, dtype=np.float64)


def _event_difference(trial: TrialOutcomes, event: Bools, alpha: float) -> ConfidenceInterval:
    """Return how many more events (n,) there are per decision of the challenger, by bets that are fair at any time."""
    values, counts = trial.distinct_rewards(event.astype(np.float64))
    mean = float(values @ counts / counts.sum()) if len(values) else 0.0
    low, high = (sign * _lower_limit(sign * values, counts, trial.largest_weight, alpha) for sign in (1.0, -1.0))
    return ConfidenceInterval(mean, low, high)


def design_effect(trial: TrialOutcomes, terms: Floats) -> float:
    """Return how much larger the squared error of a mean of terms (n,) is over customers than over independent
    decisions, at least 1 (Kish 1965). Evidence from decisions counts as that many times fewer."""
    deviations = terms - terms.mean() if len(terms) else terms
    alone = float(np.sum(deviations**2))
    return max(1.0, float(np.sum(trial.per_unit(deviations) ** 2)) / alone) if alone > 0.0 else 1.0


def share_is_off(by_challenger: int, decisions: int, share: float) -> bool:
    """Tell whether it is shown that the challenger was not drawn with the declared share.

    The test is the ratio of a mixture of other shares to the declared one, so that it may be made at any time (Lindon
    and Malek, Anytime-valid inference for multinomial count data, 2022).
    """
    a, b, rest = _SHARE_WEIGHT * share, _SHARE_WEIGHT * (1.0 - share), decisions - by_challenger
    mixture = _log_beta(a + by_challenger, b + rest) - _log_beta(a, b)
    return mixture - by_challenger * log(share) - rest * log(1.0 - share) >= -log(SHARE_ALPHA)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _lower_limit(values: Floats, counts: Floats, largest: float, alpha: float) -> float:
    """Return the largest mean that is refuted as an upper bound. Bisection works because evidence falls with the
    mean."""
    low, high = -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if log_evidence(counts, values, middle, largest + _LARGEST_DIFFERENCE) >= -np.log(alpha):
            low = middle
        else:
            high = middle
    return low


def harm_guard(name: str, trial: TrialOutcomes, event: Bools, limit: float, closed: Bools | None = None) -> Guard:
    """Compare how often an event (n,) follows a decision of the challenger and of the champion.

    The guard is kept once it is shown that the challenger causes less than `limit` more events per decision. It is
    breached as soon as it is shown that the challenger causes more events, and the estimate exceeds the limit. A breach
    does not wait for windows to close: if both models did the same, any event observed so far would be the challenger's
    with the probability of its share, so the bets are fair at any time. Events that only come sooner count as more.

    :param closed: (n,), decisions after which no more events can come, by default all; only these can show that the
        guard is kept
    """
    so_far = _event_difference(trial, event, GUARD_ALPHA)
    if so_far.low > 0.0 and so_far.value > limit:
        return Guard(name, so_far.value, so_far.low, so_far.high, limit, "breached")
    if closed is not None:
        trial, event = trial.only(closed), event[closed]
    extra = _event_difference(trial, event, GUARD_ALPHA)
    values, counts = trial.distinct_rewards(event.astype(np.float64))
    evidence = log_evidence(counts, -values, -limit, trial.largest_weight)
    alike = design_effect(trial, weighted_rewards(trial.challenger, event.astype(np.float64), trial.share))
    shown = evidence >= -np.log(GUARD_ALPHA) * alike
    return Guard(name, extra.value, extra.low, extra.high, limit, "kept" if shown else "open")


def calibration_guard(trial: TrialOutcomes, label: Bools, predicted: Floats) -> Guard:
    """Compare positive outcomes with predicted ones over the challenger's decisions; `label` and `predicted` are (n,).

    The guard is breached once the ratio of the two lies outside `FAIR_RATIO`.
    """
    own = trial.only(trial.challenger)
    actual, expected = label[trial.challenger].astype(np.float64), predicted[trial.challenger]
    ratio = float(actual.sum() / expected.sum()) if expected.sum() > 0.0 else 1.0
    alike = design_effect(own, actual - ratio * expected)
    low, high = (_ratio_limit(actual, expected, alike, upper=upper) for upper in (False, True))
    outside = low > FAIR_RATIO[1] or high < FAIR_RATIO[0]
    return Guard("calibration", ratio, low, high, FAIR_RATIO[1], "breached" if outside else "kept")


def _ratio_limit(actual: Floats, expected: Floats, alike: float, *, upper: bool) -> float:
    """Return a confidence limit of actual outcomes per expected one, by bisection on a log scale from 1/64 to 64.

    :param alike: the design effect of the customers
    """
    low, high, sign = -6.0, 6.0, -1.0 if upper else 1.0
    for _ in range(_RATIO_BISECTIONS):
        middle = (low + high) / 2.0
        ratio = 2.0**middle
        evidence = log_evidence(np.ones(len(actual)), sign * (actual - ratio * expected), 0.0, 1.0 + ratio)
        refuted = bool(evidence >= -np.log(GUARD_ALPHA) * alike)
        low, high = (middle, high) if refuted != upper else (low, middle)
    return float(2.0 ** (high if upper else low))


def risk_ratio(
    hits: int, rows: int, other_hits: int, other_rows: int, alpha: float, alike: float = 1.0, *, always: bool = False
) -> ConfidenceInterval | None:
    """Return the ratio of two rates with its interval, or None if one of the rates has no rows.

    Half an event is added to each, so that a rate without events is not taken for certain. Katz, Baptista, Azen and
    Pike, Obtaining confidence intervals for the risk ratio in cohort studies, Biometrics 34 (1978).

    :param alike: the design effect of the customers
    :param always: the interval is right at all times with probability 1 - alpha, not only when looked at once
    """
    if not rows or not other_rows:
        return None
    a, b = (hits + 0.5) / (rows + 0.5), (other_hits + 0.5) / (other_rows + 0.5)
    alone = 1 / (hits + 0.5) - 1 / (rows + 0.5) + 1 / (other_hits + 0.5) - 1 / (other_rows + 0.5)
    error = (alike * alone) ** 0.5
    z = _errors_at_all_times(error**2, alpha) if always else NormalDist().inv_cdf(1.0 - alpha / 2.0)
    return ConfidenceInterval(a / b, float(a / b * np.exp(-z * error)), float(a / b * np.exp(z * error)))


def _errors_at_all_times(variance: float, alpha: float) -> float:
    """Return how many standard errors to either side hold at all times, for an estimate of this variance."""
    # the variance is 0 if every row of both is a hit
    return float(_mixture_errors(np.asarray(1.0 / (_TIGHTEST_INFORMATION * max(variance, 1e-12))), alpha))


def latency_guard(challenger_ms: float, champion_ms: float, limit: float = 2.0) -> Guard:
    """Compare two scoring times; breached if the challenger takes over `limit` times as long and over a millisecond."""
    ratio = challenger_ms / champion_ms
    breached = ratio > limit and challenger_ms > 1.0
    return Guard("latency", ratio, None, None, limit, "breached" if breached else "kept")


def judge(
    value: ConfidenceInterval, guards: Sequence[Guard], reward: Reward = "value_eur", ends: str | None = None
) -> Verdict:
    """Return what to do with a challenger: roll back one that does harm or is worse, promote one that is shown to be
    better and to do no harm, end a trial that is not worth going on with, otherwise wait.

    :param reward: what `value` is a difference of; the verdict says so
    :param ends: why the trial ends if nothing is shown; None: it does not end yet
    """
    better, worse, not_shown = _SAYS[reward]
    if breached := _names_in(guards, "breached"):
        return Verdict("roll back", f"breached: {breached}")
    if value.high < 0.0:
        return Verdict("roll back", f"it {worse}")
    unshown = _names_in(guards, "open")
    if value.low > 0.0 and not unshown:
        return Verdict("promote", f"it {better}, and no guardrail is breached")
    shown_so_far = (
        f"it is not yet shown {not_shown}"
        if value.low <= 0.0
        else f"it {better}, and is not yet shown to do no harm: {unshown}"
    )
    return Verdict("wait", shown_so_far) if ends is None else Verdict("end", f"{ends}; {shown_so_far}")


def _names_in(guards: Iterable[Guard], state: GuardState) -> str:
    """Return the names of the guards in `state`, separated by commas."""
    return ", ".join(g.name for g in guards if g.state == state)
