"""What a trial claims: more euros, no harm, a fair draw, and when it ends."""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from features.ledger import Ledger
from tests.benchmarks.claims import trial as worlds
from tests.permits import make_champion, model_permit
from tests.training.decided import DAY_US, THEN_US
from tests.training.trial_help import (
    FILES,
    NOW_US,
    RELEASE,
    context_of,
    copy_of,
    judged,
    on_trial,
    open_ledger,
    serve,
)
from training.learning.context import LearningContext
from training.learning.evidence import TrialOutcomes, Verdict, harm_guard, reward_difference, share_is_off
from training.learning.fairness import fairness_guards
from training.learning.promotion import Justification, promote
from training.learning.retrain import guard, retrain
from training.learning.trials import assess, begin
from training.registry import Lineup, Registry
from training.tracking import Provenance

SHORT_FILES = {name: re.sub("window_days: [0-9]+", "window_days: 3", text) for name, text in FILES.items()}
SHORT = Release.from_bytes(pack(SHORT_FILES))
"""The catalogue of the trials with windows of three days, after which complaints still come for a month."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    with open_ledger(tmp_path) as opened:
        opened.put_release(pack(SHORT_FILES))
        yield opened


@pytest.fixture(scope="module")
def registry(two_models: Registry, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of two equal models, for tests that promote none of them."""
    return copy_of(two_models, tmp_path_factory.mktemp("registry"))


@pytest.fixture
def models(two_models: Registry, tmp_path: Path) -> Registry:
    """Return a registry of two equal models, the first of which serves and the second is on trial."""
    return on_trial(copy_of(two_models, tmp_path))


@pytest.fixture(autouse=True)
def larger_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the limits of harm: to show less than 2 in 100 takes a tenth of the decisions of 2 in 1,000."""
    monkeypatch.setattr("training.learning.trials.EXTRA_COMPLAINTS", 0.02)
    monkeypatch.setattr("training.learning.trials.EXTRA_OPT_OUTS", 0.02)


def assess_at(context: LearningContext, now_us: int) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict on the trial after the log was brought up to date."""
    context.updated_log(now_us)
    return assess(context, now_us)


