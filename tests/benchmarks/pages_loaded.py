"""How soon pages come in a browser: `python -m tests.benchmarks.pages_loaded [--loads N]`.

The demo is served as `brain serve` serves it, behind HAProxy on Ray, and Chromium opens its pages. Prints a table in
Markdown: per page the median and the longest time to the first byte; the bytes that were sent for the page and for its
style and scripts; and, with nothing cached at 1.6 Mbit/s and 150 ms, when the browser first paints and when all is
there. The pages' own cost is measured by `tests.benchmarks.pages`; a busy machine slows these times.
"""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, Page

from tests.pages.browser import CHROMIUM, MISSING, chromium
from tests.pages.played import Played, played_on_server

SLOW = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
"""1.6 Mbit/s and a round trip of 150 ms, in Chromium's words: bytes a second and ms."""
_NAVIGATION = "JSON.parse(JSON.stringify(performance.getEntriesByType('navigation')[0]))"
_FIRST_PAINT = """new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))
  .observe({type: "paint", buffered: true}))"""
_LOADED = """performance.getEntriesByType('resource').filter(one => one.name.includes('/static/'))
  .reduce((sum, one) => sum + one.transferSize, 0)"""
_SIZE = (1366, 768)


def pages(demo: Played, browser: Browser) -> Iterator[tuple[str, Page]]:
    """Yield the name of each page, and the page open in the window of a person who may see it."""
    yield "/sign-in", _opened(browser, f"{demo.address}/sign-in")
    agent = demo.signed_in(browser, "agent", "/desk", *_SIZE)
    yield "/desk", agent
    agent.goto(f"{demo.address}/desk/{demo.handover}")
    yield "/desk, a conversation", agent
    yield "/lead", demo.signed_in(browser, "lead", "/lead", *_SIZE)
    own = _opened(browser, f"{demo.address}/me/{demo.own_link}")
    own.get_by_role("button").first.click()
    own.wait_for_load_state()
    yield "/me", own


def _opened(browser: Browser, address: str) -> Page:
    page = browser.new_page()
    page.goto(address)
    return page


def measured(page: Page, loads: int) -> dict[str, float]:
    """Return a page's times in ms and sizes in bytes, over so many loads after one that is not counted."""
    address = page.url.partition("?")[0]
    first_ms = [_load(page, address)["first_ms"] for _ in range(loads + 1)][1:]
    with _on_a_slow_network(page):
        slow = _load(page, address)
        paint_ms, files = page.evaluate(_FIRST_PAINT), page.evaluate(_LOADED)
    return {
        "median_ms": statistics.median(first_ms),
        "longest_ms": max(first_ms),
        "bytes": slow["bytes"],
        "files": files,
        "paint_ms": paint_ms,
        "ready_ms": slow["ready_ms"],
    }


def _load(page: Page, address: str) -> dict[str, Any]:
    page.goto(address)
    told = page.evaluate(_NAVIGATION)
    first_ms = told["responseStart"] - told["requestStart"]
    return {"first_ms": first_ms, "bytes": told["transferSize"], "ready_ms": told["domContentLoadedEventEnd"]}


@contextmanager
def _on_a_slow_network(page: Page) -> Iterator[None]:
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.send("Network.emulateNetworkConditions", SLOW)
    yield
    devtools.detach()


@click.command(help=__doc__)
@click.option("--loads", default=10, help="How often each page is opened.")
def main(loads: int) -> None:
    """Print the table."""
    if CHROMIUM is None:
        raise click.ClickException(MISSING)
    with tempfile.TemporaryDirectory() as folder, played_on_server(Path(folder)) as demo, chromium() as browser:
        click.echo(
            "| page | first byte ms | longest ms | bytes | style and scripts | first paint ms, slow | ready ms |"
        )
        click.echo("| --- | --- | --- | --- | --- | --- | --- |")
        for name, page in pages(demo, browser):
            row = measured(page, loads)
            times = f"{row['median_ms']:.1f} | {row['longest_ms']:.1f}"
            slow = f"{row['paint_ms']:.0f} | {row['ready_ms']:.0f}"
            click.echo(f"| {name} | {times} | {row['bytes']:,.0f} | {row['files']:,.0f} | {slow} |")


if __name__ == "__main__":
    main()
