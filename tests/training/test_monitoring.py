"""The report: lift over control groups, drift, customers served badly; the page and tables hold nobody's id."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from serving.pages.report.page import write_page
from tests.pages.sections import whole
from tests.training.decided import CATALOGUE, DAY_US, THEN_US
from training.evaluation.lift import lift, mismatched_arms
from training.evaluation.metrics import wilson
from training.learning.fairness import fairness_said
from training.reporting.monitoring import drift, one_decision_each, watch
from training.reporting.pdstools import MODELS, PREDICTORS, write_tables
from training.reporting.stability import stability

FILES = {
    "all.yaml": CATALOGUE.replace("[declined], window", "[declined, complained], window").replace(
        "window_days: 30", "window_days: 10"
    )
    + "\narms:\n  - {id: holdout, share: 0.25, from: 2026-01-01}\n  - {id: random, share: 0.25, from: 2026-01-01}\n"
}
RELEASE = Release.from_bytes(pack(FILES))
NOW_US = THEN_US + 70 * DAY_US
N = 500


def entries(ledger: Ledger, n: int) -> Iterator[Entry]:
    """Yield a customer's decision and purchases: six in ten buy an offer, one in ten buys without one."""
    rng = np.random.default_rng(n)
    stream = ledger.stream_of("person", f"p{n}")
    consents = [Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")]
    late = n % 2
    facts = {"age": (20 if not late else 60) + n % 10, "page": "shop" if n % 3 else "home", "hardship": False}
    ask = Ask(request_id=f"r{n}", customer_id=f"p{n}", channel="web", placements=(PlacementAsk(name="hero"),))
    at_us = THEN_US + 45 * DAY_US * late + n

    def score(_: object, candidates: np.ndarray) -> Scores:
        k = len(candidates)
        return Scores(np.full(k, 0.005 if n % 4 == 1 else 0.5), np.zeros(k), ((),) * k)

    customer = Known(facts, Standing(stream, 1, tuple(consents)))
    decision = decide(
        ask, customer, RELEASE, score, DecisionContext(assigned_model="propensity@1", now_us=at_us, decision_id=f"d{n}")
    )
    yield Entry(stream, "decision", decision.record, at_us)
    contacts = decision.record["contacts"]
    if contacts and rng.random() < 0.6:
        body = {
            "action": contacts[0]["action"],
            "outcome": "bought",
            "offer_id": contacts[0]["offer_id"],
            "value_eur": 20.0,
        }
        yield Entry(stream, "outcome", body, at_us + DAY_US)
    elif not contacts and rng.random() < 0.1:
        yield Entry(stream, "outcome", {"action": "tea", "outcome": "bought", "value_eur": 20.0}, at_us + DAY_US)
    if contacts and n % 20 == 0:
        body = {"action": contacts[0]["action"], "outcome": "complained", "offer_id": contacts[0]["offer_id"]}
        yield Entry(stream, "outcome", body, at_us + DAY_US)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterable[DecisionLog]:
    folder = tmp_path_factory.mktemp("watched")
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        ledger.put_release(pack(FILES))
        ledger.append_many(e for n in range(N) for e in entries(ledger, n))
        decision_log = DecisionLog(folder / "log")
        decision_log.update(ledger, RELEASE, NOW_US)
        yield decision_log


@pytest.mark.promise("arms.compared")
def test_arms_are_compared_by_all_that_their_customers_bought(log: DecisionLog) -> None:
    rows = {r["arm"]: r for r in lift(log, RELEASE, NOW_US)}
    assert rows.keys() == {NBA, "holdout", "random"}
    assert sum(r["units"] for r in rows.values()) == N
    holdout = rows["holdout"]
    assert holdout["mean_eur"] == pytest.approx(2.0, abs=1.5)
    assert holdout["lift_low"] < 10.0 < holdout["lift_high"]
    assert holdout["lift_low"] > 0
    assert holdout["brought_eur"] == pytest.approx(holdout["lift_eur"] * rows[NBA]["units"])
    assert mismatched_arms(list(rows.values())) == []


@pytest.mark.promise("arms.sizes")
def test_an_arm_of_another_size_than_declared_is_told(log: DecisionLog) -> None:
    arms = tuple(a.model_copy(update={"share": 0.05}) for a in RELEASE.catalogue.arms)
    other = Release(RELEASE.catalogue.model_copy(update={"arms": arms}), RELEASE.hash)
    assert set(mismatched_arms(lift(log, other, NOW_US))) == {NBA, "holdout", "random"}


@pytest.mark.promise("arms.unknown-sales")
def test_nothing_is_claimed_against_a_holdout_of_whom_nobody_knows_what_they_bought(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        ledger.append_many(
            e for n in range(60) for e in entries(ledger, n) if e.body.get("offer_id") or "picks" in e.body
        )
        log = DecisionLog(tmp_path / "log")
        log.update(ledger, RELEASE, NOW_US)
        holdout = next(r for r in lift(log, RELEASE, NOW_US) if r["arm"] == "holdout")
    assert (holdout["lift_eur"], holdout["why"]) == (None, "nobody told of a sale without an offer")


def test_what_moved_is_told_and_what_did_not_is_not(log: DecisionLog) -> None:
    drifted = {r["column"]: r["drifted"] for r in drift(log, RELEASE, NOW_US)}
    assert drifted["age"]
    assert not drifted["page"]
    assert drift(log, RELEASE, THEN_US) == []


def test_what_moved_is_compared_over_whole_periods_with_one_decision_of_each_customer(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest rows alone, up to a number, would be a few hours of a busy shop and not four weeks."""
    monkeypatch.setattr("training.reporting.monitoring.MOST_COMPARED", 120)
    row = drift(log, RELEASE, NOW_US)[0]
    assert (row["customers_before"], row["customers_after"]) == (120, 120)
    begins_us = THEN_US + 45 * DAY_US
    at_us = np.asarray(one_decision_each(log, RELEASE, begins_us, begins_us + N)["_at_us"]) - begins_us
    assert at_us.min() < 0.1 * N
    assert at_us.max() > 0.9 * N


def test_the_index_of_stability_is_the_sum_over_bins() -> None:
    before, after = (pa.chunked_array([[*("a" * a), *("b" * b)]]) for a, b in ((50, 50), (80, 20)))
    p, q = np.array([50.5, 50.5]) / 101, np.array([80.5, 20.5]) / 101
    assert stability(before, after, numeric=False).psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))))
    numbers = pa.chunked_array([[float(n) for n in range(500)]])
    assert stability(numbers, numbers, numeric=True).psi == pytest.approx(0.0)
    missing = pa.chunked_array([pa.array([None] * 500, pa.float64())])
    assert stability(numbers, missing, numeric=True).psi > 1


def test_every_section_of_the_report(log: DecisionLog) -> None:
    report: dict[str, Any] = watch(log, RELEASE, NOW_US)
    actions = {r["action"]: r for r in report["actions"]}
    assert all(r["rate"] == r["positive"] / r["closed"] for r in actions.values())
    assert sum(r["complaints"] for r in actions.values()) == sum(r["annoyed"] for r in report["annoyed"]) > 0
    channel = next(r for r in report["segments"] if r["segment"] == "channel")
    assert channel["sell"] + channel["service"] + channel["nothing"] == pytest.approx(1.0)
    assert report["under_served"]["below"] == 0.01
    assert report["under_served"]["rate"] == pytest.approx(0.5, abs=0.08)
    assert {r["reason"] for r in report["empty"]} >= {"shown", "all_withheld"}
    assert len(report["calibration"]) >= 1


@pytest.mark.promise("claims.rest-on")
def test_sections_say_in_a_sentence_whose_figures_they_are_and_what_is_left_out(log: DecisionLog) -> None:
    report: dict[str, Any] = watch(log, RELEASE, NOW_US)
    sentences = [report[f"{name}_said"] for name in ("actions", "drift", "calibration", "annoyed")]
    for said in (*sentences, fairness_said(log, RELEASE, NOW_US)["en"]):
        assert re.search("customers? or accounts?", said)
        assert "left out" in said
        assert said.count(".") == 1
    offers = sum(b["rows"] for b in report["calibration"])
    assert f" {offers} offers to " in report["calibration_said"]
    nba = next(r["customers"] for r in report["arms"] if r["arm"] == NBA)
    assert f"the {nba} customers or accounts" in fairness_said(log, RELEASE, NOW_US)["en"]
    before = watch(log, RELEASE, THEN_US - 100 * DAY_US)
    assert before["drift_said"].startswith("Nothing is said:")


@pytest.mark.promise("serving.reports-name-nobody")
def test_the_page_holds_everything_and_fetches_nothing(log: DecisionLog, tmp_path: Path) -> None:
    report = whole(watch(log, RELEASE, NOW_US))
    page = write_page(tmp_path / "report.html", report).read_text()
    assert page.count('<svg class="wide"') >= 5
    assert "What annoys" in page
    assert not any(text in page for text in ("http:", "https:"))
    assert "<script" not in page
    streams = {r["_stream"] for r in log.query("SELECT _stream FROM log", RELEASE).to_pylist()}
    assert not any(stream in page for stream in streams)


def test_tables_have_the_columns_that_pdstools_documents(log: DecisionLog, tmp_path: Path) -> None:
    models, predictors, history = (pq.read_table(p) for p in write_tables(log, RELEASE, NOW_US, tmp_path))
    assert models.schema == MODELS
    assert predictors.schema == PREDICTORS
    assert set(models["pyName"].to_pylist()) == {"tea", "cake"}
    assert sum(models["pyResponseCount"].to_pylist()) == history.num_rows
    positives = dict(zip(models["pyModelID"].to_pylist(), models["pyPositives"].to_pylist(), strict=True))
    rows = predictors.to_pylist()
    for name in {(r["pyModelID"], r["pyPredictorName"]) for r in rows}:
        assert (
            sum(r["pyBinPositives"] for r in rows if (r["pyModelID"], r["pyPredictorName"]) == name)
            == positives[name[0]]
        )
    assert {"pxInteractionID", "pyOutcome", "pxOutcomeTime", "pyPropensity"} <= set(history.column_names)


def test_intervals_are_the_published_ones() -> None:
    assert wilson(10, 100) == pytest.approx((0.0552291, 0.1743657), abs=1e-6)
    assert wilson(0, 5)[0] == pytest.approx(0.0, abs=1e-12)
