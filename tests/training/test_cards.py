"""A card says what a model's figures rest on, as the fit itself knows it, and what their limits are."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from serving.pages.card.page import write_card
from serving.pages.report.page import write_page
from tests.pages.sections import whole
from tests.training.decided import CATALOGUE
from tests.training.logs import random_log
from training.fitting.frozen import single_action_model, with_frozen
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, _above, _actions, fit
from training.fitting.risk import one_action
from training.model.design import make_design
from training.model.frame import ModelTerms, TrainingSet
from training.model.model import Frozen
from training.reporting.cards import describe, describe_event, of_action, overview
from training.reporting.held_out import HeldOut
from training.reporting.registration import fit_event

BASE = Recipe(growth=None)
RELEASE = Release.from_bytes(pack({"all.yaml": CATALOGUE}))


def shop_log(n: int, cakes: int) -> TrainingSet:
    """Return `random_log` as contacts about tea and coffee (drinks), and a few about cake (food)."""
    log = random_log(n, n_actions=3)
    names, groups = ("tea", "coffee", "cake"), ("drinks", "drinks", "food")
    treatments = tuple(("mail", "web") for _ in names)
    log = replace(log, actions=names, groups=groups, treatments=treatments)
    few = (log.action != 2) | (np.cumsum(log.action == 2) <= cakes)
    return log.take(few)


def card_of(log: TrainingSet, recipe: Recipe = BASE) -> dict[str, Any]:
    learn, held_out = log.split(0.7, 0)
    held_out_rows = HeldOut(held_out, propensities(fit(learn, recipe), held_out))
    return {"model": "propensity@1", **describe(fit(log, recipe), log, held_out_rows, RELEASE)}


@pytest.fixture(scope="module")
def log() -> TrainingSet:
    return shop_log(3_000, 60)


@pytest.fixture(scope="module")
def card(log: TrainingSet) -> dict[str, Any]:
    return card_of(log)


@pytest.mark.promise("models.cards")
def test_counts_are_those_of_the_rows(log: TrainingSet, card: dict[str, Any]) -> None:
    for code, action in enumerate(log.actions):
        part, rows = of_action(card, action), log.action == code
        assert part["evidence"]["rows"] == rows.sum()
        assert part["evidence"]["positives"] == log.label[rows].sum()
        assert part["rate"]["low"] < part["rate"]["value"] == log.label[rows].mean() < part["rate"]["high"]
        assert sum(t["rows"] for t in part["treatments"]) == (log.treatment[rows] >= 0).sum()
        assert sum(b["rows"] for b in part["reliability"]) in (0, part["held_out"]["rows"])


@pytest.mark.promise("models.cards")
def test_what_an_action_borrows_is_what_the_fit_borrowed(log: TrainingSet, card: dict[str, Any]) -> None:
    """The fit knows each weight's prior precision; the card computes the shares from rows, without it."""
    design = make_design(log.x)
    inputs = design.rows(log.x)
    _, groups = _above(log, inputs, BASE)
    nodes = [fitted.node for fitted in _actions(log, inputs, groups, BASE)]
    own = [1.0 - (n.precision / n.curvature)[: design.width].mean() for n in nodes]
    drinks = 1.0 - (groups[0].precision / groups[0].curvature).mean()
    for share, action in zip(own, log.actions, strict=True):
        assert of_action(card, action)["weights_from"]["own"] == pytest.approx(share, abs=0.02)
    assert of_action(card, "tea")["weights_from"]["group"] == pytest.approx((1.0 - own[0]) * drinks, abs=0.02)
    assert of_action(card, "cake")["weights_from"]["group"] == 0.0  # no food but cake: those rows are its own
    for part in card["actions"]:
        assert sum(part["weights_from"].values()) == pytest.approx(1.0)


