"""Negotiation at the desk within its budget, in a real browser: by keyboard alone, in both languages, and narrow."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.browser import SCHEMES, overflow, violations
from tests.pages.desk_site import DeskSite, at_desk, new_customer, served
from tests.serving.handovers.test_negotiating import NEGOTIATING

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskSite]:
    with served(tmp_path_factory.mktemp("negotiating"), NEGOTIATING.read_text()) as made:
        yield made


def press(page: Page, name: str) -> None:
    """Reach a button by the tab key alone, and press it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == name:
            page.keyboard.press("Enter")
            return
    pytest.fail(f"the tab key does not reach {name}")


@pytest.mark.promise("negotiation.desk")
def test_an_agent_negotiates_within_the_budget_by_keyboard_alone(browser: Browser, site: DeskSite) -> None:
    customer = new_customer()
    with at_desk(browser, site) as page:
        site.taken(page, customer)
        page.keyboard.type("ge")
        deal = page.locator("[data-piece=negotiate]")
        expect(deal).to_contain_text("Left to give: € 60")
        expect(deal.locator("li")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollHeight") <= 768, "nothing is below the first screen"
        press(page, "Offer this: A month for free")
        expect(page.get_by_text("On offer now, and held for the customer.")).to_be_visible()
        expect(deal.locator("li").first).to_contain_text("on offer now")
        press(page, "Offer this instead: A lower price")
        expect(deal.locator("li").first).to_contain_text("A lower price")
        page.keyboard.type("ga")
        expect(page.get_by_text("Recorded: Accepted.")).to_be_visible()
        page.keyboard.type("ge")
        expect(deal).to_contain_text("Left to give: € 34.50")
        expect(deal).not_to_contain_text("A month for free")
    states = [(one["state"], one.get("cents")) for one in site.records("concession", customer)]
    assert states == [("held", 4000), ("released", None), ("held", 2550), ("given", 2550)]
    acts = [act["did"] for act in site.records("handover_note", customer)]
    assert acts == ["swapped", "swapped", "accepted"]


@pytest.mark.promise("negotiation.desk")
def test_two_tabs_of_one_customer_give_no_more_than_the_budget(browser: Browser, site: DeskSite) -> None:
    customer = new_customer()
    with at_desk(browser, site, java_script_enabled=False) as page:
        handover = site.taken(page, customer)
        tabs = [page, page.context.new_page()]
        for tab in tabs:
            tab.goto(f"{site.address}/desk/{handover}?negotiate=1&lang=en")
        for tab, title in zip(tabs, ("A month for free", "A lower price"), strict=True):
            tab.get_by_role("button", name=f"Offer this : {title}").click()
        first = tabs[0].get_by_role("button", name="Accepted")
        first.click()
        expect(tabs[0].locator("main")).to_contain_text("not on offer any more")
        tabs[1].get_by_role("button", name="Accepted").click()
        expect(tabs[1].get_by_text("Recorded: Accepted.")).to_be_visible()
    given = [one["cents"] for one in site.records("concession", customer) if one["state"] == "given"]
    assert given == [2550]


@pytest.mark.promise("negotiation.desk")
def test_every_state_of_it_is_accessible_in_both_languages_and_schemes(browser: Browser, site: DeskSite) -> None:
    for scheme in SCHEMES:
        for width in (320, 1366):
            with at_desk(browser, site, color_scheme=scheme, viewport={"width": width, "height": 768}) as page:
                handover = site.taken(page, new_customer())
                for lang in ("nl", "en"):
                    page.goto(f"{site.address}/desk/{handover}?negotiate=1&lang={lang}")
                    assert (violations(page), overflow(page)) == ([], []), (scheme, lang, width)
                page.locator("[data-piece=negotiate] form button").first.click()
                assert (violations(page), overflow(page)) == ([], []), (scheme, "on offer", width)
