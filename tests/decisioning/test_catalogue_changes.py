"""What differs between two releases is listed field by field, whether or not anybody is moved by it now."""

from pathlib import Path

import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.review.catalogue_changes import CatalogueChange, catalogue_changes

SMALL = Path(__file__).parents[1] / "catalogues" / "small"
FILES = {f"catalogue/{file.name}": file.read_text() for file in sorted(SMALL.glob("*.yaml"))}

CHANGES = {
    "suppression days": ("{after: declined, days: 90}", "{after: declined, days: 30}", "actions", "tv-bundle", 90, 30),
    "suppression for good": ("{after: declined, days: 60}, ", "", "actions", "sports-channel", None, None),
    "cap window": ("once-a-week, count: action, limit: 1, window_days: 7", None, "caps", "once-a-week", 7, 1),
    "cap limit": ("count: channel, limit: 2", "count: channel, limit: 3", "caps", "two-mails-a-month", 2, 3),
    "quiet hours": ('from: "21:00"', 'from: "22:00"', "channels", "email", "21:00:00", "22:00:00"),
    "rule": ('permit: "age >= 18"', 'permit: "age >= 21"', "policies", "adults-only", "age >= 18", "age >= 21"),
    "window of a rule": ('"declined", "365d"', '"declined", "30d"', "policies", "tired-of-us", None, None),
    "protection": ("arrears_eur, 0.0) > 200.0", "arrears_eur, 0.0) > 900.0", "protections", "arrears", None, None),
    "text": ("Every match", "All matches", "actions", "sports-channel", "Every match", "All matches"),
    "tone": ("Television, if you like", "TV?", "actions", "tv-bundle", "Television, if you like", "TV?"),
    "price": ("price_eur: 15", "price_eur: 25", "actions", "tv-bundle", 15.0, 25.0),
    "cost": ("cost: 2.0", "cost: 3.0", "actions", "tv-bundle", 2.0, 3.0),
    "value": ("value: {points: 4000}", "value: {points: 5000}", "actions", "sports-channel", 4000, 5000),
    "lever": ("factor: 1.2", "factor: 1.9", "actions", "tv-bundle", 1.2, 1.9),
    "context weight": ("factor: 1.5", "factor: 1.1", "actions", "tv-bundle", 1.5, 1.1),
    "exploration": ("gamma: 9", "gamma: 90", "channels", "web", 9.0, 90.0),
    "outcome window": ("window_days: 14", "window_days: 7", "actions", "welcome-tour", None, None),
    "emotion": ("sentiment < -0.5", "sentiment < -0.9", "emotion", "angry", "sentiment < -0.5", "sentiment < -0.9"),
    "notice": ('profiling, notice_version: "2026', 'profiling, notice_version: "', "purposes", "profiling", None, None),
    "prior": ("prior: 0.05", "prior: 0.06", "actions", "sports-channel", 0.05, 0.06),
    "settings": ("max_per_group: 1", "max_per_group: 2", "settings", "settings", 1, 2),
}  # fmt: skip


def release(files: dict[str, str] = FILES) -> Release:
    return Release.of(load(files), pack(files))


def changed(before: str, after: str) -> Release:
    files = {name: text.replace(before, after, 1) for name, text in FILES.items()}
    assert files != FILES
    return release(files)


@pytest.fixture(scope="module")
def small() -> Release:
    return release()


@pytest.mark.promise("explanations.every-change")
@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_listed_also_when_nobody_is_moved(small: Release, case: str) -> None:
    before, after, section, item, was, now = CHANGES[case]
    if after is None:
        after = before.replace("window_days: 7", "window_days: 1")
    changes = catalogue_changes(small, changed(before, after), {})
    assert {(c.section, c.item) for c in changes} == {(section, item)}
    assert all(c.before != c.after and c.field for c in changes)
    if was is not None:
        assert [(c.before, c.after) for c in changes] == [(was, now)]


@pytest.mark.promise("explanations.every-change")
@pytest.mark.parametrize("way", ["dropped", "added"])
def test_a_gate_that_is_dropped_or_added_is_listed(small: Release, way: str) -> None:
    line = '  - {id: has-no-tv, level: eligibility, attach: {group: tv}, deny: "has_tv"}\n'
    other = changed(line, "")
    before, after = (small, other) if way == "dropped" else (other, small)
    (change,) = catalogue_changes(before, after, {})
    assert (change.section, change.item, change.field) == ("policies", "has-no-tv", "")
    assert (change.after if way == "dropped" else change.before) is None


def test_the_same_catalogue_has_no_changes(small: Release) -> None:
    assert catalogue_changes(small, release(), {}) == []


@pytest.mark.promise("explanations.every-change")
def test_whom_a_change_moves_stands_beside_it(small: Release) -> None:
    other = changed('permit: "age >= 18"', 'permit: "age >= 21"')
    moves = {
        ("tv-bundle", "eligibility:adults-only", False): {"a": None, "b": None}.keys(),
        ("sports-channel", "eligibility:adults-only", False): {"b": None, "c": None}.keys(),
        ("tv-bundle", "cap:once-a-week", True): {"d": None}.keys(),
    }
    (change,) = catalogue_changes(small, other, moves)
    assert change == CatalogueChange("policies", "adults-only", "permit", "age >= 18", "age >= 21", gained=0, lost=3)
    of_action = catalogue_changes(small, changed("price_eur: 15", "price_eur: 25"), moves)
    assert [(c.gained, c.lost) for c in of_action] == [(1, 2)]
