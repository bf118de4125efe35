"""What another release would have earned, from a real ledger: with intervals, or refused with what lacks support."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Scorer
from features.ledger import Entry, Ledger
from tests.training.changed import BASE, GATED, GREEDY, LOOSE, SOAP, fill, release, scorer
from tests.training.decided import DAY_US, LATER_US
from training.evaluation import slates
from training.learning import release_evaluation as module
from training.learning.context import LearningContext
from training.learning.release_evaluation import ReleaseQuestion, evaluate_release
from training.registry import Registry

N, FEW = 500, 40


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """What a change of a log of 500 decisions, or of 40, would have earned, asked of a ledger per logging catalogue."""
    ledgers: dict[str, tuple[Path, Ledger]] = {}

    def ask(then: str, other: Release, **more: Any) -> dict[str, Any]:
        if then not in ledgers:
            root = tmp_path_factory.mktemp("shop")
            ledgers[then] = root, Ledger.open(root / "brain.db", b"s" * 32)
            fill(ledgers[then][1], release(then), N if then == LOOSE else FEW)
        root, ledger = ledgers[then]
        return value(root, ledger, other, **more)

    return ask


def value(root: Path, ledger: Ledger, other: Release, **more: Any) -> dict[str, Any]:
    score = lru_cache(lambda: scorer(other))

    def scorer_of(name: str) -> Scorer:
        assert name == "propensity@1"
        return score()

    options = {name: more.pop(name) for name in ("reward", "outcome", "scorer_of", "at_most") if name in more}
    question = ReleaseQuestion(other, **{"scorer_of": scorer_of, **options})
    serving = more.pop("serves", release())
    context = LearningContext(root, ledger, serving, None, Registry(root), b"s" * 32)  # type: ignore[arg-type]
    return evaluate_release(context, question, **{"now_us": LATER_US, **more})


def by_method(told: dict[str, Any]) -> dict[str, Any]:
    return {e["method"]: e for e in told["estimates"]}


@pytest.mark.promise("evaluation.same-release")
def test_the_same_release_earns_what_was_earned_and_nothing_is_claimed(shop: Any) -> None:
    told = shop(LOOSE, release(LOOSE))
    assert (told["decisions"], told["refused"], told["lacking"], told["left_out"]) == (N, None, [], {})
    for found in by_method(told).values():
        assert found["more_than_logged"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    whole = by_method(told)["whole"]
    assert (whole["average_weight"], whole["effective_decisions"], whole["claim"]) == (1.0, N, "cannot tell")
    assert whole["value"] == told["logged"]


def test_a_change_for_the_better_is_claimed(shop: Any) -> None:
    """In the hero cake is bought twelve times as often as tea."""
    told = shop(LOOSE, release(BASE.replace("value: 9", "value: 14")))
    assert (told["claim"], told["refused"], told["unsupported_share"]) == ("better", None, 0.0)
    assert by_method(told)["prefix"]["claim"] == "better"
    assert by_method(told)["model-based"]["claim"] is None


def test_what_is_earned_may_be_told_in_euros(shop: Any) -> None:
    sold, euros = (shop(LOOSE, release(LOOSE), at_most=60, reward=r) for r in ("outcome", "value_eur"))
    assert euros["logged"]["value"] == pytest.approx(7.0 * sold["logged"]["value"])
    expected = [by_method(told)["model-based"]["value"]["value"] for told in (sold, euros)]
    assert 9.0 <= expected[1] / expected[0] <= 10.0, "cake is worth 9 and tea 10, by the catalogue"


@pytest.mark.promise("evaluation.no-support")
@pytest.mark.parametrize(
    ("then", "other", "what"),
    [
        (GATED, BASE, ("cake", "eligibility:young")),
        (BASE, BASE + SOAP, ("soap", "new")),
        (GREEDY, BASE, ("none", "never drawn")),
    ],
)
def test_what_lacks_support_is_refused_named_and_told_by_the_model_alone(
    shop: Any, then: str, other: str, what: tuple[str, str]
) -> None:
    told = shop(then, release(other))
    assert list(by_method(told)) == ["model-based"]
    assert "could not have been logged" in told["refused"]
    assert told["claim"] == "cannot tell"
    row = next(r for r in told["lacking"] if (r["action"], r["why"]) == what)
    assert 0.0 < row["share"] <= told["unsupported_share"]
    assert row["decisions"] == (0.5 if then == GATED else 1.0), "half of the people were too old"
    found = by_method(told)["model-based"]
    assert found["claim"] is None
    assert found["value"]["low"] <= found["value"]["value"] <= found["value"]["high"]


def test_a_tightened_gate_is_supported(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slates, "MIN_EFFECTIVE", 100.0)
    told = shop(LOOSE, release(GATED.replace("gamma: 10", "gamma: 2")))
    assert (told["refused"], told["lacking"], told["claim"]) == (None, [], "worse"), "who is older gets no cake"


def test_the_latest_alone_are_made_again_and_what_is_left_out_is_counted(shop: Any) -> None:
    told = shop(LOOSE, release(LOOSE), at_most=50)
    assert (told["decisions"], told["at_most"], told["left_out"]) == (50, 50, {"older": N - 50})
    assert "only 50 effective" in told["refused"]
    assert list(by_method(told)) == ["model-based"]


def test_a_model_that_is_gone_and_windows_that_are_open_leave_nothing_to_say(tmp_path: Path) -> None:
    def gone(_: str) -> Scorer:
        raise NotFound("model", "gone")

    with Ledger.open(tmp_path / "brain.db", b"s" * 32) as ledger:
        with pytest.raises(Refused, match="none was made"):
            value(tmp_path, ledger, release())
        fill(ledger, release(GATED), 6)
        with pytest.raises(Refused, match="6 window still open"):  # also of cake, whose own has closed
            value(tmp_path, ledger, release(), now_us=LATER_US - 25 * DAY_US)
        tea_alone = release(BASE[: BASE.index("  - id: cake")])
        gone_since = value(tmp_path, ledger, tea_alone, serves=tea_alone)["left_out"]
        assert gone_since == {"action gone": 3}, "of the young, to whom cake could be shown, whether it was or not"
        assert value(tmp_path, ledger, release(BASE), scorer_of=gone)["left_out"] == {"model gone": 3}
        ledger.append([Entry(ledger.stream_of("person", "p-d1"), "flag", {"restricted": True}, LATER_US)])
        ledger.erase(ledger.stream_of("person", "p-d2"))
        assert value(tmp_path, ledger, release(GATED))["decisions"] == 4


def test_shares_of_slots_that_follow_count_by_how_likely_they_are_come_to() -> None:
    lack = module.Unsupported("soap", "new", 0.5)
    steps = (module_step(0.25, 0.5, ()), module_step(0.5, 0.1, (lack,)))
    one = module.WhatIf(steps, module.Expected(0, 0), module.Expected(0, 0))
    support = module._support([one, one])
    assert (support.share, support.decisions) == (1.0, 1.0)
    assert support.rows == [{"action": "soap", "why": "new", "share": 1.0, "decisions": 1.0}]


def module_step(logged: float, other: float, lacks: tuple[Any, ...]) -> Any:
    from decisioning.review.what_if import SlotChoice

    return SlotChoice("hero", 1, logged, other, lacks)
