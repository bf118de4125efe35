"""The recipes on the published data: exact rates, values with intervals, and clear refusals."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from decisioning.errors import Refused
from features.ledger import now_us
from tests.training.learning_help import context_of
from tests.training.recipe_help import Imported, plan_of, rows_of
from training.learning.rankings import last_rankings
from training.learning.workflow import evaluate, train, train_risk, training_set

ARMS = {"Mens E-Mail": "mens-email", "Womens E-Mail": "womens-email", "No E-Mail": "none"}
RATES = {"mens-email": "18.28", "womens-email": "15.14", "none": "10.62"}


@pytest.fixture(scope="module")
def hillstrom(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Every eighth of the 64,000 customers."""
    return Imported("hillstrom", tmp_path_factory.mktemp("hillstrom"), every=8)


def rates(shop: Imported, outcome: str | None = None) -> dict[str, tuple[int, int]]:
    """Return action -> numbers of contacts and outcomes, from the ledger alone."""
    data = training_set(context_of(shop), now_us(), outcome=outcome)
    return {
        action: (int((data.action == a).sum()), int(data.label[data.action == a].sum()))
        for a, action in enumerate(data.actions)
    }


@pytest.mark.promise("imports.hillstrom")
def test_the_whole_file_is_read_and_gives_the_published_rates(tmp_path: Path) -> None:
    contacts = plan_of("hillstrom", tmp_path).contacts[0]
    action = np.array(contacts.action.to_pylist())
    visited = np.zeros(len(action), dtype=bool)
    visited[next(o for o in contacts.outcomes if o.name == "visit").row.to_numpy()] = True
    assert len(action) == 64_000
    assert {a: f"{100 * visited[action == a].mean():.2f}" for a in RATES} == RATES
    assert pc.unique(contacts.probability).to_pylist() == [1 / 3]


def test_arm_rates_of_the_ledger_are_those_of_the_file(hillstrom: Imported) -> None:
    rows = rows_of("hillstrom")[::8]
    contacts = Counter(ARMS[r["segment"]] for r in rows)
    for outcome, column in ((None, "visit"), ("visit", "visit"), ("conversion", "conversion")):
        outcomes = Counter(ARMS[r["segment"]] for r in rows if r[column] == "1")
        assert rates(hillstrom, outcome) == {a: (contacts[a], outcomes[a]) for a in contacts}
    data = training_set(context_of(hillstrom), now_us())
    assert data.value_eur.sum() == pytest.approx(sum(float(r["spend"]) for r in rows))
    assert not np.isnan(data.x).any()
    assert not {"adult", "hardship"} & {n.partition("=")[0] for n in data.feature_names}


@pytest.mark.promise("evaluation.uplift-gain", "imports.hillstrom")
def test_values_have_intervals_and_no_winner_is_claimed(hillstrom: Imported) -> None:
    result = evaluate(context_of(hillstrom), now_us=now_us())
    rows = {(p["policy"], p["method"]): p for p in result["policies"]}
    assert {name for name, _ in rows} == {"trained", "always mens-email", "always womens-email", "always none"}
    assert result["held_out_rows"] == 2_400
    assert result["winner"] is None
    assert "may be chance" in result["why"]
    for name, rate in (("always mens-email", 0.1828), ("always womens-email", 0.1514), ("always none", 0.1062)):
        for method in ("ips", "snips", "dr"):
            assert rows[name, method]["low"] < rate < rows[name, method]["high"]
    assert rows["trained", "dr"]["effective_rows"] > 200
    assert result["uplift_gains"] is False
    assert result["uplift_why"] == "the difference may be chance"
    assert {r["policy"] for r in result["rankings"]} > {"by uplift", "by propensity", "random", "always none"}
    moved = {r["action"]: r["effect"] for r in result["uplift"]}
    assert moved["mens-email"]["low"] < 0.0766 < moved["mens-email"]["high"]
    assert moved["womens-email"]["low"] > 0.0
    assert last_rankings(hillstrom.data)["rankings"] == result["rankings"]
    assert result["uplift_said"].startswith("Effects rest on ")
    assert f" of {result['customers']} customers; a customer, or the account of several," in result["rests_on"]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Every twentieth of the 41,188 calls."""
    return Imported("bank-marketing", tmp_path_factory.mktemp("bank"), every=20)


@pytest.mark.promise("imports.known-after-the-outcome")
def test_duration_is_declared_kept_and_refused_as_input(bank: Imported) -> None:
    with pytest.raises(Refused, match="call_duration_s is known only after the outcome"):
        train(context_of(bank), now_us=now_us(), inputs=["age", "call_duration_s"])
    data = training_set(context_of(bank), now_us())
    assert len(data) == 2_060
    assert not any("duration" in name for name in data.feature_names)
    first = bank.ledger.scan(["observation"], limit=1)[0].body
    assert first is not None
    assert first["after"] == {"call_duration_s": int(rows_of("bank-marketing")[0]["duration"])}
    assert "call_duration_s" not in bank.facts("bank-1")


@pytest.mark.promise("imports.no-probabilities-no-value")
def test_a_log_without_probabilities_gives_no_value(bank: Imported) -> None:
    with pytest.raises(Refused, match="does not say with what probability"):
        evaluate(context_of(bank), now_us=now_us())
    with pytest.raises(Refused, match="does not say with what probability"):
        evaluate(context_of(bank), now_us=now_us(), reward="value_eur")


@pytest.mark.long  # the published AUC itself is in test_reference_results.py
def test_churn_risk_ranks_as_published_and_scores_every_customer(tmp_path: Path) -> None:
    telco = Imported("telco-churn", tmp_path / "telco")
    result = train_risk(context_of(telco), outcome="churned", feature="churn_risk", now_us=now_us())
    assert result["auc"] >= 0.845
    assert (result["rows"], result["scored"], result["left_out"]) == (7_043, 7_043, 0)
    assert telco.registry.alias_version("churn-risk", "champion") == result["version"] == 1
    assert not any(name.startswith("churn_risk") for name in result["features"])
    left, stayed = (
        [
            telco.profiles.read([telco.stream(r["customerID"])], now_us=now_us())[0].facts["churn_risk"]
            for r in rows_of("telco-churn")[:200]
            if r["Churn"] == answer
        ]
        for answer in ("Yes", "No")
    )
    assert np.mean(left) > np.mean(stayed) + 0.2
    assert all(0.0 < risk < 1.0 for risk in (*left, *stayed))


@pytest.mark.promise("imports.hillstrom")
@pytest.mark.long
def test_all_of_hillstrom_in_under_a_minute(tmp_path: Path) -> None:
    start_s = time.perf_counter()
    shop = Imported("hillstrom", tmp_path)
    assert time.perf_counter() - start_s < 60
    assert (shop.written.customers, shop.written.rows) == (64_000, 64_000)
    assert {a: f"{100 * outcomes / n:.2f}" for a, (n, outcomes) in rates(shop).items()} == RATES
    result = evaluate(context_of(shop), now_us=now_us())
    assert result["held_out_rows"] == 19_200
    assert result["winner"] is None
