"""The sections of a report, for pages of a part of them."""

from typing import Any

from decisioning.times import DAY_US
from tests.pages.world import NOW_US
from training.evaluation.localized import fields, localized
from training.reporting.attention import cannot_tell, look_at

_NONE = ("customers", "decisions", "helped", "took_help", "left_in_peace", "sold", "reached")
_NOBODY = {**dict.fromkeys((*_NONE, "complaints", "objections", "annoyed"), 0), "annoyed_rate": None}
_EFFORT = dict.fromkeys(("contacts_until_solved", "repeats", "asked_again", "people_asked_for"))
_LISTS = ("actions", "goals", "channels", "over_time", "rises", "arms", "mismatched_arms", "drift", "calibration")
EMPTY = {
    "at": "2026-04-01T12:00:00+00:00",
    "release": "sha256:" + 64 * "a",
    "model": "propensity@1",
    "people": {"days": 28, "now": _NOBODY, "before": _NOBODY, "control": None},
    "effort": {"days": 90, "contacts": 0, "customers": 0, **_EFFORT},
    "under_served": {"below": 0.01, "customers": 0, "under": 0, "rate": None, "low": None, "high": None},
    **{name: [] for name in (*_LISTS, "segments", "annoyed", "empty", "exploration", "fairness", "rankings", "uplift")},
    "actions_said": "Rates are of 0 of 0 offers.",
    "arms_said": None,
    "drift_said": "",
    "rises_said": "Nothing.",
    "annoyed_said": "Shares are of offers.",
    "calibration_said": "Rates are of 0 offers.",
    "fairness_said": "Intervals are over customers.",
    **fields("rankings_said", localized("rankings-none")),
}


Report = dict[str, Any]


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


def whole(sections: dict[str, Any]) -> dict[str, Any]:
    """Return a report with these sections, and with what follows from them."""
    report = {**EMPTY, **sections}
    return {"look_at": look_at(report), **fields("cannot_tell", cannot_tell(report)), **report}
