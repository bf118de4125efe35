"""What another release would have earned, from a real ledger: with intervals, or refused with what is unsupported."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Scorer
from features.approvals.door import Door
from features.ledger import Entry, Ledger
from tests.permits import TESTER
from tests.training.changed import BASE, GATED, GREEDY, LOOSE, SOAP, fill, release, scorer
from tests.training.choice_help import link
from tests.training.decided import DAY_US, LATER_US
from training.evaluation import slates
from training.learning import release_evaluation as module
from training.learning.context import LearningContext
from training.learning.release_evaluation import ReleaseQuestion, evaluate_release
from training.registry import Registry

N, FEW = 500, 40


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that values another release on a log of 500 decisions, or 40, by the given catalogue."""
    ledgers: dict[str, tuple[Path, Ledger]] = {}

    def ask(logged_by: str, other: Release, **options: Any) -> dict[str, Any]:
        if logged_by not in ledgers:
            root = tmp_path_factory.mktemp("shop")
            ledgers[logged_by] = root, Ledger.open(root / "brain.db", b"s" * 32)
            fill(ledgers[logged_by][1], release(logged_by), N if logged_by == LOOSE else FEW)
        root, ledger = ledgers[logged_by]
        return value(root, ledger, other, **options)

    return ask


def value(root: Path, ledger: Ledger, other: Release, **more: Any) -> dict[str, Any]:
    score = lru_cache(lambda: scorer(other))

    def scorer_of(name: str) -> Scorer:
        assert name == "propensity@1"
        return score()

    options = {name: more.pop(name) for name in ("reward", "outcome", "scorer_of", "at_most") if name in more}
    question = ReleaseQuestion(other, **{"scorer_of": scorer_of, **options})
    serving = more.pop("serves", release())
    context = LearningContext(root, ledger, serving, None, Registry(root), b"s" * 32, door=Door(ledger, "dev", TESTER))  # type: ignore[arg-type]
    return evaluate_release(context, question, **{"now_us": LATER_US, **more})


def by_method(result: dict[str, Any]) -> dict[str, Any]:
    return {e["method"]: e for e in result["estimates"]}


