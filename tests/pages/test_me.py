"""The customer's own page in a real browser: with scripts and without, in both languages, light and dark, at 320 px."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from serving.brain.runtime import Brain
from tests.pages.browser import SCHEMES, focus_order, opened, overflow, violations
from tests.serving.people.own_page import code_for, link_for
from tests.serving.server import free_port
from tests.serving.workspaces import Client, ask, small_workspace, welcome

HOSTILE = "<img src=x onerror=\"document.title='ran'\"> \u202e" + "x" * 300


@dataclass(frozen=True)
class Site:
    """The pages of a workspace as a server of this process serves them."""

    address: str
    client: Client
    beside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """The thread of the company's systems: in the tests' own, the browser runs."""

    def link(self, customer: str, lang: str = "en") -> str:
        return self.address + self.beside.submit(lambda: link_for(self.client, customer, locale=lang)).result()

    def code(self, customer: str) -> str:
        return self.beside.submit(code_for, self.client, customer).result()

    def asked(self, method: str, path: str, body: Any = None) -> Any:
        return self.beside.submit(self.client, method, path, body).result()[1]

    def known(self, customer: str) -> None:
        """Let a customer be known, and be shown something."""
        self.beside.submit(welcome, self.client, customer, purposes=("marketing", "profiling")).result()
        shown = ask(f"r-{customer}", customer, placements=[{"name": "sidebar", "limit": 2}], locale="en")
        assert self.asked("POST", "/v1/decisions", shown)["placements"][0]["offers"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    client, port = Client(Brain(small_workspace(tmp_path_factory.mktemp("me") / "shop"))), free_port()
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site = Site(f"http://127.0.0.1:{port}", client)
    yield site
    server.should_exit = True
    thread.join()
    site.beside.shutdown()
    client.brain.close()


def enter(page: Page) -> None:
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data and choices")


@pytest.mark.promise("me.pages")
@pytest.mark.parametrize("scripts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_customer_objects_contests_and_erases_with_and_without_scripts(
    browser: Browser, site: Site, scripts: bool
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


@pytest.mark.promise("me.pages")
@pytest.mark.parametrize("lang", ["en", pytest.param("nl", marks=pytest.mark.long)])
@pytest.mark.parametrize("scheme", [SCHEMES[0], pytest.param(SCHEMES[1], marks=pytest.mark.long)])
def test_every_state_is_accessible_and_fits_320_px(browser: Browser, site: Site, lang: str, scheme: str) -> None:
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
def test_the_page_works_by_keyboard_alone_and_with_large_and_wide_text(browser: Browser, site: Site) -> None:
    site.known("c-keys")
    with opened(browser, f"{site.address}/me", width=320) as page:
        assert (violations(page), overflow(page)) == ([], [])
    with opened(browser, site.link("c-keys"), width=640) as page:
        page.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Your data and choices")
        reached = focus_order(page)
        assert len([text for text in reached if text.startswith("button")]) == page.locator("button").count()
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        page.evaluate("document.body.style.letterSpacing = '.12em'; document.body.style.lineHeight = '2'")
        assert overflow(page) == []