@pytest.mark.promise("models.cards")
def test_cold_actions_back_off_to_their_group_and_then_to_all() -> None:
    few, many = (of_action(card_of(shop_log(3_000, n)), "cake") for n in (40, 400))
    assert few["weights_from"]["own"] < many["weights_from"]["own"]
    assert "Borrowed" in " ".join(few["known_limits"])
    coffee = shop_log(2_000, 60)
    coffee = replace(coffee.take(coffee.action == 1), actions=("-", "coffee", "+"), groups=("-", "drinks", "+"))
    cold = card_of(coffee)
    tea, cake = of_action(cold, "tea"), of_action(cold, "cake")
    assert (tea["scored_by"], cake["scored_by"]) == ("its group's weights", "the weights of all actions")
    assert tea["weights_from"]["own"] == cake["weights_from"]["own"] == cake["weights_from"]["group"] == 0.0
    assert min(tea["weights_from"]["group"], cake["weights_from"]["all"]) > 0.5
    assert tea["known_limits"] == ["Never tried: scored by its group's weights"]


@pytest.mark.promise("models.cards")
def test_what_supersedes_another_shows_what_it_inherits() -> None:
    """Cake is new and supersedes coffee: with few rows, coffee determines most of its weights."""
    new, later = (
        of_action(
            card_of(replace(shop_log(3_000, cakes), terms=(ModelTerms(), ModelTerms(), ModelTerms("coffee")))), "cake"
        )
        for cakes in (30, 900)
    )
    assert new["evidence"]["inherited"] == (shop_log(3_000, 30).action == 1).sum()
    assert new["asked"]["supersedes"] == "coffee"
    assert new["weights_from"]["superseded"] > new["weights_from"]["group"] + new["weights_from"]["all"]
    assert later["weights_from"]["own"] > new["weights_from"]["own"]
    assert later["weights_from"]["superseded"] < new["weights_from"]["superseded"]


