"""The report in a real browser: of an operator with a control group, and of a workspace without decisions."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from decisioning.times import DAY_US
from features.ledger import Entry
from serving.pages.report.first_screen import value_plot
from serving.pages.report.page import contents, write_page
from serving.pages.report.wording import report_wording
from tests.pages.browser import every_view, focus_order, opened, overflow
from tests.pages.operated import Operated, operated
from tests.pages.screenshots import README, README_SIZE
from tests.pages.sections import Report, whole, with_value
from tests.pages.world import NOW_US
from training.reporting.customers import effort as effort_module

HOUR_US = DAY_US // 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with operated(tmp_path_factory.mktemp("report"), 60) as made:
        yield made


@pytest.fixture(scope="module")
def address(made: Operated, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_page(tmp_path_factory.mktemp("page") / "report.html", with_value(made.report)).as_uri()


@pytest.mark.promise("report.page")
def test_the_report_is_accessible_in_light_and_dark_and_asks_nobody(browser: Browser, address: str) -> None:
    def first_screen(page: Any) -> None:
        assert page.locator(".sentences > li").count() == 4
        assert "The brain brought €4,800 more" in page.inner_text(".sentences")
        assert page.locator(".findings > li").count() >= 1
        assert page.locator("details:not([open]) table").count() >= 5

    every_view(browser, address, first_screen)


@pytest.mark.promise("report.page")
def test_the_report_in_dutch_says_all_but_names_in_dutch(browser: Browser, made: Operated, tmp_path: Path) -> None:
    address = write_page(tmp_path / "rapport.html", with_value(made.report), "nl").as_uri()

    def first_screen(page: Any) -> None:
        assert "Het brein bracht €\xa04.800 meer op" in page.inner_text(".sentences")
        page.eval_on_selector_all("[lang=en], code, svg title", "all => all.forEach(one => one.remove())")
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        left = set(re.findall(r"[a-z]+", page.inner_text("body").lower()))
        assert left & {"the", "and", "with", "customers", "offers", "share", "nothing", "takes"} == set()

    every_view(browser, address, first_screen)


@pytest.mark.promise("report.page")
def test_the_report_fits_320_px_and_opens_its_tables_by_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address, width=320) as page:
        assert overflow(page) == []
        reached = focus_order(page)
        assert sum(text.startswith("summary") for text in reached) == page.locator("summary").count()
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details").first.get_attribute("open") is not None
        assert overflow(page) == []


def test_the_first_page_on_paper_makes_sense_alone(browser: Browser, address: str, tmp_path: Path) -> None:
    with opened(browser, address) as page:
        page.emulate_media(media="print")
        assert not page.locator(".contents").is_visible()
        second = page.locator(".page-break")
        assert second.count() == 1
        assert second.evaluate("e => getComputedStyle(e).breakBefore") == "page"
        top, bottom = page.locator("h1").bounding_box(), page.locator(".split").bounding_box()
        assert top is not None
        assert bottom is not None
        pdf = page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2


def test_a_workspace_without_decisions_says_what_will_be_here(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, write_page(tmp_path / "report.html", whole({})).as_uri(), width=320) as page:
        assert "Nothing was decided yet" in page.inner_text(".empty")
        assert page.inner_text("main").count("Not yet:") == 1
        assert overflow(page) == []


def test_the_rush_of_the_last_hour_is_told_and_what_cannot_be_told_is_one_sentence(made: Operated) -> None:
    rises = {(row["kind"], row["name"]): row for row in made.report["rises"]}
    assert rises["intent", "fault"]["now"] == 20
    assert any(f["kind"] == "rise" and "`fault`" in f["said"] for f in made.report["look_at"])
    assert made.report["cannot_tell"].count("Not yet:") == 1
    shown = " ".join(str(part) for part in contents(made.report)["sections"])
    assert shown.count("are needed") <= 1


def test_what_contacts_take_is_what_a_count_by_hand_finds(made: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort_module, "FEWEST_CUSTOMERS", 10)
    told = effort_module.effort(made.log, made.release, NOW_US)
    contacts = _contacts(made.entries)
    assert told["contacts"] == len(contacts)
    closed = [(who, at, why) for who, at, why, _ in contacts if at + 7 * DAY_US <= NOW_US]
    again = [
        any(w == who and y == why and 0 < a - at <= 7 * DAY_US for w, a, y, _ in contacts) for who, at, why in closed
    ]
    assert told["asked_again"]["value"] == pytest.approx(sum(again) / len(closed))
    assert told["people_asked_for"]["value"] == pytest.approx(sum(handed for *_, handed in contacts) / len(contacts))


def _contacts(entries: list[Entry]) -> list[tuple[str, int, str, bool]]:
    """Return the customer, the time, the reason and whether a person was called in, of every contact by telephone."""
    calls = sorted(
        (e.stream, e.body["decided_us"], e.body["facts"]["contact_reason"], e.body["answer"]["handover"] is not None)
        for e in entries
        if e.kind == "decision" and e.body["request"]["channel"] == "agent"
    )
    follows = [a[0] == b[0] and b[1] - a[1] <= HOUR_US for a, b in pairwise(calls)]
    return [call for call, later in zip(calls, [False, *follows], strict=True) if not later]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lift_low": -1.0}, "Whether the brain brings more cannot be told yet"),
        ({"lift_eur": -3.0, "lift_low": -4.0, "lift_high": -2.0}, "The brain brought less"),
        ({"lift_eur": None, "why": "too small to tell"}, "cannot be told yet: too small to tell"),
    ],
)
def test_the_sentence_on_value_claims_no_more_than_its_interval(made: Operated, change: Report, text: str) -> None:
    report = with_value(made.report)
    report["people"]["control"].update(change)
    assert text in contents(report)["sentences"][0].text
    assert value_plot(report, report_wording("en")) is not None


def test_what_imported_contacts_came_to_is_shown_briefly(browser: Browser, made: Operated, tmp_path: Path) -> None:
    row = {"action": "tv-bundle", "channel": "e-mail", "contacts": 4_000, "succeeded": 480}
    figures = {"imported": [{**row, "value": 0.12, "low": 0.111, "high": 0.131}], "imported_said": "4,000 contacts."}
    address = write_page(tmp_path / "report.html", {**made.report, **figures}).as_uri()
    with opened(browser, address, width=320) as page:
        assert "4,000 contacts." in page.inner_text("#imported")
        assert "12.0%" in page.locator("#imported svg:visible").text_content()
        assert overflow(page) == []
    assert "imported" not in [section.id for section in contents(made.report)["sections"]]


def test_the_picture_of_the_readme_is_small_and_of_its_size() -> None:
    picture = README.read_bytes()
    assert len(picture) < 120_000
    assert int.from_bytes(picture[16:20], "big") == README_SIZE["width"]
    assert f"]({README})" in Path("README.md").read_text()


def test_an_empty_part_has_no_section(made: Operated) -> None:
    ids = [section.id for section in contents({**made.report, "drift": [], "annoyed": []})["sections"]]
    assert "drift" not in ids
    assert "approval" not in ids