@pytest.mark.promise("trials.euros")
def test_who_sells_for_9_euros_to_many_does_not_beat_who_sells_for_100_to_few(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    models = on_trial(registry)
    serve(ledger, 900, (0.1, 0.3), eur=(100.0, 9.0))
    by_euros = context_of(tmp_path, ledger, models)
    action, _, summary = judged(by_euros)
    assert (action, assess(by_euros, NOW_US)[0].why) == ("roll back", "it earns less than the champion")
    assert summary["value"]["high"] < 0.0
    assert (summary["reward"], summary["customers"]) == ("value_eur", 900)
    by_outcomes, _ = assess(context_of(tmp_path, ledger, models, reward="outcome"), NOW_US)
    assert by_outcomes.why == "it succeeds more often than the champion, and no guardrail is breached"


@pytest.mark.promise("trials.euros")
def test_help_that_was_read_is_no_win(ledger: Ledger, registry: Registry, tmp_path: Path) -> None:
    serve(ledger, 400, (0.3, 0.9), issues=("grow", "service"))
    models = on_trial(registry)
    for reward in ("value_eur", "outcome"):
        verdict, summary = assess_at(context_of(tmp_path, ledger, models, reward=reward), NOW_US)
        assert verdict.action == "roll back"
        assert summary["value"]["value"] < 0.0


@pytest.mark.promise("trials.late-harm")
def test_no_harm_is_shown_only_once_complaints_can_have_come(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    """Windows close on day 3. The challenger's complaints come on day 20, 6 in 100 more than the champion's."""
    harm: dict[str, Any] = {"complaints": (0.0, 0.06), "complain_days": 20}
    context = context_of(tmp_path, ledger, on_trial(registry), SHORT)
    for day, action, state, kinds in (
        (3.5, "wait", "open", ("decision", "bought")),
        (31.0, "roll back", "breached", ("complained",)),
    ):
        serve(ledger, 900, (0.05, 0.3), **harm, kinds=kinds)
        verdict, summary = assess_at(context, THEN_US + round(day * DAY_US))
        complaints = next(g for g in summary["guards"] if g["name"] == "complaints")
        assert (verdict.action, complaints["state"], summary["decisions"]) == (action, state, 900), day


@pytest.mark.promise("trials.late-harm")
def test_harm_that_shows_after_the_promotion_brings_the_champion_before_back(
    ledger: Ledger, models: Registry, tmp_path: Path
) -> None:
    harm: dict[str, Any] = {"complaints": (0.0, 0.1), "complain_days": 20}
    serve(ledger, 500, (0.05, 0.3), **harm, kinds=("decision", "bought"))
    context = context_of(tmp_path, ledger, models, SHORT)
    signed = Justification("a.jansen", "the campaign begins")
    promote(context, THEN_US + 4 * DAY_US, justification=signed)
    assert models.lineup("propensity") == Lineup(2, None)
    assert guard(context, THEN_US + 10 * DAY_US)["did"] == "nothing"
    serve(ledger, 500, (0.05, 0.3), **harm, kinds=("complained",))
    result = guard(context, THEN_US + 24 * DAY_US)
    assert (result["why"], result["did"]) == (
        "breached after its promotion: complaints",
        "rolled back: propensity@1 serves again",
    )
    assert models.lineup("propensity") == Lineup(1, None)
    assert guard(context, THEN_US + 25 * DAY_US) == {"did": "nothing: no challenger is on trial"}


@pytest.mark.promise("trials.drawn")
def test_nothing_is_judged_while_the_share_is_not_the_declared_one(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    """Equal models; the challenger makes 38% of the decisions where 50% are declared."""
    serve(ledger, 600, (0.3, 0.3), drawn=0.38)
    verdict, summary = assess_at(context_of(tmp_path, ledger, on_trial(registry)), NOW_US)
    assert verdict.action == "wait"
    assert verdict.why.startswith("the challenger made 3")
    assert "nothing is judged until that is explained" in verdict.why
    assert (summary["value"], summary["guards"]) == (None, [])


@pytest.mark.promise("trials.drawn")
def test_decisions_that_could_not_be_the_challengers_are_no_evidence(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    """200 decisions of a batch that began before the trial are the champion's, and would make the share .36."""
    serve(ledger, 700, (0.3, 0.3), undrawn=200)
    verdict, summary = assess_at(context_of(tmp_path, ledger, on_trial(registry)), NOW_US)
    assert summary["decisions"] == 500
    assert summary["value"]["low"] < 0.0 < summary["value"]["high"]
    assert verdict.action == "wait"


@pytest.mark.promise("trials.drawn")
def test_a_wrong_share_is_found_and_a_right_one_is_not_called_wrong_at_any_time() -> None:
    rng = np.random.default_rng(0)
    off = {0.5: 0, 0.45: 0}
    for share in off:
        for _ in range(100):
            drawn = np.cumsum(rng.random(4_000) < share)[199::200]
            off[share] += any(share_is_off(int(k), n, 0.5) for k, n in zip(drawn, range(200, 4_001, 200), strict=True))
    assert off[0.5] <= 1
    assert off[0.45] >= 99


@pytest.mark.promise("trials.fairness")
def test_one_decision_by_the_challenger_does_not_switch_the_fairness_guards_off(
    ledger: Ledger, models: Registry, tmp_path: Path
) -> None:
    serve(ledger, 500, (0.1, 0.1), left_out="f", undrawn=499, drawn=1.0)
    context = context_of(tmp_path, ledger, models)
    made = context.updated_log(NOW_US).query("SELECT count(*) AS n FROM log WHERE _assigned = 'propensity@2'", RELEASE)
    assert made["n"][0].as_py() == 1
    with pytest.raises(Refused, match=r"groups fare too differently \(fairness.grow.selected.sex=f 0"):
        promote(context, NOW_US, version=2)
    assert models.lineup("propensity").champion == 1


@pytest.mark.promise("trials.fairness")
def test_a_challenger_that_is_shown_to_be_fair_is_not_held_to_the_champions_groups(
    ledger: Ledger, models: Registry, tmp_path: Path
) -> None:
    serve(ledger, 600, (0.1, 0.1), left_out="f", undrawn=600, first="before")
    serve(ledger, 900, (0.05, 0.3))
    context = context_of(tmp_path, ledger, models)
    log = context.updated_log(NOW_US)
    assert {g.state for g in fairness_guards(log, RELEASE, NOW_US) if "selected" in g.name} == {"breached"}
    assert promote(context, NOW_US)["version"] == 2


@pytest.mark.promise("trials.end")
def test_a_trial_that_shows_nothing_ends_and_the_next_step_trains(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    models = on_trial(registry)
    serve(ledger, 500, (0.3, 0.3))
    hopeless, _ = assess_at(context_of(tmp_path, ledger, models, worthwhile_gain=0.9), NOW_US)
    assert (hopeless.action, hopeless.why) == (
        "end",
        "a gain of 90% over the champion is ruled out; it is not yet shown to earn more than the champion",
    )
    result = retrain(context_of(tmp_path, ledger, models, longest_days=59.0), NOW_US)
    assert (result["verdict"], result["did"]) == ("end", "ended: the champion decides alone")
    assert result["why"].startswith("the windows of the decisions of 59 days have closed; it is not yet shown to earn")
    assert models.lineup("propensity") == Lineup(1, None)
    with pytest.raises(Refused, match=r"no challenger is on trial: .*; propensity@2 was ended at"):
        assess(context_of(tmp_path, ledger, models), NOW_US)


def test_another_champion_begins_a_trial_anew(ledger: Ledger, models: Registry, tmp_path: Path) -> None:
    make_champion(models, 2)
    begin(models, 1, 0.4, THEN_US, partial(model_permit, models))
    provenance = Provenance("sha256:0", models.load("propensity", 1).feature_names, RELEASE.hash)
    models.register(models.load("propensity", 1).files(), "propensity", provenance)
    promote(context_of(tmp_path, ledger, models), NOW_US, version=3, justification=Justification("a", "b"))
    trial = models.lineup("propensity").trial
    assert trial is not None
    assert (trial.version, trial.share, trial.since_us) == (1, 0.4, NOW_US)


@pytest.mark.promise("trials.euros")
def test_customers_who_come_back_are_one_piece_of_evidence_each() -> None:
    """400 customers decide fifty times each; what one of them buys once, they buy every time."""
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(400), 50)
    reward = (rng.random(400) < 0.2)[unit] * 10.0
    challenger = rng.random(len(unit)) < np.where(rng.random(400) < 0.5, 0.4, 0.6)[unit]
    by_customer, by_row = (reward_difference(TrialOutcomes(challenger, 0.5, u), reward, 100.0) for u in (unit, None))
    assert by_customer.high - by_customer.low > 1.5 * (by_row.high - by_row.low)
    angry = (rng.random(400) < 0.004)[unit]
    once = np.zeros(len(unit), dtype=bool)
    assert harm_guard("complaints", TrialOutcomes(challenger, 0.5), once, 0.002).state == "kept"
    assert harm_guard("complaints", TrialOutcomes(challenger, 0.5, unit), angry, 0.002).state != "kept"


def test_nothing_is_told_of_a_difference_before_fifty_customers_bought() -> None:
    challenger, reward = np.arange(2_000) % 2 == 0, np.zeros(2_000)
    reward[:98:2] = 10.0
    few = reward_difference(TrialOutcomes(challenger, 0.5), reward, 100.0)
    reward[98:220:2] = 10.0
    enough = reward_difference(TrialOutcomes(challenger, 0.5), reward, 100.0)
    assert (few.low, few.high) == (few.value - 200.0, few.value + 200.0)
    assert enough.low > 0.0


@pytest.mark.promise("trials.euros")
@pytest.mark.parametrize("runs", [10, pytest.param(1_000, marks=pytest.mark.long)])
def test_in_the_euro_world_the_worse_is_never_promoted(runs: int) -> None:
    told = [worlds.CASES[0].tell(seed) for seed in range(runs)]
    assert not any(t.false_claim for t in told)
    assert sum(t.found is True for t in told) == runs, "it is rolled back, as it earns less"