@pytest.mark.promise("evaluation.same-release")
def test_the_same_release_earns_what_was_earned_and_nothing_is_claimed(shop: Any) -> None:
    result = shop(LOOSE, release(LOOSE))
    assert (result["decisions"], result["refused"], result["lacking"], result["left_out"]) == (N, None, [], {})
    for estimate in by_method(result).values():
        assert estimate["more_than_logged"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    whole = by_method(result)["whole"]
    assert (whole["average_weight"], whole["effective_decisions"], whole["claim"]) == (1.0, N, "cannot tell")
    assert whole["value"] == result["logged"]


def test_a_change_for_the_better_is_claimed(shop: Any) -> None:
    """Cake in the hero placement is bought twelve times as often as tea."""
    result = shop(LOOSE, release(BASE.replace("value: 9", "value: 14")))
    assert (result["claim"], result["refused"], result["unsupported_share"]) == ("better", None, 0.0)
    assert by_method(result)["prefix"]["claim"] == "better"
    assert by_method(result)["model-based"]["claim"] is None


def test_what_is_earned_may_be_told_in_euros(shop: Any) -> None:
    sold, euros = (shop(LOOSE, release(LOOSE), at_most=60, reward=r) for r in ("outcome", "value_eur"))
    assert euros["logged"]["value"] == pytest.approx(7.0 * sold["logged"]["value"])
    expected = [by_method(result)["model-based"]["value"]["value"] for result in (sold, euros)]
    assert 9.0 <= expected[1] / expected[0] <= 10.0, "cake is worth 9 and tea 10, by the catalogue"


@pytest.mark.promise("evaluation.no-support")
@pytest.mark.parametrize(
    ("logged_by", "other", "expected"),
    [
        (GATED, BASE, ("cake", "eligibility:young")),
        (BASE, BASE + SOAP, ("soap", "new")),
        (GREEDY, BASE, ("none", "never drawn")),
    ],
)
def test_what_lacks_support_is_refused_named_and_told_by_the_model_alone(
    shop: Any, logged_by: str, other: str, expected: tuple[str, str]
) -> None:
    result = shop(logged_by, release(other))
    assert list(by_method(result)) == ["model-based"]
    assert "could not have been logged" in result["refused"]
    assert result["claim"] == "cannot tell"
    row = next(r for r in result["lacking"] if (r["action"], r["why"]) == expected)
    assert 0.0 < row["share"] <= result["unsupported_share"]
    assert row["decisions"] == (0.5 if logged_by == GATED else 1.0), "half of the people were too old"
    estimate = by_method(result)["model-based"]
    assert estimate["claim"] is None
    assert estimate["value"]["low"] <= estimate["value"]["value"] <= estimate["value"]["high"]


def test_a_tightened_gate_is_supported(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slates, "MIN_EFFECTIVE", 100.0)
    result = shop(LOOSE, release(GATED.replace("gamma: 10", "gamma: 2")))
    assert (result["refused"], result["lacking"], result["claim"]) == (None, [], "worse"), "who is older gets no cake"


def test_the_latest_alone_are_made_again_and_what_is_left_out_is_counted(shop: Any) -> None:
    result = shop(LOOSE, release(LOOSE), at_most=50)
    assert (result["decisions"], result["at_most"], result["left_out"]) == (50, 50, {"older": N - 50})
    assert result["refused"] == "value of slates: the log holds 50 customers, 200 are needed to tell"
    assert result["rests_on"].startswith("Values are per decision, and rest on 50 decisions of 50 customers;")
    assert result["left_out_why"] == f"Decisions that were left out, by reason: {N - 50} (older)."
    assert list(by_method(result)) == ["model-based"]


def test_open_windows_leave_what_the_scores_expect_and_a_model_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    def missing_model(_: str) -> Scorer:
        raise NotFound("model", "gone")

    with Ledger.open(tmp_path / "brain.db", b"s" * 32) as ledger:
        with pytest.raises(Refused, match="none was made"):
            value(tmp_path, ledger, release())
        fill(ledger, release(GATED), 6)
        early = value(tmp_path, ledger, release(), now_us=LATER_US - 25 * DAY_US)  # the window of cake has closed
        assert (early["decisions"], early["logged"], early["claim"]) == (6, None, "cannot tell")
        assert list(by_method(early)) == ["model-based"], "what the scores expect needs no outcome"
        assert "outcomes of all 6 decisions may still come, the last until 20" in early["refused"]
        tea_alone = release(BASE[: BASE.index("  - id: cake")])
        left_out = value(tmp_path, ledger, tea_alone, serves=tea_alone)["left_out"]
        assert left_out == {"action gone": 3}, "of the young, to whom cake could be shown, whether it was or not"
        assert value(tmp_path, ledger, release(BASE), scorer_of=missing_model)["left_out"] == {"model gone": 3}
        ledger.append([Entry(ledger.stream_of("person", "p-d1"), "flag", {"restricted": True}, LATER_US)])
        ledger.erase(ledger.stream_of("person", "p-d2"))
        assert value(tmp_path, ledger, release(GATED))["decisions"] == 4


@pytest.mark.promise("evaluation.customers")
def test_visitors_who_log_in_as_the_same_person_are_one_customer(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "brain.db", b"s" * 32) as ledger:
        fill(ledger, release(LOOSE), 8)
        link(ledger, "p-d2", "p-d0", "p-d1")
        result = value(tmp_path, ledger, release(LOOSE))
    assert (result["decisions"], result["customers"]) == (8, 6)


def test_shares_of_slots_that_follow_count_by_how_likely_they_are_come_to() -> None:
    choice = module.Unsupported("soap", "new", 0.5)
    steps = (module_step(0.25, 0.5, ()), module_step(0.5, 0.1, (choice,)))
    decision = module.WhatIf(steps, module.Expected(0, 0), module.Expected(0, 0))
    support = module._support([decision, decision])
    assert (support.share, support.decisions) == (1.0, 1.0)
    assert support.rows == [{"action": "soap", "why": "new", "share": 1.0, "decisions": 1.0}]


def module_step(logged: float, other: float, unsupported: tuple[Any, ...]) -> Any:
    from decisioning.review.what_if import SlotChoice

    return SlotChoice("hero", 1, logged, other, unsupported)
