"""The report on suggestions: how often they were followed, overridden and regretted, why, and what could be widened."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from serving.pages.report.suggestions import suggested, suggestion_parts
from serving.pages.report.wording import report_wording
from tests.training.decided import CATALOGUE, DAY_US, LATER_US, THEN_US, decision, entry, reached
from training.reporting.suggestions import suggestions, widest

Report = dict[str, Any]
ACTION = """
  - {{id: {id}, issue: {issue}, group: {id}, tier: commercial, value: 5, automation: {automation}{more},
     outcomes: {{positive: [bought], negative: [], window_days: 5}},
     treatments: [{{id: talk, channel: agent, placements: [suggestion], content_ref: x}}]}}"""
ACTIONS = {
    "where-is-it": {"issue": "service"},
    "bigger-plan": {"issue": "grow"},
    "stay-offer": {"issue": "retain", "automation": "human_only"},
    "rarely": {"issue": "service"},
}
INTENTS = """
intents:
  - {id: my-bill, title: {en: Bill}, issue: service, risk: money, examples: {}}
"""


def release(more: str = "", **changed: dict[str, str]) -> Release:
    """Return the release with these actions, some of them `changed`."""
    defaults = {"automation": "suggest", "more": ""}
    actions = {name: {**defaults, **about, **changed.get(name, {})} for name, about in ACTIONS.items()}
    text = CATALOGUE.replace("counts_on: seen", "counts_on: seen, human: true")
    text += "".join(ACTION.format(id=name, **about) for name, about in actions.items())
    return Release.from_bytes(pack({"all.yaml": text + more}))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterable[DecisionLog]:
    folder = tmp_path_factory.mktemp("suggestions")
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: LATER_US) as ledger:
        ledger.put_release(pack({"all.yaml": CATALOGUE}))
        ledger.append_many(entries(ledger))
        log = DecisionLog(folder / "log")
        log.update(ledger, release(), LATER_US)
        yield log


def entries(ledger: Ledger) -> Iterable[Entry]:
    """Yield 150 suggestions of each action, and what was said of them; of `rarely` hardly anything is."""
    pattern, n = decision(ledger, 1, "agent"), 0
    for action in ACTIONS:
        for nth in range(150):
            record = {**pattern, "decision_id": f"d{n}", "decided_us": THEN_US + 30 * DAY_US + n}
            record["request"] = {**pattern["request"], "customer_id": f"p{n}"}
            offer = {"offer_id": f"d{n}.0", "action": action, "treatment": f"{action}.talk"}
            record["contacts"] = [{**pattern["contacts"][0], **offer}]
            yield entry(ledger, record)
            yield from _said(ledger, action, n, nth)
            n += 1


def _said(ledger: Ledger, action: str, n: int, nth: int) -> Iterable[Entry]:
    def judged(verdict: str, reason: str | None = None) -> Entry:
        said = {"override_id": f"o{n}{verdict}", "decision_id": f"d{n}", "offer_id": f"d{n}.0", "action": action}
        body = {**said, "verdict": verdict, "reason": reason, "note": "a secret", "who": "key:1", "role": "agent"}
        return Entry(ledger.stream_of("person", f"p{n}"), "override", body, THEN_US + 31 * DAY_US + n)

    if action == "rarely" and nth >= 80:
        return
    if action == "stay-offer" and nth % 2:
        yield judged("overridden", "price" if nth < 62 else "wrong_moment")
    elif nth % 3:
        yield reached(ledger, n, "pitched")
    else:
        yield judged("accepted_suggestion")
    if action == "where-is-it" and nth == 0:
        yield judged("regretted", "other")
    if action == "bigger-plan" and nth < 5:
        wrong = judged("overridden", "price")
        told = {"override_id": f"undo-o{n}", "undoes": wrong.folded["override_id"], "undone_us": wrong.occurred_us}
        yield from (wrong, Entry(wrong.stream, "override", {**wrong.folded, **told}, LATER_US))


@pytest.fixture(scope="module")
def report(log: DecisionLog) -> Report:
    return suggestions(log, release(), LATER_US)


@pytest.mark.promise("report.suggestions")
def test_the_report_tells_what_people_did_with_suggestions_and_why(report: Report) -> None:
    rows = {row["action"]: row for row in report["suggestions"]}
    counts = ("suggested", "known", "customers", "times_followed", "times_overridden", "times_regretted")
    assert [rows["stay-offer"][name] for name in counts] == [150, 150, 150, 75, 75, 0]
    assert [rows["where-is-it"][name] for name in counts] == [150, 150, 150, 150, 0, 1]
    assert [rows["bigger-plan"][name] for name in counts] == [150, 150, 150, 150, 0, 0], "what was undone is nothing"
    assert rows["rarely"]["known"] == 80, "of what nobody said anything of, nothing is known"
    overridden = rows["stay-offer"]["overridden"]
    assert overridden["low"] < overridden["value"] == 0.5 < overridden["high"]
    reasons = [(r["action"], r["verdict"], r["reason"], r["times"]) for r in report["override_reasons"]]
    assert reasons[:2] == [("stay-offer", "overridden", "wrong_moment", 44), ("stay-offer", "overridden", "price", 31)]
    assert "bigger-plan" not in {action for action, *_ in reasons}
    wording = report_wording("en")
    sentences = suggested(report, wording)
    assert "`stay-offer` was overridden 31 times: price." in sentences
    assert len(suggestion_parts(report, wording)) == 2
    assert "secret" not in str(report) + str(suggestion_parts(report, wording)), "notes stay with the customer"


@pytest.mark.promise("report.suggestions")
def test_of_what_people_follow_the_action_of_least_risk_is_proposed_with_its_evidence(report: Report) -> None:
    widen = report["widen"]
    steps = [widen[name] for name in ("action", "risk", "from", "to")]
    assert steps == ["where-is-it", "status", "suggest", "automatic"]
    assert "followed 100.0% of 150 suggestions to 150 customers (between 97.5%" in widen["said"]
    assert "Nothing changes until a release says" in widen["said"]
    assert report["widen_said"] == widen["said"]


@pytest.mark.promise("report.suggestions")
@pytest.mark.parametrize("kept", ["significant: true", "credit: true", "intent: my-bill"])
def test_what_weighs_lends_or_has_its_limit_stays_with_people(report: Report, kept: str) -> None:
    changed = {"where-is-it": {"more": f", {kept}"}}
    widen = widest(report["suggestions"], release(INTENTS, **changed))
    assert widen is not None
    assert (widen["action"], widen["risk"]) == ("bigger-plan", "money")
    done = {"bigger-plan": {"automation": "automatic"}}
    assert widest(report["suggestions"], release(INTENTS, **changed, **done)) is None


def test_an_action_that_people_override_or_hardly_know_is_not_proposed(log: DecisionLog) -> None:
    done = {"automation": "automatic"}
    report = suggestions(log, release(**{"where-is-it": done, "bigger-plan": done}), LATER_US)
    assert report["widen"] is None
    assert report["widen_said"].startswith("No action's automation could be widened yet: that takes 100 customers")


def test_without_suggestions_the_report_has_no_such_section(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: LATER_US) as ledger:
        ledger.put_release(pack({"all.yaml": CATALOGUE}))
        ledger.append([entry(ledger, decision(ledger, 1))])
        log = DecisionLog(tmp_path / "log")
        log.update(ledger, release(), LATER_US)
        assert suggestions(log, release(), LATER_US) == {}
    assert suggested({}, report_wording("en")) == suggestion_parts({}, report_wording("nl")) == ()
