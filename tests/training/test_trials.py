"""A trial over a real ledger: judged by its outcomes, promoted only if it does no harm and treats groups alike."""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from copy import copy
from functools import partial
from pathlib import Path

import pytest

import brain_learning
from decisioning.errors import Refused
from features.ledger import Ledger
from tests.permits import model_permit
from tests.training.decided import DAY_US, THEN_US
from tests.training.trial_help import (
    NOW_US,
    RELEASE,
    SECRET,
    context_of,
    copy_of,
    judged,
    on_trial,
    open_ledger,
    serve,
)
from training.fitting.propensity import Recipe
from training.learning.context import LearningContext
from training.learning.evidence import Verdict
from training.learning.fairness import fairness_guards
from training.learning.promotion import JUSTIFIED, Justification, genuine, promote
from training.learning.retrain import guard, retrain
from training.learning.trials import assess, begin, roll_back
from training.registry import Lineup, Registry
from training.reporting.customers.discounts import discounts


@pytest.fixture
def ledger(tmp_path: Path) -> Iterable[Ledger]:
    with open_ledger(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def registry(two_models: Registry, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of two equal models."""
    return copy_of(two_models, tmp_path_factory.mktemp("registry"))


@pytest.fixture
def without_champion(two_models: Registry, tmp_path: Path) -> Registry:
    """Return a registry of the same two models, before either was promoted."""
    return copy_of(two_models, tmp_path)


@pytest.fixture(autouse=True)
def larger_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the limits of harm: to show less than 2 in 100 takes a tenth of the decisions of 2 in 1,000."""
    monkeypatch.setattr("training.learning.trials.EXTRA_COMPLAINTS", 0.02)
    monkeypatch.setattr("training.learning.trials.EXTRA_OPT_OUTS", 0.02)


def test_what_is_better_and_does_no_harm_is_promoted(ledger: Ledger, registry: Registry, tmp_path: Path) -> None:
    models = on_trial(registry)
    serve(ledger, 1_500, (0.05, 0.3))
    context = context_of(tmp_path, ledger, models)
    action, guards, summary = judged(context)
    assert action == "promote", guards
    assert summary["decisions"] == 1_500
    assert "of 1500 decisions, and the customer or account is the unit" in summary["rests_on"]
    assert "left out are 0 decisions whose window is open" in summary["rests_on"]
    assert 0.5 < summary["value"]["low"] < 2.5 < summary["value"]["high"], "each sale is worth ten euros"
    assert {"complaints", "opt-outs", "calibration", "latency"} <= guards.keys()
    promoted = promote(context, NOW_US)
    assert (promoted["version"], models.lineup("propensity").trial) == (2, None)


@pytest.mark.promise("trials.harm-outweighs-gain")
def test_what_does_harm_is_rolled_back_however_much_it_earns(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    models = on_trial(registry)
    serve(ledger, 1_000, (0.05, 0.25), complaints=(0.0, 0.15))
    action, guards, _ = judged(context_of(tmp_path, ledger, models))
    assert (action, guards["complaints"].state) == ("roll back", "breached")


@pytest.mark.promise("trials.harm-ends-them")
def test_the_guard_rolls_back_long_before_windows_close_and_says_why(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    context = context_of(tmp_path, ledger, on_trial(registry))
    serve(ledger, 200, (0.05, 0.05), complaints=(0.0, 0.3))
    result = guard(context, THEN_US + 2 * DAY_US)
    assert (result["did"], result["why"]) == ("rolled back: the champion decides alone", "breached: complaints")
    assert registry.lineup("propensity") == Lineup(1, None)
    with pytest.raises(Refused, match=r"propensity@2 was rolled back at 2026-02-0\dT.*, breached: complaints"):
        assess(context, NOW_US)
    assert guard(context, NOW_US) == {"did": "nothing: no challenger is on trial"}


@pytest.mark.promise("trials.guard-does-nothing-else")
def test_the_guard_neither_promotes_nor_ends_what_does_no_harm(
    ledger: Ledger, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("EXTRA_COMPLAINTS", "EXTRA_OPT_OUTS"):
        monkeypatch.setattr(f"training.learning.trials.{limit}", 0.2)
    models = on_trial(registry)
    before = models.lineup("propensity")
    serve(ledger, 250, (0.05, 0.6))
    result = guard(context_of(tmp_path, ledger, models), NOW_US)
    assert (result["did"], result["why"]) == (
        "nothing",
        "it earns more than the champion, and no guardrail is breached",
    )
    assert models.lineup("propensity") == before


@pytest.mark.promise("trials.guard-does-nothing-else")
def test_a_trial_that_was_begun_meanwhile_is_not_ended(registry: Registry) -> None:
    earlier = on_trial(registry).lineup("propensity").trial
    assert earlier is not None
    begin(registry, 2, 0.2, THEN_US, partial(model_permit, registry))
    assert roll_back(registry, earlier, "breached: complaints", NOW_US).startswith("nothing")
    assert registry.lineup("propensity").trial is not None


@pytest.mark.promise("trials.champions-harm")
def test_before_it_made_a_decision_the_champions_groups_are_not_held_against_it(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    serve(ledger, 250, (0.1, 0.1), left_out="f", shadow=True)
    begin(on_trial(registry), 2, 0.5, NOW_US, partial(model_permit, registry))
    action, guards, _ = judged(context_of(tmp_path, ledger, registry))
    assert (action, [g for g in guards if g.startswith("fairness")]) == ("wait", [])


@pytest.mark.promise("trials.fairness")
def test_groups_that_fare_differently_block_promotion_until_somebody_signs(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    models = on_trial(registry)
    serve(ledger, 1_000, (0.1, 0.1), left_out="f")
    context = context_of(tmp_path, ledger, models)
    states = {g.name: g.state for g in fairness_guards(context.updated_log(NOW_US), RELEASE, NOW_US)}
    assert states["fairness.grow.selected.sex=f"] == "breached"
    assert states["fairness.grow.succeeded.sex=f"] == "kept"
    with pytest.raises(Refused, match="groups fare too differently"):
        promote(context, NOW_US)
    assert models.lineup("propensity").champion == 1
    promote(context, NOW_US, justification=Justification("a.jansen", "legal age limit"))
    record = models.read_note("propensity", 2, JUSTIFIED)
    assert record is not None
    content = json.loads(record)
    assert (content["by"], content["about"]) == ("a.jansen", "propensity@2")
    assert genuine(record, SECRET)
    assert not genuine(json.dumps({**content, "by": "b.bakker"}), SECRET)


@pytest.mark.promise("trials.verdict-binds")
def test_a_challenger_whose_verdict_is_to_wait_is_promoted_only_with_a_reason_that_is_kept(
    ledger: Ledger, without_champion: Registry, tmp_path: Path
) -> None:
    models = on_trial(without_champion)
    serve(ledger, 200, (0.1, 0.1))
    context = context_of(tmp_path, ledger, models)
    assert judged(context)[0] == "wait"
    with pytest.raises(Refused, match=r"the verdict on propensity@2 is `wait`: it is not yet shown to earn more"):
        promote(context, NOW_US)
    assert models.lineup("propensity").champion == 1
    promote(context, NOW_US, justification=Justification("a.jansen", "the campaign begins"))
    record = models.read_note("propensity", 2, JUSTIFIED)
    assert record is not None
    assert genuine(record, SECRET)
    content = json.loads(record)
    assert (content["by"], content["text"], content["verdict"]) == ("a.jansen", "the campaign begins", "wait")
    assert models.lineup("propensity") == Lineup(2, None)
    with pytest.raises(Refused, match="propensity@2 serves already: there is nothing to promote"):
        promote(context, NOW_US)
    assert promote(context, NOW_US, version=1)["before"] == 2, "one can go back without a reason"


@pytest.mark.promise("trials.verdict-binds")
@pytest.mark.parametrize("stage", ["untried", "in shadow", "rolled back"])
def test_a_challenger_that_never_decided_or_did_harm_is_not_promoted(
    ledger: Ledger, without_champion: Registry, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.learning.trials.SHADOW_DECISIONS", 10)
    models = on_trial(without_champion, share=0.0)
    serve(ledger, 20, (0.1, 0.1), shadow=True)
    context, trial = context_of(tmp_path, ledger, models), models.lineup("propensity").trial
    assert trial is not None
    if stage == "untried":
        models.set_trial("propensity", None)
    if stage == "rolled back":
        roll_back(models, trial, "breached: complaints", NOW_US)
    verdict = {
        "untried": "`wait`: it has not been tried",
        "in shadow": "`wait`: it has been in shadow alone",
        "rolled back": "`roll back`: propensity@2 was rolled back at .*, breached: complaints",
    }[stage]
    with pytest.raises(Refused, match=f"the verdict on propensity@2 is {verdict}"):
        promote(context, NOW_US, version=2)
    assert models.lineup("propensity").champion == 1


Way = Callable[[LearningContext, pytest.MonkeyPatch], object]


def by_command(context: LearningContext, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(brain_learning, "learning_context", lambda *_: nullcontext(context))
    monkeypatch.setattr("features.ledger.now_us", lambda: NOW_US)
    return brain_learning.promote_in(None, None, "propensity")  # type: ignore[arg-type]


def after_a_trial(context: LearningContext, monkeypatch: pytest.MonkeyPatch) -> object:
    """Take the step of a trial whose own guards, with wider intervals, let it pass."""
    verdict = Verdict("promote", "it earns more than the champion, and no guardrail is breached")
    monkeypatch.setattr("training.learning.retrain.assess", lambda *_: (verdict, {}))
    return retrain(context, NOW_US, rule="rule")


@pytest.mark.parametrize("way", [by_command, after_a_trial])
def test_every_way_of_promoting_runs_the_fairness_guard(
    ledger: Ledger, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    context = context_of(tmp_path, ledger, on_trial(registry))
    serve(ledger, 1_000, (0.1, 0.1), left_out="f")
    with pytest.raises(Refused, match=r"groups fare too differently \(fairness.grow.selected.sex=f 0"):
        way(context, monkeypatch)
    lineup = registry.lineup("propensity")
    assert lineup.champion == 1
    assert lineup.trial is not None


def test_a_first_champion_that_never_decided_is_judged_by_all_decisions(
    ledger: Ledger, without_champion: Registry, tmp_path: Path
) -> None:
    context = context_of(tmp_path, ledger, without_champion)
    serve(ledger, 1_000, (0.1, 0.1), left_out="f", shadow=True)
    with pytest.raises(Refused, match="groups fare too differently"):
        promote(context, NOW_US, version=2)
    assert without_champion.lineup("propensity").champion is None
    promote(context, NOW_US, version=2, justification=Justification("a.jansen", "legal age limit"))
    assert without_champion.lineup("propensity").champion == 2
    assert without_champion.read_note("propensity", 2, JUSTIFIED) is not None


def test_nothing_was_decided_yet_so_no_group_fares_differently(
    ledger: Ledger, without_champion: Registry, tmp_path: Path
) -> None:
    context = context_of(tmp_path, ledger, without_champion)
    assert fairness_guards(context.updated_log(NOW_US), RELEASE, NOW_US, "propensity@1") == []
    assert promote(context, NOW_US, version=1)["before"] is None


def test_no_other_module_of_the_product_makes_a_champion() -> None:
    root = Path(__file__).resolve().parents[2]
    packages = [root / name for name in ("decisioning", "features", "training", "serving")]
    sources = [*root.glob("*.py"), *(file for package in packages for file in package.rglob("*.py"))]
    makers = [f for f in sources if re.search(r'set_alias\([^)]*"champion"', f.read_text())]
    assert makers == [root / "training" / "learning" / "promotion.py"]


def test_in_shadow_it_waits_and_then_may_have_a_share(ledger: Ledger, registry: Registry, tmp_path: Path) -> None:
    models = on_trial(registry, share=0.0)
    serve(ledger, 300, (0.1, 0.1), shadow=True)
    assert judged(context_of(tmp_path, ledger, models))[0] == "wait"


def test_a_trial_that_makes_no_sense_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no challenger"):
        begin(Registry(tmp_path), None, 0.5, NOW_US)
    models = on_trial(registry)
    with pytest.raises(Refused, match="decides already: train a challenger"):
        begin(models, 1, 0.5, NOW_US)
    with pytest.raises(Refused, match=r"between 0 \(in shadow\) and 0.9"):
        begin(models, 2, 1.0, NOW_US)


def test_retrain_takes_one_step_at_a_time(
    ledger: Ledger, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.learning.trials.SHADOW_DECISIONS", 100)
    models = on_trial(registry)
    models.set_trial("propensity", None)
    context = context_of(tmp_path, ledger, models)
    serve(ledger, 600, (0.2, 0.2), shadow=True)
    first = retrain(context, NOW_US, recipe=Recipe(growth=None))
    assert (first["stage"], models.lineup("propensity").trial.version) == ("shadow", 3)  # type: ignore[union-attr]
    begin(models, 2, 0.0, THEN_US - 1)
    result = retrain(context, NOW_US)
    assert (result["verdict"], result["did"]) == ("promote", "nothing: run `brain trial --share 0.5` if you agree")
    assert retrain(context, NOW_US, rule="rule")["did"] == "gave it 50% of decisions"
    waiting = retrain(context, NOW_US, rule="rule")
    assert (waiting["verdict"], waiting["did"]) == ("wait", "nothing")


@pytest.mark.promise("negotiation.fairness")
def test_what_is_given_away_is_told_by_group_beside_everybody_else(
    ledger: Ledger, registry: Registry, tmp_path: Path
) -> None:
    serve(ledger, 150, (0.3, 0.3), left_out="f")
    log = context_of(tmp_path, ledger, registry).updated_log(NOW_US)
    giving = copy(RELEASE)
    giving.actions = {name: a.model_copy(update={"gives_eur": 10.0}) for name, a in RELEASE.actions.items()}
    assert discounts(log, RELEASE, NOW_US) == {}
    rows = discounts(log, giving, NOW_US)["discounts"]
    labels = log.query("SELECT sex, _customer, _label FROM log JOIN units USING (_stream)", RELEASE).to_pylist()
    assert {row["group"] for row in rows} >= {"sex=f", "sex=m"}
    for row in rows:
        group = row["group"].removeprefix("sex=")
        own = [one for one in labels if one["sex"] == group]
        assert row["customers"] == len({one["_customer"] for one in own})
        assert row["eur"] == pytest.approx(10.0 * sum(one["_label"] is True for one in own) / row["customers"])
        assert row["low"] is None or row["low"] <= row["difference"] <= row["high"]
