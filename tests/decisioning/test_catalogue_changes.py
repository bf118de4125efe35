"""What differs between two releases is listed field by field, whether or not anybody is moved by it now."""

from pathlib import Path

import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.review.catalogue_changes import CatalogueChange, catalogue_changes
from decisioning.review.removed_gates import removed_gates

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


WEB = "direction: inbound\n    placements: [hero, sidebar]"
DEBT_CAP = "window_days: 30, attach: {group: tv}"
VULNERABLE = '  - {id: vulnerable, kind: vulnerability, when: "vulnerable"}\n'
HAS_TV = '  - {id: has-no-tv, level: eligibility, attach: {group: tv}, deny: "has_tv"}\n'
GATES = {
    # a change of the small catalogue -> what stops less after it
    "nothing": ("", "", ()),
    "cap gone": ("  - {id: once-a-week, count: action, limit: 1, window_days: 7}\n", "", ("cap:once-a-week",)),
    "cap higher": ("count: group, limit: 3", "count: group, limit: 4", ("cap:tv-fatigue",)),
    "cap lower": ("count: group, limit: 3", "count: group, limit: 2", ()),
    "cap over other days": ("limit: 2, window_days: 30", "limit: 2, window_days: 20", ("cap:two-mails-a-month",)),
    "cap of fewer actions": (DEBT_CAP, "window_days: 30, attach: {action: tv-bundle}", ("cap:tv-fatigue",)),
    "policy gone": (HAS_TV, "", ("eligibility:has-no-tv",)),
    "policy another": ('permit: "age >= 18"', 'permit: "age >= 17"', ("eligibility:adults-only",)),
    "what a policy reads": ("{name: has_tv, ", "{name: has_tv, max_age_s: 900, ", ("eligibility:has-no-tv",)),
    "protection gone": (VULNERABLE, "", ("protection:vulnerable",)),
    "protection another": ("arrears_eur, 0.0) > 200.0", "arrears_eur, 0.0) > 900.0", ("protection:arrears",)),
    "suppression shorter": ("{after: declined, days: 90}", "{after: declined, days: 30}", ("suppressed:declined",)),
    "quiet hours shorter": ('from: "21:00"', 'from: "22:00"', ("contact:quiet-hours",)),
    "a channel of people": (WEB, WEB + "\n    human: true", ("channel:human",)),
    "a channel that counts less": ("counts_on: decided", "counts_on: seen", ("channel:counts_on",)),
    "a channel without a purpose": ("    purposes: [email]\n", "", ("consent:email",)),
    "more of a group": ("max_per_group: 1", "max_per_group: 2", ("settings:max_per_group",)),
    "no age": ("  age_feature: age\n", "", ("settings:age_feature",)),
    "silence later": ("sentiment < -0.5", "sentiment < -0.9", ("emotion:angry",)),
    "dates": ("    ends_at: 2030-01-01\n", "", ("action:dates",)),
    "consent for longer": ("max_age_days: 730", "max_age_days: 900", ("consent:marketing",)),
    "an action gone": ("  - id: sports-channel\n", "  - id: sports-package\n", ()),
    "text": ("Every match", "All matches", ()),
    "price": ("price_eur: 15", "price_eur: 25", ()),
    "lever": ("factor: 1.2", "factor: 1.9", ()),
    "a description": ('deny: "has_tv"}', 'deny: "has_tv", description: nobody twice}', ()),
}


def unchecked(old: str = "", new: str = "") -> Release:
    """Return the small catalogue with a change, as a release that is kept is read."""
    return Release.from_bytes(pack({name: text.replace(old, new) if old else text for name, text in FILES.items()}))


@pytest.mark.promise("approvals.rollback")
@pytest.mark.parametrize("name", GATES)
def test_a_gate_that_is_gone_or_another_one_is_listed(name: str) -> None:
    old, new, expected = GATES[name]
    assert not old or unchecked(old, new).hash != unchecked().hash
    gone = removed_gates(unchecked(), unchecked(old, new))
    assert tuple(gate.partition(" ")[0] for gate in gone) == expected


@pytest.mark.promise("approvals.rollback")
def test_an_action_that_gates_no_longer_cover_is_listed() -> None:
    moved = unchecked("    issue: grow\n    group: tv\n", "    issue: grow\n    group: mobile\n")
    gone = {gate.partition(" ")[0] for gate in removed_gates(unchecked(), moved)}
    assert gone == {"cap:tv-fatigue", "eligibility:has-no-tv", "contact:tired-of-us"}


@pytest.mark.promise("approvals.rollback")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [("60, days", "61, days", {"budget:keep"}), ("60, days", "59, days", set()), (": 365", ": 30", {"budget:keep"})],
)
def test_a_budget_that_allows_more_is_listed(old: str, new: str, expected: set[str]) -> None:
    text = (SMALL.parent / "negotiating.yaml").read_text()
    before, after = (
        Release.from_bytes(pack({**FILES, "catalogue/more.yaml": of})) for of in (text, text.replace(old, new))
    )
    assert {gate.partition(" ")[0] for gate in removed_gates(before, after)} == expected
