"""The learning commands on a log of known truth: train, register, promote, evaluate, and what they refuse."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused
from features.importing import catalogue_files, make_plan, read_mapping
from features.ledger import Entry
from tests.features.importing_help import NOW_US, SHOP, ImportWorkspace
from tests.training.learning_help import context_of
from training.evaluation.policies import Question, greedy, model_propensities
from training.evaluation.policies import evaluate as value_policies
from training.fitting.propensity import Recipe, fit
from training.fitting.tuning import TUNING
from training.learning.promotion import Justification, promote
from training.learning.report import card_of
from training.learning.workflow import evaluate, train, train_risk, training_set
from training.registry import Registry
from training.reporting.imported import imported_contacts
from training.reporting.pdstools import write_tables

BASE = Recipe(growth=None)
REASON = Justification("a.jansen", "nobody was decided for yet")
N = 3_000
MAPPING = (
    SHOP[: SHOP.index("files:")]
    + """
scores:
  - {name: churn_risk, outcome: left}
files:
  - id: log
    subject: {row: c}
    as_of: 2026-01-15
    features:
      - {column: age, name: age, dtype: int}
      - {column: sporty, name: sporty, dtype: bool}
      - {column: faith, name: faith, dtype: enum, values: [a, b], tags: [special-category]}
      - {column: paid, name: paid_eur, dtype: float, after_outcome: true}
    contact:
      action: {column: arm, values: {s: shoes, c: coats, "-": none}}
      channel: email
      at: 2026-02-01
      probability: 1/3
      outcomes:
        - {name: bought, column: bought, positive: 1, value: {column: paid}}
        - {name: left, column: left, positive: 1, counts: negative}
