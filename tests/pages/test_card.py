"""Cards of models in a real browser: of several actions, of one, and of an event that happens by itself."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from serving.pages.card.page import contents, write_card
from serving.pages.styleguide.contents import HOSTILE
from tests.pages.browser import every_view, focus_order, opened, overflow
from training.reporting.cards import INTENDED, OF_EVENT, REFUSED, of_action

UNKNOWN = {"value": None, "low": None, "high": None}
BINS = [
    {"predicted": p, "observed": p + 0.01, "rows": 500, "customers": 480, "error": 0.012} for p in (0.02, 0.06, 0.14)
]


def action(name: str, auc: float | None = 0.71, limits: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return one action's part of a card: learned from 1,500 rows if an `auc` is known, else never tried."""
    rows, days = (1_500 if auc else 0), {"from": "2026-09-01T08:00:00+00:00", "until": "2026-11-29T20:00:00+00:00"}
    return {
        "action": name,
        "said": f"Figures are of {rows} rows.",
        "evidence": {"rows": rows, "positives": 105, "customers": 1_440, **days},
        "weights_from": {"own": 0.7, "group": 0.2, "all": 0.1} if auc else {"own": 0.0, "group": 0.0, "none": 1.0},
        "rate": {"value": 0.07, "low": 0.058, "high": 0.084} if auc else UNKNOWN,
        "held_out": {"auc": {"value": auc, "low": auc - 0.04, "high": auc + 0.04} if auc else UNKNOWN},
        "reliability": BINS if auc else [],
        "moved_by": [{"feature": "paid_tv_views_30s", "adds": 0.42, "low": 0.2, "high": 0.64}] if auc else [],
        "trees_split_on": [{"feature": "tenure_months", "share": 0.6}] if auc else [],
        "treatments": [{"treatment": f"{name}.web-hero", "rows": rows, "adds": 0.1}],
        "transparency": 2,
        "known_limits": list(limits),
    }


def card_of(*actions: dict[str, Any], model: str = "propensity@7", uses: tuple[str, ...] = INTENDED) -> dict[str, Any]:
    days = {"from": "2026-09-01T08:00:00+00:00", "until": "2026-11-29T20:00:00+00:00"}
    return {
        "model": model,
        "release": "sha256:" + 64 * "a",
        "data_hash": "sha256:" + 64 * "b",
        "said": "Figures are of 4,500 rows.",
        "rows": 4_500,
        "customers": 4_100,
        **days,
        "intended_use": list(uses),
        "refused_uses": list(REFUSED),
        "actions": list(actions),
    }


CARD = card_of(
    action("tv-bundle", 0.74),
    action("unlimited-data", 0.53, ("Not shown to rank customers better than chance",)),
    action(HOSTILE, 0.61, ("Thin evidence: 12 customers with a positive outcome",)),
    action("move-help", None, ("Never tried: scored by the weights of all actions",)),
)
EVENT = card_of(action("left", 0.8), model="churn-risk@1", uses=OF_EVENT)


@pytest.mark.promise("models.cards")
def test_the_card_of_several_actions_is_accessible_and_tells_what_is_known(browser: Browser, tmp_path: Path) -> None:
    def first_screen(page: Any) -> None:
        assert "better than chance for 2 of 4 actions." in page.inner_text(".sentences")
        assert "what is told of 3 of 4 actions." in page.inner_text(".sentences")
        assert HOSTILE in page.inner_text("#evidence")
        assert page.locator(".split figure svg:visible").count() == 1

    every_view(browser, write_card(tmp_path / "card.html", CARD).as_uri(), first_screen)


@pytest.mark.promise("models.cards")
def test_the_card_of_an_event_shows_its_calibration_with_intervals(browser: Browser, tmp_path: Path) -> None:
    def first_screen(page: Any) -> None:
        assert "in 80.0% of cases (between 76.0% and 84.0%)" in page.inner_text(".sentences")
        assert page.locator(".split svg:visible .span").count() == page.locator(".split svg:visible .dot").count() == 3
        assert page.locator("aside li").count() == len(OF_EVENT) + len(REFUSED)

    every_view(browser, write_card(tmp_path / "card.html", EVENT).as_uri(), first_screen)


def test_cards_fit_320_px_and_work_by_keyboard_and_on_paper(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, write_card(tmp_path / "card.html", CARD).as_uri(), width=320) as page:
        assert overflow(page) == []
        reached = focus_order(page)
        assert sum(text.startswith("summary") for text in reached) == page.locator("summary:visible").count()
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert overflow(page) == []
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = false)")
        page.set_viewport_size({"width": 688, "height": 980})  # A4 without its margins
        page.emulate_media(media="print")
        assert page.locator("#evidence table:visible").count() == 1
        assert all(limit in page.inner_text("#evidence") for a in CARD["actions"] for limit in a["known_limits"])
        assert page.evaluate("document.documentElement.scrollWidth") == 688


def test_the_card_of_one_action_shows_it_all_at_once() -> None:
    shown = contents(of_action(CARD, "tv-bundle"))
    assert shown["title"] == "propensity@7: tv-bundle"
    assert shown["learned"] == (
        "Learned from 1,500 rows of 1,440 customers or accounts, from 1 September 2026 to 29 November 2026."
    )
    assert [part.title for part in shown["actions"][0].parts][:2] == ["Predicted and happened", "What moves it most"]
    timeless = dict.fromkeys(("from", "until"), "1970-01-01T00:00:00+00:00")
    assert contents({**EVENT, **timeless})["learned"] == "Learned from 4,500 rows of 4,100 customers or accounts."
    untried = contents(of_action(CARD, "move-help"))
    assert untried["learned"] == "It was never tried."
    assert [s.text for s in untried["sentences"]] == ["What it has learned comes from the prior of no effect (100%)."]
