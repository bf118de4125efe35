"""The page of a simulated change in a real browser: with nobody moved, with help lost, and with hostile names."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from decisioning.review.simulated.outcomes import SimulatedCustomer, SimulatedDecision, SimulatedOffer
from serving.pages.simulation.page import page_of
from serving.pages.simulation.words import sentences, simulation_wording
from tests.pages.browser import every_view, focus_order, opened, overflow
from training.learning.simulated_change import change_figures, per_day

HOSTILE = "<img src=x onerror=alert(1)> Öztürk-" + "van-den-" * 6
SALE = SimulatedOffer("tv-bundle-with-a-very-long-name", "tv.web", "grow", 4.0, 12.0)
HELP = SimulatedOffer("fix-router", "fix.web", "service", 0.5, 900.0)
TV = SimulatedOffer("tv-bundle", "tv.web", "grow", 3.0, 900.0)

CALLED = np.repeat([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 100, axis=0)
"""How often each of 300 customers was handed to a person, before and after."""


def rows(n: int = 240) -> list[SimulatedCustomer]:
    """Return customers of two places, of whom 12 lose help to a sale and 60 get another sale."""
    return [row for i in range(n) for row in (_row(i, "web hero"), _row(i, "app card"))]


def _row(i: int, place: str) -> SimulatedCustomer:
    before, after = TV, TV
    if place == "web hero" and i < 72:
        before, after = (HELP, SALE) if i < 12 else (TV, SALE)
    told = (
        SimulatedDecision((offer,), None, offer.action, frozenset({"consent:marketing"}), "nba", i % 3)
        for offer in (before, after)
    )
    groups = {"gender": "f" if i % 2 else "m", "age": 20 + i % 60}
    return SimulatedCustomer(f"c-{i}", place, *told, as_before_eur=after.expected_eur, groups=groups)


def figures(of: list[SimulatedCustomer]) -> dict[str, Any]:
    counted = change_figures(of)
    example = {"customer": HOSTILE, "place": "web hero", "from": HOSTILE, "to": "TV", "why": "its lever went up"}
    return {
        **counted,
        "before": "sha256:" + "a" * 64,
        "after": "sha256:" + "b" * 64,
        "as_of": "2026-12-01T10:00:00Z",
        "who": "customers",
        "same_release": False,
        "changes": [
            {"section": "actions", "item": "tv", "field": "lever", "before": "[]", "after": '[{"factor": 2.5}]'}
        ],
        "unknown_features": [],
        "examples": [example] if counted["flows"] else [],
        "assumed": "Each customer comes once to each place.",
        "handovers": {"days": 7.0, "conversations": 900, "agents": 12, "at_once": 30, **per_day(CALLED, 7.0)},
        "withheld": [
            {**row, "text": "no permission for marketing", "text_nl": "geen toestemming voor marketing"}
            for row in counted["withheld"]
        ],
    }


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("simulation") / "change.html"
    path.write_text(page_of(figures(rows())), encoding="utf-8")
    return path.as_uri()


def test_the_page_is_accessible_and_says_first_who_loses_help(browser: Browser, address: str) -> None:
    def read(page: Page) -> None:
        text = page.inner_text("main")
        assert HOSTILE in text
        first = page.locator(".sentences li").all_inner_texts()
        assert first[0].startswith("72 of 240 customers (30%, between ")
        assert first[1].startswith("12 lose help or service, 12 of them to a sale: most often fix-router")
        assert "help lost" in page.inner_text(".panel").lower()
        assert "factor 2.5" in text

    every_view(browser, address, read)


def test_the_page_in_dutch_says_all_but_names_in_dutch(browser: Browser, tmp_path: Path) -> None:
    (page := tmp_path / "wijziging.html").write_text(page_of(figures(rows()), "nl"), encoding="utf-8")

    def read(page: Page) -> None:
        first = page.locator(".sentences li").all_inner_texts()
        assert first[0].startswith("72 van 240 klanten (30%, tussen ")
        assert "hulp weg" in page.inner_text(".panel").lower()
        page.eval_on_selector_all("[lang=en], bdi, svg title", "all => all.forEach(one => one.remove())")
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        left = set(re.findall(r"[a-z]+", page.inner_text("body").lower()))
        assert left & {"the", "and", "customers", "before", "after", "nothing", "groups", "money", "sold"} == set()

    every_view(browser, page.as_uri(), read)


def test_the_page_works_at_320_px_by_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address, width=320) as page:
        assert overflow(page) == []
        reached = focus_order(page)
        assert {"a Help and service", "a The change", "summary Why places stay empty"} <= set(reached)


def test_a_change_of_nothing_has_its_own_state(tmp_path: Path) -> None:
    same = [SimulatedCustomer(r.customer, r.place, r.before, r.before, r.before.expected_eur) for r in rows(40)]
    text = page_of(figures(same))
    assert "Nobody moves" in text
    assert "None of 40 customers gets another first offer." in text
    assert "which takes 200 customers" in text
    assert not re.search(r"\bNone\b(?! of)|nan", text)


def test_figures_are_sums_over_customers_and_help_that_a_sale_displaces_comes_first() -> None:
    counted = figures(rows())
    money = counted["money"]
    assert money["before_eur"]["value"] == pytest.approx((12 * 0.5 + 468 * 3.0) / 240)
    assert money["after_eur"]["value"] == pytest.approx((72 * 4.0 + 408 * 3.0) / 240)
    change = money["change_eur"]
    assert change["low"] < change["value"] < change["high"]
    assert money["revalued_eur"]["value"] == 0.0
    assert money["little_tried"] == pytest.approx(288 / (288 + 408 * 3.0))
    assert counted["help"]["lost"] == [
        {"help": "fix-router", "instead": SALE.action, "displaced_by_a_sale": True, "customers": 12}
    ]
    assert [(row["group"], row["issue"]) for row in counted["fairness"]][-2:] == [("f", "grow"), ("m", "grow")]
    assert sum(row["customers"] for row in counted["fairness"] if row["feature"] == "age") == 240
    assert counted["contacts"]["week"]["value"] == 1.0


def test_a_group_that_is_sold_less_only_after_the_change_is_named() -> None:
    """Nobody of sixty and more is sold anything after the change."""
    changed = [
        SimulatedCustomer(
            f"c-{i}",
            "web hero",
            SimulatedDecision((TV,), None, "tv-bundle"),
            SimulatedDecision((TV,) if i % 4 else (), None, "tv-bundle"),
            0.0,
            {"generation": "old" if i % 4 == 0 else "young"},
        )
        for i in range(400)
    ]
    counted = figures(changed)
    old = next(row for row in counted["fairness"] if row["group"] == "old")
    assert (old["customers"], old["reached_before"]["value"], old["reached_after"]["value"]) == (100, 1.0, 0.0)
    assert (old["guard_before"]["state"], old["guard_after"]["state"]) == ("kept", "breached")
    text = sentences(counted, simulation_wording("en"))["fairness"]
    assert text.startswith(
        "In 2 of 2 comparisons, a protected group is sold to much more or less often than the others"
    )
    assert "2 of them only after the change: generation old, grow" in text
    assert "unfair" in page_of(counted)
