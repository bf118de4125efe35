"""What all pages stand on: components in a real browser, escaping, figures in words, and files that work alone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from serving.pages import figures
from serving.pages.charts import Line, Point, bar_chart, line_chart
from serving.pages.charts.svg import ticks
from serving.pages.styleguide.contents import HOSTILE, TEMPLATE, contents
from serving.pages.templates import render, write_document
from tests.pages.browser import every_view, focus_order, opened, overflow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pages") / "components.html"
    return write_document(path, TEMPLATE, **contents()).as_uri()


def test_components_are_accessible_in_light_and_dark(browser: Browser, address: str) -> None:
    def nothing_ran(page: Page) -> None:
        assert HOSTILE in page.inner_text("main")
        assert page.locator("script").count() == 0

    every_view(browser, address, nothing_ran)


def test_components_need_no_sideways_scrolling_at_320_px_and_work_by_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address, width=320) as page:
        assert overflow(page) == []
        reached = focus_order(page)
        assert reached[0] == "a Skip to the content"
        assert {"a Tables", "button Do it", "summary Behind a click"} <= set(reached)


def test_a_file_forbids_itself_to_load_anything_and_to_run_scripts(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, write_document(tmp_path / "page.html", TEMPLATE, **contents()).as_uri()) as page:
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "28px"
    harmed = (tmp_path / "page.html").read_text().replace("</main>", '</main><script>document.title = "ran"</script>')
    (tmp_path / "page.html").write_text(harmed)
    window = browser.new_page()
    window.goto((tmp_path / "page.html").as_uri())
    assert window.title() == "Components - Central brain"
    window.close()


def test_no_page_has_an_inline_script_or_style() -> None:
    for text in (
        render(TEMPLATE, up="", **contents()),
        *(p.read_text() for p in Path("serving/pages").rglob("*.html")),
    ):
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text)
    assert "<style" not in render(TEMPLATE, up="", **contents())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: figures.between(0.1242, 0.1163, 0.1311, "share"), "12.4%, between 11.6% and 13.1%"),
        (lambda: figures.between(0.12, 0.01, 0.263, "share"), "12%, between 1% and 26%"),
        (lambda: figures.between(3.104, 1.2, 5.02, "eur"), "€3.10, between €1.20 and €5.00"),
        (lambda: figures.between(3.104, -0.12, 0.5, "eur"), "€3.10, between −€0.12 and €0.50"),
        (lambda: figures.between(1240.0, -812.0, 3100.0, "eur"), "€1,200, between −€800 and €3,100"),
        (lambda: figures.percent(0.00123), "0.12%"),
        (lambda: figures.percent(1.0), "100%"),
        (lambda: figures.euros(-0.001), "€0.00"),
        (lambda: figures.plural(1, "person", "people"), "1 person"),
        (lambda: figures.plural(1234, "person", "people"), "1,234 people"),
        (lambda: figures.day("2026-11-30T12:00:00+00:00"), "30 November 2026"),
    ],
)
def test_figures_are_rounded_as_people_round_them(call: Callable[[], str], text: str) -> None:
    assert call() == text


def test_marks_of_an_axis_are_round_and_hold_every_value() -> None:
    for low, high in ((0.0, 0.4), (-3.0, 12.2), (0.0, 1e-3), (0.0, 0.0), (-5.0, -1.0), (0.0, 1234.0)):
        marks = ticks(low, high)
        assert marks[0] <= low + 1e-12
        assert marks[-1] >= high - 1e-12
        assert 2 <= len(marks) <= 8


def test_a_plot_without_values_is_nothing_and_names_are_escaped() -> None:
    assert bar_chart("t", [], str) == "" == line_chart("t", [Line("a", [])], str, str)
    drawn = line_chart("<b>", [Line("<i>", [Point(1.0, 2.0, 1.0, 3.0)])], str, str)
    assert "<b>" not in drawn
    assert "<i>" not in drawn


def test_the_texts_of_a_time_axis_are_equally_far_apart_and_end_with_the_last() -> None:
    weeks = [Point(float(n), 1.0) for n in range(9)]
    drawn = line_chart("t", [Line("a", weeks)], str, lambda week: f"week {week:.0f} of many")
    for svg in drawn.split('<svg class="narrow"'):
        shown = [int(n) for n in re.findall(r">week (\d) of many<", svg)]
        assert shown == list(range(8, -1, shown[-2] - 8))[::-1]
