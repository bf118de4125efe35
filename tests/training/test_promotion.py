"""A challenger that is no better is promoted no more often than stated, however often one looks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from tests.examples import examples
from tests.training.peeking import BASE, COMPLAINTS, LIFTED, LIMIT, TERMS, ever, gate, outcome, paths
from training.fitting.intervals import ConfidenceInterval
from training.learning.evidence import (
    FAIR_RATIO,
    GUARD_ALPHA,
    Guard,
    TrialOutcomes,
    calibration_guard,
    harm_guard,
    judge,
    latency_guard,
    log_evidence,
    reward_difference,
    risk_ratio,
    weighted_rewards,
)
from training.learning.fairness import Tally, group_guards


@pytest.mark.promise("trials.peeking")
def test_the_gate_over_simulated_trials_with_peeking() -> None:
    assert outcome(300, BASE, COMPLAINTS)[0] <= 0.05
    assert outcome(200, LIFTED, COMPLAINTS, seed=1_000)[0] >= 0.9
    promoted, rolled_back = outcome(200, LIFTED, 2 * COMPLAINTS, seed=2_000)
    assert (promoted, rolled_back) == (0.0, 1.0)


@pytest.mark.promise("trials.peeking")
@pytest.mark.parametrize(
    ("sale", "complaint", "action"),
    [(BASE, COMPLAINTS, "wait"), (1.5 * BASE, COMPLAINTS, "promote"), (1.5 * BASE, 2 * COMPLAINTS, "roll back")],
)
def test_thousands_at_once_are_judged_as_one_is(sale: float, complaint: float, action: str) -> None:
    """Compare the array version of the gate with the functions that judge a real trial, at ten looks."""
    looks = paths(1, 3, sale, complaint)[:, 39::40]
    promoted, rolled_back = gate(looks)
    assert (promoted[0], rolled_back[0]) == (action == "promote", action == "roll back")
    decisive = (a for a in (verdict(counts) for counts in looks[0]) if a != "wait")
    assert next(decisive, "wait") == action


def verdict(counts: np.ndarray) -> str:
    """Judge a trial row by row, given the counts of sales and complaints of each model, and of neither."""
    event = np.repeat(np.arange(5), counts)
    # which model made the decisions without an event changes nothing
    trial = TrialOutcomes((event == 0) | (event == 2), 0.5)
    sold, angry = reward_difference(trial, (event < 2).astype(float), 1.0), (event == 2) | (event == 3)
    return judge(sold, [harm_guard("complaints", trial, angry, LIMIT)]).action


@pytest.mark.promise("trials.peeking")
@pytest.mark.long
def test_two_thousand_simulated_trials_with_a_look_after_every_thousand_decisions() -> None:
    false = outcome(2_000, BASE, COMPLAINTS)[0]
    power = outcome(2_000, LIFTED, COMPLAINTS, seed=10_000)[0]
    promoted = outcome(2_000, LIFTED, 2 * COMPLAINTS, seed=20_000)[0]
    assert false <= 0.05
    assert power >= 0.9
    assert promoted == 0.0


@pytest.mark.promise("trials.peeking")
@pytest.mark.long
def test_two_thousand_simulated_trials_with_a_look_after_every_decision() -> None:
    false, power = ever(2_000, BASE, 0), ever(2_000, LIFTED, 1)
    assert false <= 0.05
    assert power >= 0.9


@pytest.mark.promise("trials.peeking")
@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_the_capital_of_a_fair_game_is_one_on_average(rewards: list[float], share: float, seed: int) -> None:
    """One decision has the same reward whichever model makes it; the mean over both is exact."""
    for reward in rewards:
        terms = weighted_rewards(np.array([True, False]), np.full(2, reward), share)
        capital = np.exp(log_evidence(np.eye(2), terms, 0.0, 1 / min(share, 1 - share) + 2))
        assert share * capital[0] + (1 - share) * capital[1] == pytest.approx(1.0, abs=1e-12)


def test_the_interval_holds_the_difference_and_narrows() -> None:
    rng, widths = np.random.default_rng(0), []
    for n in (1_000, 10_000, 100_000):
        challenger = rng.random(n) < 0.3
        reward = np.where(rng.random(n) < np.where(challenger, 0.06, 0.05), 120.0, 0.0) - 2.0
        interval = reward_difference(TrialOutcomes(challenger, 0.3), reward, 500.0)
        assert interval.low < 1.2 < interval.high
        assert interval.low < interval.value < interval.high
        widths.append(interval.high - interval.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_nothing_seen_says_nothing() -> None:
    empty = reward_difference(TrialOutcomes(np.zeros(0, dtype=bool), 0.5), np.zeros(0), 10.0)
    assert (empty.low, empty.high) == (pytest.approx(-20.0), pytest.approx(20.0))
    with pytest.raises(Refused, match="both models"):
        TrialOutcomes(np.zeros(0, dtype=bool), 1.0)


def test_a_guardrail_is_open_until_it_is_shown() -> None:
    rng = np.random.default_rng(1)
    challenger = rng.random(200_000) < 0.5
    same = rng.random(200_000) < 0.004
    worse = rng.random(200_000) < np.where(challenger, 0.02, 0.004)
    few = TrialOutcomes(challenger[:500], 0.5)
    assert harm_guard("complaints", few, same[:500], LIMIT).state == "open"
    assert harm_guard("complaints", TrialOutcomes(challenger, 0.5), same, LIMIT).state == "kept"
    assert harm_guard("complaints", TrialOutcomes(challenger, 0.5), worse, LIMIT).state == "breached"


def test_a_challenger_that_promises_too_much_is_not_calibrated() -> None:
    rng = np.random.default_rng(2)
    challenger, predicted = rng.random(8_000) < 0.5, rng.uniform(0.01, 0.1, 8_000)
    label = rng.random(8_000) < predicted
    good, bad = (
        calibration_guard(TrialOutcomes(challenger, 0.5), label, predicted),
        calibration_guard(TrialOutcomes(challenger, 0.5), label, 2 * predicted),
    )
    assert (good.state, bad.state) == ("kept", "breached")
    assert good.low is not None and good.low < 1.0 < (good.high or 0)  # noqa: PT018
    assert bad.high is not None and bad.high < 0.8  # noqa: PT018


@pytest.mark.promise("trials.no-harm-by-chance")
def test_harm_shows_before_windows_close_and_its_absence_only_afterwards() -> None:
    rng = np.random.default_rng(3)
    challenger = rng.random(20_000) < 0.5
    trial, worse = TrialOutcomes(challenger, 0.5), rng.random(20_000) < np.where(challenger, 0.03, 0.004)
    nobody, everybody = np.zeros(20_000, dtype=bool), np.ones(20_000, dtype=bool)
    assert harm_guard("complaints", trial, worse, LIMIT, closed=nobody).state == "breached"
    assert harm_guard("complaints", trial, nobody, LIMIT, closed=nobody).state == "open"
    assert harm_guard("complaints", trial, nobody, LIMIT, closed=everybody).state == "kept"


@pytest.mark.promise("trials.no-harm-by-chance")
def test_harm_that_is_looked_at_as_it_comes_is_not_found_by_chance() -> None:
    """Simulate 400 trials of equal models, with complaints days after decisions and a look after every complaint."""
    breached = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        decided = np.cumsum(rng.exponential(1.0, 3_000))
        complained_at = np.where(rng.random(3_000) < 0.05, decided + rng.exponential(1_000.0, 3_000), np.inf)
        challenger = (rng.random(3_000) < 0.5)[np.argsort(complained_at)][: int(np.isfinite(complained_at).sum())]
        counts = np.stack([challenger.cumsum(), (~challenger).cumsum()], axis=1).astype(float)
        breached += bool((log_evidence(counts, TERMS[:2], 0.0, 4.0) >= -np.log(GUARD_ALPHA)).any())
    assert breached <= 8


def strangers(hits: tuple[int, ...], rows: tuple[int, ...]) -> Tally:
    """Return counts of groups, f and m, in which everybody came once."""
    n = sum(rows)
    hit = np.concatenate([np.arange(r) < h for h, r in zip(hits, rows, strict=True)])
    group = np.repeat(np.arange(len(rows)), rows)
    return Tally(("f", "m")[: len(rows)], group, np.arange(n), np.ones(n), hit.astype(float))


@pytest.mark.promise("trials.no-harm-by-chance")
def test_groups_that_are_looked_at_all_the_time_are_no_sooner_found_unfair_by_chance() -> None:
    """Simulate groups at the limit of what is fair, with a look after every 100 decisions of each group."""
    breaches = {True: 0, False: 0}
    for seed in range(200):
        hits = np.random.default_rng(seed).binomial(100, [[0.25, 0.2]] * 100).cumsum(axis=0).tolist()
        for always in breaches:
            ratios = (
                risk_ratio(a, 100 * n, b, 100 * n, GUARD_ALPHA, always=always) for n, (a, b) in enumerate(hits, 1)
            )
            breaches[always] += any(r is not None and r.low > FAIR_RATIO[1] for r in ratios)
    assert breaches[True] <= 4 < breaches[False]
    assert [g.state for g in group_guards("x", strangers((50, 50), (50, 50)), always=True)] == ["kept", "kept"]


@pytest.mark.promise("trials.fairness")
def test_a_group_that_is_left_out_blocks_and_chance_does_not() -> None:
    states = {g.name: g.state for g in group_guards("grow.selected.sex", strangers((400, 800), (4_000, 4_000)))}
    assert states == {"grow.selected.sex=f": "breached", "grow.selected.sex=m": "breached"}
    assert {g.state for g in group_guards("x", strangers((4, 8), (40, 40)))} == {"kept"}
    assert group_guards("x", strangers((4,), (40,))) == []
    ratio = risk_ratio(30, 100, 60, 100, 0.05)
    assert ratio is not None
    assert (ratio.low, ratio.high) == pytest.approx((0.36, 0.71), abs=0.01)


def test_the_verdict_waits_for_what_is_not_shown() -> None:
    better, worse, unsure = ConfidenceInterval(2, 1, 3), ConfidenceInterval(-2, -3, -1), ConfidenceInterval(1, -1, 3)
    kept_guard, open_guard, breached_guard = (Guard("g", 0, 0, 0, 1, s) for s in ("kept", "open", "breached"))  # type: ignore[arg-type]
    assert judge(better, [kept_guard]).action == "promote"
    assert judge(better, [kept_guard, open_guard]).action == "wait"
    assert judge(better, [breached_guard]).action == "roll back"
    assert judge(unsure, [kept_guard]).action == "wait"
    assert judge(worse, [kept_guard]).action == "roll back"
    assert latency_guard(3.0, 1.0).state == "breached"
    assert latency_guard(0.3, 0.1).state == "kept"
