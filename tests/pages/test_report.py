"""The report in a real browser: of an operator with a control group, and of a workspace without decisions."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser

from decisioning.catalogue.release import Release
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from serving.pages.report.first_screen import value_plot
from serving.pages.report.page import contents, write_page
from tests.pages.browser import every_view, focus_order, opened, overflow
from tests.pages.sections import whole
from tests.pages.world import NOW_US, Operator, catalogue_files, release_of
from training.learning.fairness import fairness_guards
from training.reporting.customers import effort as effort_module
from training.reporting.monitoring import watch
from training.simulator import telecom

HOUR_US = DAY_US // 24
Report = dict[str, Any]


class Made(NamedTuple):
    """A report, the log and release that it is of, and the entries that it counts."""

    report: Report
    log: DecisionLog
    release: Release
    entries: list[Entry]


def reported(log: DecisionLog, release: Release) -> Report:
    """Return the sections of `brain report` that need no model."""
    guards = [asdict(g) for g in fairness_guards(log, release, NOW_US)]
    return whole({**watch(log, release, NOW_US), "release": release.hash, "fairness": guards})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("report")
    world, release = telecom.generate(3, 60, NOW_US), release_of(catalogue_files(NOW_US))
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        operator = Operator(world, release, ledger, NOW_US)
        entries = [*operator.entries(), *operator.rush(20, "fault")]
        ledger.append_many(entries)
        log = DecisionLog(folder / "log")
        log.update(ledger, release, NOW_US)
        yield Made(reported(log, release), log, release, entries)


@pytest.fixture(scope="module")
def address(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_page(tmp_path_factory.mktemp("page") / "report.html", with_value(made.report)).as_uri()


def with_value(report: Report) -> Report:
    """Return a report whose control group can be compared, as it is after more customers than a test has."""
    weeks = [NOW_US - n * 7 * DAY_US for n in range(5, -1, -1)]
    rows = [
        {"until_us": at, "arm": "holdout", "units": 400, "nba_eur": 2.0 + n, "mean_eur": 2.0 + 0.4 * n}
        | {"lift_eur": 0.6 * n, "lift_low": 0.6 * n - 0.9, "lift_high": 0.6 * n + 0.9}
        for n, at in enumerate(weeks)
    ]
    control = {"arm": "holdout", "customers": 400, "lift_eur": 3.0, "lift_low": 2.1, "lift_high": 3.9}
    people = {**report["people"], "control": {**control, "brought_eur": 4_800.0, "why": None}}
    return {**report, "over_time": rows, "people": people}


@pytest.mark.promise("report.page")
def test_the_report_is_accessible_in_light_and_dark_and_asks_nobody(browser: Browser, address: str) -> None:
    def first_screen(page: Any) -> None:
        assert page.locator(".sentences > li").count() == 4
        assert "The brain brought €4,800 more" in page.inner_text(".sentences")
        assert page.locator(".findings > li").count() >= 1
        assert page.locator("details:not([open]) table").count() >= 5

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


def test_the_rush_of_the_last_hour_is_told_and_what_cannot_be_told_is_one_sentence(made: Made) -> None:
    rises = {(row["kind"], row["name"]): row for row in made.report["rises"]}
    assert rises["intent", "fault"]["now"] == 20
    assert any(f["kind"] == "rise" and "`fault`" in f["said"] for f in made.report["look_at"])
    assert made.report["cannot_tell"].count("Not yet:") == 1
    shown = " ".join(str(part) for part in contents(made.report)["sections"])
    assert shown.count("are needed") <= 1


def test_what_contacts_take_is_what_a_count_by_hand_finds(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_sentence_on_value_claims_no_more_than_its_interval(made: Made, change: Report, text: str) -> None:
    report = with_value(made.report)
    report["people"]["control"].update(change)
    assert text in contents(report)["sentences"][0].text
    assert value_plot(report) is not None


def test_an_empty_part_has_no_section(made: Made) -> None:
    ids = [section.id for section in contents({**made.report, "drift": [], "annoyed": []})["sections"]]
    assert "drift" not in ids
    assert "approval" not in ids
