"""`python -m tests.pages.screenshots [FILE...]`: pictures of pages in `build/screenshots`, to look at.

Each page is taken at 320, 768 and 1440 px, in light and dark, and its first page on paper as a PDF. Without files, the
components and the report of an empty workspace are taken.

`python -m tests.pages.screenshots --readme` takes the first picture of the README: the first screen of the report on a
generated operator; with `--people` those of the desk, the lead's view and a customer's own page, in the demo.
`python -m tests.pages.screenshots --me` takes those of the customer's own page, and `--lead` those of the lead's view,
in both languages. `--desk` takes those of the desk. Several may be asked for at once.
"""

import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from serving.pages.report.kept import keep_report
from serving.pages.report.page import write_page
from serving.pages.styleguide.contents import TEMPLATE, contents
from serving.pages.templates import write_document
from tests.pages.browser import CHROMIUM, MISSING, SCHEMES, chromium
from tests.pages.desk_site import DeskSite, at_desk, new_customer
from tests.pages.desk_site import served as desk_served
from tests.pages.lead_site import a_busy_day, lead_site
from tests.pages.operated import operated
from tests.pages.own_site import OwnSite, served
from tests.pages.played import played
from tests.pages.sections import whole

OUT = Path("build/screenshots")
WIDTHS = (320, 768, 1440)
README = Path("notebooks/report.png")
README_SIZE = {"width": 1280, "height": 910}
_CUSTOMERS = 1500
"""So many that the generated operator's report tells what the brain brought."""


def report_pages(files: list[Path]) -> None:
    """Take the pictures of these pages, or of the components and the report of an empty workspace."""
    with TemporaryDirectory() as folder, chromium() as browser:
        pages = files or [
            write_document(Path(folder) / "components.html", TEMPLATE, **contents()),
            write_page(Path(folder) / "empty-report.html", whole({})),
        ]
        for page, scheme, width in product(pages, SCHEMES, WIDTHS):
            window = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            window.goto(page.resolve().as_uri())
            window.screenshot(path=OUT / f"{page.stem}-{width}-{scheme}.png", full_page=True)
            if (scheme, width) == ("light", 1440):
                window.pdf(path=OUT / f"{page.stem}.pdf", prefer_css_page_size=True)
            window.close()


def readme(path: Path = README, customers: int = _CUSTOMERS) -> None:
    """Write the README's pictures."""
    with TemporaryDirectory() as folder, operated(Path(folder), customers) as made, chromium() as browser:
        window = browser.new_page(viewport=README_SIZE, color_scheme="light")
        window.goto(write_page(Path(folder) / "report.html", made.report).as_uri())
        _keep(window, path)


def people_pages(folder: Path = README.parent) -> None:
    """Write the README's pictures of the desk, the lead's view and a customer's own page."""
    with TemporaryDirectory() as root, played(Path(root)) as demo, chromium() as browser:
        _keep(demo.signed_in(browser, "agent", f"/desk/{demo.handover}", 1366, 768), folder / "desk.png")
        _keep(demo.signed_in(browser, "lead", "/lead", 1366, 768), folder / "lead.png")
        window = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
        window.goto(f"{demo.address}/me/{demo.own_link}")
        window.get_by_role("button").first.click()
        _keep(window, folder / "me.png")


def _keep(window: Page, path: Path) -> None:
    """Keep a picture of what a window shows, with few colours, so that it is small."""
    window.screenshot(path=path)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")  # noqa: T201  it is a command


def own_page() -> None:
    """Take the pictures of the customer's own page."""
    with TemporaryDirectory() as folder, served(Path(folder)) as site, chromium() as browser:
        site.known("c-1")
        for lang, scheme, width in product(("nl", "en"), SCHEMES, WIDTHS):
            _visit(browser, site, lang, scheme, width)


def _visit(browser: Browser, site: OwnSite, lang: str, scheme: Any, width: int) -> None:
    """Go through the pages of a visit, and take a picture of each."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)

    def take(name: str) -> None:
        page.screenshot(path=OUT / f"me-{name}-{lang}-{width}-{scheme}.png", full_page=True)

    page.goto(site.link("c-1", lang))
    take("enter")
    page.get_by_role("button").click()
    page.locator("#ask button").first.click()
    page.locator("summary").first.click()
    take("page")
    page.goto(f"{site.address}/me/erase")
    take("erase")
    page.close()


def lead_page() -> None:
    """Take the pictures of the lead's view, of what an agent sees who does not hold a conversation, and on paper."""
    with TemporaryDirectory() as folder, lead_site(Path(folder)) as site, chromium() as browser:
        held = a_busy_day(site)
        with operated(Path(folder), _CUSTOMERS // 5) as made:
            keep_report(site.client.brain.workspace, made.report)
        for lang, scheme, width in product(("nl", "en"), SCHEMES, WIDTHS):
            look: Any = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
            with site.signed_in(browser, path=f"/lead?lang={lang}", **look) as page:
                page.screenshot(path=OUT / f"lead-{lang}-{width}-{scheme}.png", full_page=True)
                if (lang, scheme, width) == ("en", "light", 1440):
                    page.pdf(path=OUT / "lead.pdf", prefer_css_page_size=True)
                page.goto(f"{site.address}/desk/{held}?lang={lang}")
                page.screenshot(path=OUT / f"look-{lang}-{width}-{scheme}.png", full_page=True)


def desk() -> None:
    """Take the pictures of the desk."""
    with TemporaryDirectory() as folder, desk_served(Path(folder)) as site, chromium() as browser:
        for lang, scheme, width in product(("nl", "en"), SCHEMES, WIDTHS):
            _work(browser, site, lang, scheme, width)


def _work(browser: Browser, site: DeskSite, lang: str, scheme: Any, width: int) -> None:
    """Work at a desk, and take a picture of each state."""
    with at_desk(browser, site, color_scheme=scheme, viewport={"width": width, "height": 768}) as page:

        def take(name: str, query: str = "") -> None:
            page.goto(f"{site.address}/desk{query}{'&' if '?' in query else '?'}lang={lang}")
            page.screenshot(path=OUT / f"desk-{name}-{lang}-{width}-{scheme}.png", full_page=True)

        customer = new_customer()
        handover = site.taken(page, customer, language=lang, reason="verhuizing" if lang == "nl" else "moves house")
        site.told("page-view", customer, page="paid-tv")
        take("conversation", f"/{handover}")
        take("answered", f"/{handover}?done=kept&what=maybe&once=o")
        take("consent", f"/{handover}?consent=newsletter")
        take("home")


_TAKEN = {"--readme": readme, "--people": people_pages, "--me": own_page, "--lead": lead_page, "--desk": desk}


def main(asked: list[str]) -> int:
    """Take each set of pictures that is asked for, in this order, and those of the files."""
    if CHROMIUM is None:
        print(MISSING)  # noqa: T201  it is a command
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    files = [Path(name) for name in asked if name not in _TAKEN]
    for name in asked:
        if name in _TAKEN:
            _TAKEN[name]()
    if files or not asked:
        report_pages(files)
    print(f"{len(list(OUT.iterdir()))} files in {OUT}")  # noqa: T201  it is a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