"""
)
MAPPING = (
    MAPPING.replace("      - {purpose", "      - {purpose")
    .replace(
        "consents: [{purpose: marketing, channel: email}]",
        "consents: [{purpose: marketing, channel: email}, {purpose: profiling}]",
    )
    .replace(
        '  - {id: marketing, notice_version: "2026-01"}',
        '  - {id: marketing, notice_version: "2026-01"}\n  - {id: profiling, notice_version: "2026-01"}',
    )
)


def log_file(path: Path, n: int = N, seed: int = 0) -> Path:
    """Write a log of three random arms: shoes suit the sporty, coats the others, and older customers leave."""
    rng = np.random.default_rng(seed)
    arm, sporty, age = rng.integers(0, 3, n), rng.random(n) < 0.5, rng.integers(18, 80, n)
    suits = ((arm == 0) & sporty) | ((arm == 1) & ~sporty)
    bought = rng.random(n) < np.where(suits, 0.35, np.where(arm == 2, 0.02, 0.05))
    left = rng.random(n) < (age - 10) / 100
    faith = rng.choice(["a", "b"], n)
    lines = [
        f"{a},{str(s).lower()},{f},{'sc-'[r]},{b:d},{20 if b else 0},{has_left:d}"
        for a, s, f, r, b, has_left in zip(age, sporty, faith, arm, bought, left, strict=True)
    ]
    path.write_text("\n".join(["age,sporty,faith,arm,bought,paid,left", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ImportWorkspace:
    folder = tmp_path_factory.mktemp("shop")
    plan = make_plan(read_mapping("shop.yaml", MAPPING.encode()), {"log": log_file(folder / "log.csv")}, NOW_US)
    imported = ImportWorkspace(folder / "data", plan)
    imported.plan = plan  # type: ignore[attr-defined]
    imported.registry = Registry(imported.data)  # type: ignore[attr-defined]
    imported.write(plan)
    return imported


def learn(shop: Any, **options: Any) -> dict[str, Any]:
    return train(context_of(shop), now_us=NOW_US, recipe=BASE, **options)


def risk(shop: Any, **options: Any) -> dict[str, Any]:
    options_used = {"outcome": "left", "feature": "churn_risk", "now_us": NOW_US, "recipe": BASE} | options
    return train_risk(context_of(shop), **options_used)


def value(shop: Any, **options: Any) -> dict[str, Any]:
    options_used = {"now_us": NOW_US, "recipe": BASE} | options
    return evaluate(context_of(shop), **options_used)


@pytest.mark.promise("models.cards")
def test_train_registers_a_challenger_with_everything_that_says_where_it_came_from(shop: Any) -> None:
    steps: list[tuple[int, int, str]] = []
    result = learn(shop, progress=lambda *a: steps.append(a))
    name, version = result["name"], result["version"]
    assert result["model"] == f"propensity@{version}"
    assert (result["rows"], result["features"]) == (N, ["age", "churn_risk", "sporty"])
    auc = {row["action"]: row["auc"] for row in result["actions"]}
    assert auc.keys() == {"shoes", "coats", "none"}
    assert auc["shoes"] > 0.7
    assert shop.registry.alias_version(name, "challenger") == version
    assert shop.registry.load(name, version).feature_names == ("age", "churn_risk", "sporty")
    assert [s for s in steps if s[2] not in ("ledger", "features")] == [
        (0, 3, "fitting on 70%"),
        (1, 3, "fitting on all rows"),
        (2, 3, "registering"),
        (3, 3, "done"),
    ]
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{shop.data / 'mlflow.db'}")
    run = client.get_run(client.get_model_version(name, str(version)).run_id)
    assert run.data.params["data_hash"] == result["data_hash"]
    assert run.data.params["release"] == shop.release.hash
    assert run.data.params["held_out_rows"] == "900"
    assert run.data.metrics["auc"] == result["auc"]
    card = card_of(shop.registry, version)
    assert (card["model"], card["data_hash"]) == (f"propensity@{version}", result["data_hash"])
    assert sum(a["evidence"]["rows"] for a in card["actions"]) == result["rows"]
    assert sum(a["held_out"]["rows"] for a in card["actions"]) == 900
    assert not re.search("faith|hardship|paid_eur", json.dumps(card))
    with pytest.raises(NotFound, match="registered without"):
        shop.registry.document(name, version, TUNING)
    assert {f.path for f in client.list_artifacts(run.info.run_id, "plots")} == {
        "plots/auc.png",
        "plots/calibration.png",
    }


@pytest.mark.promise("models.tuning-must-help")
def test_a_tuned_model_is_judged_on_rows_that_it_was_not_tuned_on(shop: Any) -> None:
    result = learn(shop, tune_s=0.5)
    tuning = shop.registry.document("propensity", result["version"], TUNING)
    assert (tuning["rows"], tuning["trials"][0]["treatment_precision"]) == (N - 900, 10.0)
    assert result["tuned"] == tuning["why"]
    losses = [trial["loss"] for trial in tuning["trials"]]
    assert result["log_loss"] not in losses


def test_a_log_without_features_is_refused(shop: Any) -> None:
    with pytest.raises(Refused, match="there is no feature to learn from"):
        train(context_of(shop), now_us=NOW_US, recipe=BASE, inputs=())


def test_the_same_ledger_gives_the_same_model(shop: Any) -> None:
    first, second = learn(shop), learn(shop)
    assert first["data_hash"] == second["data_hash"]
    assert shop.registry.sealed_directory("propensity", first["version"]) == shop.registry.sealed_directory(
        "propensity", second["version"]
    )


def test_promote_makes_the_challenger_the_champion(shop: Any, tmp_path: Path) -> None:
    first, version = (learn(shop)["version"] for _ in range(2))
    context = context_of(shop)
    assert promote(context, NOW_US, justification=REASON)["version"] == version
    assert shop.registry.alias_version("propensity", "champion") == version
    with pytest.raises(Refused, match=f"propensity@{version} serves already: there is nothing to promote"):
        promote(context, NOW_US)
    before = promote(context, NOW_US, version=first, justification=REASON)
    assert (before["version"], before["before"]) == (first, version)
    with pytest.raises(NotFound):
        promote(context, NOW_US, version=99)
    with pytest.raises(Refused, match="no challenger"):
        promote(replace(context, registry=Registry(tmp_path)), NOW_US)
    fewer = {k: v.replace("name: sporty,", "name: sportif,") for k, v in catalogue_files(shop.plan).items()}
    with pytest.raises(Refused, match=r"reads what this release does not declare \(sporty\)"):
        promote(context_of(shop, Release.from_bytes(pack(fewer))), NOW_US)
    assert load(fewer)


def test_a_retraining_leaves_what_is_frozen_as_the_champion_has_it(shop: Any) -> None:
    promote(context_of(shop), NOW_US, version=learn(shop)["version"], justification=REASON)
    champion = shop.registry.alias_version("propensity", "champion")
    text = {
        k: v.replace("  - id: shoes", "  - id: shoes\n    frozen: audit") for k, v in catalogue_files(shop.plan).items()
    }
    freezing = context_of(shop, Release.from_bytes(pack(text)))
    result = train(freezing, now_us=NOW_US, recipe=BASE, outcome="left")
    (frozen,) = result["frozen"]
    before, after = (shop.registry.load("propensity", v) for v in (champion, result["version"]))
    assert (frozen["action"], frozen["reason"], frozen["from"]) == ("shoes", "audit", before.content_hash)
    x = np.random.default_rng(0).normal(40, 20, (200, 3))
    for action, same in (("shoes", True), ("coats", False)):
        before_scores, after_scores = (m.propensities(x, m.actions.index(action), 0) for m in (before, after))
        assert np.array_equal(before_scores, after_scores) == same
    assert promote(freezing, NOW_US, justification=REASON)["version"] == result["version"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("paid_eur", "known only after the outcome"),
        ("faith", "must not be read by a model"),
        ("hardship", "must not be read by a model"),
        ("sporti", "did you mean `sporty`"),
    ],
)
def test_an_input_that_no_model_may_read_is_refused(shop: Any, name: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        learn(shop, inputs=["age", name])
    with pytest.raises(Refused, match=why):
        risk(shop, inputs=["age", name])


def test_inputs_and_outcome_can_be_chosen(shop: Any) -> None:
    result = learn(shop, inputs=["sporty"], outcome="left")
    assert result["features"] == ["sporty"]
    assert sum(row["positives"] for row in result["actions"]) > 900 * 0.3


def test_a_policy_that_really_is_better_wins(shop: Any) -> None:
    result = value(shop)
    assert result["winner"] == "trained", result["why"]
    assert result["rests_on"].startswith("Values are per decision, and rest on 900 decisions of 900 customers;")
    assert (result["decisions"], result["customers"], result["left_out"]) == (900, 900, {})
    assert result["left_out_why"].startswith("No decision was left out.")
    rows = {(p["policy"], p["method"]): p for p in result["policies"]}
    assert rows["trained", "dr"]["low"] > rows["always shoes", "dr"]["value"]
    worth = value(shop, reward="value_eur")
    assert worth["winner"] == "trained"
    assert worth["logged"]["value"] == pytest.approx(20 * result["logged"]["value"])


def test_values_are_of_rows_that_trained_nothing(shop: Any) -> None:
    """No arm keeps customers better, so choices are noise, and a model of the judged rows chooses differently."""
    log = training_set(context_of(shop), NOW_US, outcome="left")
    for seed in range(20):
        recipe = Recipe(growth=None, seed=seed)
        learn_from, held_out = log.split(0.7, seed)
        chosen, peeked = (greedy(model_propensities(fit(d, recipe), held_out)) for d in (learn_from, held_out))
        if not np.array_equal(chosen, peeked):
            break
    else:
        pytest.fail("no split on which it would show")
    expected = value_policies(held_out, {"trained": chosen}, Question(seed=seed)).policies[0].estimates
    rows = value(shop, recipe=recipe, outcome="left")["policies"]
    assert [r["value"] for r in rows if r["policy"] == "trained"] == [e.interval.value for e in expected]


def test_too_little_is_refused(shop: Any) -> None:
    with pytest.raises(Refused, match="no contact whose outcome is known"):
        train(context_of(shop), now_us=1_769_990_400_000_000)
    with pytest.raises(Refused, match="--outcome: no action declares returned; they declare bought, left"):
        value(shop, outcome="returned")
    with pytest.raises(Refused, match="sporty is no score"):
        risk(shop, feature="sporty")
    with pytest.raises(Refused, match="too little to learn from"):
        risk(shop, outcome="returned")


def test_who_allows_no_profiling_gets_no_score(shop: Any) -> None:
    erased, objecting, restricted = (shop.stream(f"c{n}") for n in (1, 2, 3))
    consent = {"purpose": "profiling", "channel": "*", "source": "web", "notice_version": "2026-01"}
    shop.ledger.append([Entry(objecting, "consent", {**consent, "status": "objected"}, NOW_US - 1)])
    shop.ledger.append([Entry(restricted, "flag", {"restricted": True}, NOW_US - 1)])
    shop.ledger.erase(erased)
    result = risk(shop)
    assert result["features"] == ["age", "sporty"]  # no score of a model, its own least of all
    assert (result["scored"], result["left_out"]) == (N - 3, 3)
    assert result["rows"] == N - 2  # the erased have no label, and of the restricted none is used
    assert all("churn_risk" not in shop.facts(f"c{n}") for n in (1, 2, 3))
    assert 0.0 < shop.facts("c4")["churn_risk"] < 1.0
    assert shop.registry.alias_version("churn-risk", "champion") == result["version"]


def test_imported_contacts_are_in_a_report_and_no_offers_for_pdstools(shop: Any, tmp_path: Path) -> None:
    context = context_of(shop)
    log = context.updated_log(NOW_US)
    rows = imported_contacts(log, context.release)["imported"]
    contacts = shop.plan.contacts[0]
    assert {r["action"] for r in rows} == set(contacts.action.unique().to_pylist())
    assert 0 < sum(r["succeeded"] for r in rows) < sum(r["contacts"] for r in rows) <= len(contacts.action)
    assert all(r["low"] <= r["value"] <= r["high"] for r in rows)
    with pytest.raises(Refused, match="empty tables"):
        write_tables(log, context.release, NOW_US, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