@pytest.mark.promise("models.cards")
def test_a_card_says_in_one_sentence_whose_rows_figures_are_of_and_what_is_left_out(log: TrainingSet) -> None:
    regulars = replace(log, unit=np.arange(len(log)) // 10)
    card = card_of(regulars)
    held_out, tea = regulars.split(0.7, 0)[1], of_action(card, "tea")
    own, own_held_out = (data.take(data.action == 0) for data in (regulars, held_out))
    for part, rows, unseen in ((card, regulars, held_out), (tea, own, own_held_out)):
        assert part["said"].startswith(f"Figures are of {len(rows)} rows of {rows.customers} customers or accounts,")
        assert f"held-out figures of {unseen.customers} of them" in part["said"]
        assert part["said"].endswith("or whose look was never told, and of the fit 0 rows from before a change.")
        assert part["said"].count(".") == 1
    row = next(r for r in overview(card) if r["action"] == "tea")
    assert row["customers"] == tea["evidence"]["customers"] == own.customers < len(own)


def test_a_frozen_action_is_told_as_it_is_kept(log: TrainingSet, card: dict[str, Any]) -> None:
    older = fit(log.take(log.at_us < 1_500), BASE)
    frozen_tea = {"tea": Frozen(single_action_model(older, 0), older.content_hash, 7, "a regulator looks at it")}
    held_out = log.split(0.7, 0)[1]
    held_out_rows = HeldOut(held_out, propensities(fit(log, BASE), held_out))
    frozen = describe(with_frozen(fit(log, BASE), frozen_tea), log, held_out_rows, RELEASE)
    tea, coffee = (next(a for a in frozen["actions"] if a["action"] == name) for name in ("tea", "coffee"))
    assert (tea["frozen"]["reason"], tea["weights_from"]["earlier"]) == ("a regulator looks at it", 1.0)
    assert tea["moved_by"] == of_action(card_of(log.take(log.at_us < 1_500)), "tea")["moved_by"]
    assert tea["evidence"]["left_out"] == 0
    assert "Frozen since" in tea["known_limits"][0]
    assert coffee == {k: v for k, v in of_action(card, "coffee").items() if k != "model"} | {
        "held_out": coffee["held_out"],
        "reliability": coffee["reliability"],
        "known_limits": coffee["known_limits"],
    }


@pytest.mark.promise("models.cards")
def test_what_was_left_out_after_a_change_is_told() -> None:
    log = random_log(6_000, missing=0.0)
    changed = replace(log, x=np.where((log.at_us >= 4_500)[:, None], -log.x, log.x))
    model = fit(changed, BASE)
    assert model.evidence.sum() < 6_000
    actions = card_of(changed)["actions"]
    for action, used in zip(model.actions, model.evidence, strict=False):
        evidence = next(a["evidence"] for a in actions if a["action"] == action)
        assert evidence["rows"] - evidence["left_out"] == used
    assert sum("The truth changed" in " ".join(a["known_limits"]) for a in actions) == 4


def test_features_point_where_they_move_the_customers_propensity(log: TrainingSet, card: dict[str, Any]) -> None:
    model = fit(log, BASE)
    for feature in of_action(card, "tea")["moved_by"]:
        j = log.feature_names.index(feature["feature"])
        more = np.tile(model.design.mean, (2, 1))
        more[1, j] += 1.0 / model.design.inverse_scale[j]
        less, higher = np.log(p := model.propensities(more, 0)) - np.log1p(-p)
        assert higher - less == pytest.approx(feature["adds"])
        assert (feature["direction"] == "up") == (higher > less)


@pytest.mark.promise("models.cards")
def test_held_out_figures_are_of_rows_that_the_model_never_saw(log: TrainingSet, card: dict[str, Any]) -> None:
    held_out = log.split(0.7, 0)[1]
    tea = of_action(card, "tea")["held_out"]
    assert tea["rows"] == (held_out.action == 0).sum()
    assert tea["auc"]["low"] < tea["auc"]["value"] < tea["auc"]["high"]
    assert tea["log_loss_of_the_prior"] - tea["log_loss"] == pytest.approx(tea["gain_over_the_prior"]["value"])
    backwards = HeldOut(held_out, 1.0 - propensities(fit(log, BASE), held_out))
    worse = next(a for a in describe(fit(log, BASE), log, backwards, RELEASE)["actions"] if a["action"] == "tea")
    rank, predict = "Not shown to rank customers better than chance", "Not shown to predict better than the catalogue"
    assert rank in worse["known_limits"]
    assert rank not in of_action(card, "tea")["known_limits"]
    flat = HeldOut(held_out, np.full(len(held_out), 0.001))
    untold = describe(fit(log, BASE), log, flat, RELEASE, {"tea": 0.8})
    worse = next(a for a in untold["actions"] if a["action"] == "tea")
    assert any(predict in limit for limit in worse["known_limits"])
    assert "Nobody told the look of 80% of its successes: they are not learned from" in worse["known_limits"]


@pytest.mark.promise("models.cards")
def test_a_card_is_json_and_a_page_that_tells_of_nobody(card: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert [row["action"] for row in overview(card)] == ["cake", "tea", "coffee"]
    page = write_page(tmp_path / "page.html", whole({"release": RELEASE.hash, "card": card})).read_text()
    assert page.count(": what it rests on</summary>") == 3
    assert all(escape(limit) in page for a in card["actions"] for limit in a["known_limits"])
    assert all(escape(part["said"]) in page for part in (card, *card["actions"]))
    assert card["data_hash"][:19] in page
    with pytest.raises(Refused, match="no such action"):
        of_action(card, "soup")


@pytest.mark.promise("models.cards")
def test_a_model_of_an_event_has_a_card_and_a_page(tmp_path: Path, log: TrainingSet) -> None:
    """It tells the event, its held-out figures and limits, and nothing of a catalogue's prior, which there is not."""
    rows = one_action(log.x, log.label, log.feature_names, log.unit)
    model, metrics = fit_event(rows, BASE)
    card = {"model": "churn-risk@1", **describe_event(model, rows, metrics.predicted, RELEASE, "left")}
    event = card["actions"][0]
    assert (event["action"], event["evidence"]["rows"]) == ("left", len(log))
    assert event["held_out"]["auc"]["value"] == pytest.approx(metrics.auc)
    assert "prior" not in json.dumps([event["held_out"], event["known_limits"]])
    page = write_card(tmp_path / "card.html", card).read_text()
    assert f"{int(log.label.sum()):,} of {len(log):,} rows" in page
    assert all(escape(text) in page for text in (*card["intended_use"], *event["known_limits"], "churn-risk@1"))
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
