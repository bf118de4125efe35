"""The first page and the documentation of the routes in a real browser."""

import pytest
from playwright.sync_api import Browser

from tests.pages.browser import every_view, focus_order, opened, overflow, violations
from tests.pages.test_sign_in import Site, site

__all__ = ["site"]
SWAGGER_UIS_OWN = {"color-contrast", "heading-order", "nested-interactive", "target-size"}
"""What axe-core finds in Swagger UI, which comes from a package."""


@pytest.mark.promise("pages.first")
def test_the_first_page_is_accessible_and_leads_on(site: Site, browser: Browser) -> None:
    every_view(browser, f"{site.address}/", lambda page: None)
    with opened(browser, f"{site.address}/", width=320) as page:
        assert overflow(page) == []
        assert "a The routes, with examples" in focus_order(page)


@pytest.mark.promise("pages.first")
def test_the_documentation_shows_every_route_and_asks_no_other_host(site: Site, browser: Browser) -> None:
    with opened(browser, f"{site.address}/docs", width=320) as page:
        page.wait_for_selector(".opblock")
        served = page.evaluate("fetch('openapi.json').then(answer => answer.json())")
        shown = page.locator(".opblock:not(.opblock-webhook *)").count()
        assert shown >= sum(len(operations) for operations in served["paths"].values())
        assert {found.partition(":")[0] for found in violations(page)} <= SWAGGER_UIS_OWN
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
