"""A real Chromium, and what every page is checked for in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "THERE IS NO CHROMIUM, so the tests of pages are skipped: apt-get install chromium fonts-dejavu-core"
SCHEMES = ("light", "dark")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, which asks nobody for anything by itself."""
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, *, width: int = 1440, height: int = 900, **context: Any) -> Iterator[Page]:
    """Open a page in a window of its own. At its end, fail if it asked another host or told of an error.

    :param context: as of Playwright's `new_context`, such as `color_scheme="dark"`
    """
    window = browser.new_context(viewport={"width": width, "height": height}, **context)
    page, asked, said = window.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    own = urlsplit(address)
    foreign = [url for url in asked if urlsplit(url)[:2] != own[:2] and not url.startswith("data:")]
    window.close()
    assert foreign == []
    assert said == []


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page as it is now, each with the first element that has it."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"]})
    return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found.response["violations"]]


def overflow(page: Page) -> list[str]:
    """Return what is wider than the window, apart from what scrolls in itself."""
    script = """() => {
      const wide = document.documentElement.clientWidth, found = []
      if (document.documentElement.scrollWidth > wide) found.push("the page is " + document.documentElement.scrollWidth)
      for (const e of document.querySelectorAll("main *")) {
        if (e.closest(".scroll") || e.closest(".hidden") || !e.getClientRects().length) continue
        const box = e.getBoundingClientRect()
        if (box.right > wide + 1 || box.left < -1) found.push(e.outerHTML.slice(0, 120))
      }
      return found }"""
    found: list[str] = page.evaluate(script)
    return found


def lost_with_large_and_wide_text(page: Page) -> list[str]:
    """Set text to 200% (WCAG 1.4.4) and spread it as WCAG 1.4.12 has it; return what is too wide or cut off then."""
    script = """() => {
      const sheet = new CSSStyleSheet()
      sheet.replaceSync(`:root { font-size: 200% !important }
        * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }
        p { margin-bottom: 2em !important }`)
      document.adoptedStyleSheets = [sheet]
      const cut = []
      for (const e of document.querySelectorAll("body *")) {
        const hides = /hidden|clip/.test(getComputedStyle(e).overflow) && !e.closest(".hidden, svg, input")
        const box = e.getBoundingClientRect()
        if (!hides || box.width < 2 || box.height < 2) continue
        const cuts = e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1
        if (cuts) cut.push(e.outerHTML.slice(0, 120))
      }
      return cut }"""
    cut: list[str] = page.evaluate(script)
    return [*cut, *overflow(page)]


def focus_order(page: Page, most: int = 200) -> list[str]:
    """Return what the tab key reaches, from the top, in words; fail where a focus cannot be seen."""
    script = """() => {
      const e = document.activeElement
      if (!e || e === document.body) return null
      const style = getComputedStyle(e), box = e.getBoundingClientRect()
      const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      const inside = box.bottom > 0 && box.top < innerHeight
      const text = (e.getAttribute("aria-label") || e.textContent).trim()
      return [e.tagName.toLowerCase(), text.slice(0, 60), seen, inside] }"""
    reached: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        focus = page.evaluate(script)
        if focus is None:
            break
        tag, text, seen, inside = focus
        assert seen, f"the focus on {tag} {text!r} cannot be seen"
        assert inside, f"the focus on {tag} {text!r} is outside of the window"
        reached.append(f"{tag} {text}")
    return reached


def every_view(browser: Browser, address: str, check: Callable[[Page], None], width: int = 1440) -> None:
    """Check a page in light and dark, without violations of axe-core's rules."""
    for scheme in SCHEMES:
        with opened(browser, address, width=width, color_scheme=scheme) as page:
            assert violations(page) == [], scheme
            check(page)
