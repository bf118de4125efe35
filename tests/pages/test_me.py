"""The customer's own page in a real browser: with scripts and without, in both languages, light and dark, at 320 px."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.browser import SCHEMES, focus_order, lost_with_large_and_wide_text, opened, overflow, violations
from tests.pages.own_site import OwnSite, served
from tests.serving.people.openid import provider

HOSTILE = "<img src=x onerror=\"document.title='ran'\"> \u202e" + "x" * 300


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSite]:
    with served(tmp_path_factory.mktemp("me")) as site:
        yield site


def enter(page: Page) -> None:
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data and choices")


@pytest.mark.promise("me.pages")
@pytest.mark.parametrize("scripts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_customer_objects_contests_and_erases_with_and_without_scripts(
    browser: Browser, site: OwnSite, scripts: bool
) -> None:
    customer = f"c-{scripts}".lower()
    site.known(customer)
    with opened(browser, site.link(customer), java_script_enabled=scripts) as page:
        enter(page)
        page.get_by_role("button", name=re.compile("^Stop everywhere ?: Offers$")).click()
        expect(page.get_by_role("status")).to_have_text("It is stopped. This works from now on.")
        page.get_by_role("button", name="Have a person look at it").click()
        expect(page.get_by_role("status")).to_contain_text("We have your question.")
        page.get_by_label("What is it about?").fill(HOSTILE)
        page.get_by_role("button", name="Make a complaint").click()
        expect(page.locator("#ask article")).to_have_count(2)
        assert page.title() == "Your data and choices - shop"
        page.get_by_role("link", name="What happens when you erase").click()
        page.get_by_label("Your code").fill(site.code(customer))
        page.get_by_role("button", name="Use this code").click()
        expect(page.get_by_text("Step 2 of 2")).to_be_visible()
        consents = {(c["purpose"], c["status"]) for c in site.asked("GET", f"/v1/customers/{customer}")["consents"]}
        assert ("marketing", "withdrawn") in consents
        requests = site.asked("GET", "/v1/requests")["requests"]
        assert {one["about"] for one in requests if one["customer_id"] == customer} == {"contest", "complaint"}
        page.get_by_role("button", name="Erase everything").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Everything is erased")
        page.goto(f"{site.address}/me")
        expect(page.get_by_role("heading", level=1)).to_have_text("You need a link")
    assert site.asked("GET", f"/v1/customers/{customer}")["erased"]


@pytest.mark.long
@pytest.mark.promise("me.sign-in")
def test_a_customer_comes_back_from_the_companys_site_without_scripts(browser: Browser, tmp_path: Path) -> None:
    with provider() as openid, served(tmp_path, openid.issuer) as site:
        openid.claims = {"sub": "c-signed"}
        site.known("c-signed")
        here = site.address.replace("127.0.0.1", "localhost")
        window = browser.new_context(java_script_enabled=False)
        page = window.new_page()
        page.goto(f"{here}/me?lang=en")
        page.get_by_role("link", name="Sign in with us").click()
        assert page.url.startswith(f"{here}/me/signed-in")
        enter(page)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download everything").click()
        assert "c-signed" in download.value.path().read_text()
        page.get_by_role("link", name="What happens when you erase").click()
        page.get_by_role("button", name="Erase everything").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Everything is erased")
        window.close()


@pytest.mark.promise("me.pages")
@pytest.mark.parametrize("lang", ["en", pytest.param("nl", marks=pytest.mark.long)])
@pytest.mark.parametrize("scheme", [SCHEMES[0], pytest.param(SCHEMES[1], marks=pytest.mark.long)])
def test_every_state_is_accessible_and_fits_320_px(browser: Browser, site: OwnSite, lang: str, scheme: str) -> None:
    customer = f"c-{lang}-{scheme}"
    site.known(customer)

    def check(page: Page) -> None:
        assert (violations(page), overflow(page)) == ([], []), page.url

    with opened(browser, site.link(customer, lang), width=320, color_scheme=scheme) as page:
        check(page)
        page.get_by_role("button").click()
        page.locator("#ask textarea").fill(HOSTILE)
        page.locator("#ask button").first.click()
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        check(page)
        assert page.locator("html").get_attribute("lang") == lang
        assert page.title().endswith(" - shop"), "no script of a text ran"
        page.goto(f"{site.address}/me/erase")
        check(page)


@pytest.mark.long
@pytest.mark.promise("me.pages")
def test_the_page_works_by_keyboard_alone_and_with_large_and_wide_text(browser: Browser, site: OwnSite) -> None:
    site.known("c-keys")
    with opened(browser, f"{site.address}/me", width=320) as page:
        assert (violations(page), overflow(page)) == ([], [])
    with opened(browser, site.link("c-keys"), width=640) as page:
        page.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Your data and choices")
        reached = focus_order(page)
        assert len([text for text in reached if text.startswith("button")]) == page.locator("button").count()
        assert lost_with_large_and_wide_text(page) == []
