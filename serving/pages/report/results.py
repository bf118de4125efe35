"""The sections on what was offered and what came of it: by goal, action and channel, annoyance, and effort."""

from collections.abc import Sequence
from typing import Any, Final

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING, between, bracketed, count, euros, number, percent, plural, spaced
from serving.pages.parts import PagePart, Section
from serving.pages.report import Report
from serving.pages.report.suggestions import suggested, suggestion_parts
from serving.pages.tables import TextTable

Row = dict[str, Any]
MOST: Final = 15
"""Rows of a plot; more are in its table."""
_COLUMNS: Final = ("Offered", "Reached", "Accepted", "Predicted", "Euros", "Complaints", "Objections")
_EMPTY: Final = {
    "no_candidates": "nothing for this place",
    "all_withheld": "nothing may be shown",
    "nothing_is_better": "nothing is worth it",
    "explored_nothing": "left empty to learn",
    "no_room": "caps leave no room",
    "silenced": "silence for a mood",
}
_HOW: Final = "Share accepted, with its 95% interval; the hollow dot is what the model predicted."


def result_sections(report: Report) -> list[Section]:
    """Return the sections by goal, by action and by channel, and of what annoys and what stays empty."""
    goals, channels = (_results(report[part], one) for part, one in (("goals", "issue"), ("channels", "channel")))
    return [
        Section("goals", "By goal", _of(report["goals"], "goal"), goals),
        Section(
            "actions",
            "By action",
            (report["actions_said"],) if report["actions"] else (),
            _results(report["actions"], "action"),
        ),
        Section("suggestions", "What people did with suggestions", suggested(report), suggestion_parts(report)),
        Section("imported", "Imported contacts", _of_imported(report), _imported(report.get("imported") or [])),
        Section("channels", "By channel", _of(report["channels"], "channel"), (*channels, *_silence(report))),
        Section("annoyed", "What annoys", _annoys(report), _annoyance(report["annoyed"])),
        Section("effort", "What it takes of customers", tuple(_effort(report)), _shares(report["effort"])),
    ]


def _of(rows: Sequence[Row], one: str) -> tuple[str, ...]:
    offered = sum(row["offered"] for row in rows)
    return (f"{plural(offered, 'offer')} in {plural(len(rows), one)}, since the log began.",) if rows else ()


def _results(rows: Sequence[Row], name: str) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    mature = sorted((row for row in rows if row["mature"]), key=lambda row: -row["rate"])
    bars = [Bar(row[name], row["rate"], row["low"], row["high"], row["predicted"]) for row in mature[:MOST]]
    cells = [(row[name], *_cells(row)) for row in sorted(rows, key=lambda row: -row["offered"])]
    title = f"What was accepted, by {'goal' if name == 'issue' else name}"
    table = TextTable(title, (name.replace("issue", "goal").capitalize(), *_COLUMNS), cells)
    return (PagePart(title, table, _HOW if bars else "", bar_chart(title, bars, percent)),)


def _cells(row: Row) -> tuple[str, ...]:
    rate = "too few" if not row["mature"] else _interval(row)
    counts = (count(row["complaints"]), count(row["opt_outs"]))
    return (
        count(row["offered"]),
        count(row["reached"]),
        rate,
        percent(row["predicted"]),
        euros(row["earned_eur"]),
        *counts,
    )


def _interval(row: Row) -> str:
    return NOTHING if row["rate"] is None else between(row["rate"], row["low"], row["high"], "share")


def _silence(report: Report) -> tuple[PagePart, ...]:
    """Return how decisions of four weeks divide into sales, service and silence, and why slots stayed empty."""
    parts = []
    if rows := report["segments"]:
        cells = [
            (r["segment"], r["part"], count(r["decisions"]), *(percent(r[n]) for n in ("sell", "service", "nothing")))
            for r in rows
        ]
        columns = ("Of", "Value", "Decisions", "Sales", "Service", "Silence")
        parts.append(
            PagePart("Sales, service and silence", TextTable("Decisions of four weeks", columns, cells, words=2))
        )
    if rows := [r for r in report["empty"] if r["reason"] != "shown"]:
        title, total = "Why slots stayed empty", sum(r["slots"] for r in report["empty"])
        bars = [Bar(_why_empty(r["reason"]), r["slots"] / total) for r in rows[:MOST]]
        cells = [(_why_empty(r["reason"]), count(r["slots"]), percent(r["slots"] / total)) for r in rows]
        table = TextTable(title, ("Reason", "Slots", "Of all slots"), cells)
        parts.append(
            PagePart(title, table, "Share of all slots of four weeks.", bar_chart(title, bars, percent, filled=True))
        )
    return tuple(parts)


def _why_empty(reason: str) -> str:
    return _EMPTY.get(reason, spaced(reason))


def _annoys(report: Report) -> tuple[str, ...]:
    under, said = report["under_served"], (report["annoyed_said"],) if report["annoyed"] else ()
    if not under["customers"]:
        return said
    share = bracketed(under["rate"], under["low"], under["high"], "share")
    below = percent(under["below"], 0)
    return (f"For {share} of customers nothing was more likely than {below} to suit them in four weeks.", *said)


def _annoyance(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = "Offers that were followed by a complaint or an objection"
    names = [f"{row['action']}, {row['channel']}" for row in rows]
    bars = [Bar(name, r["rate"], r["low"], r["high"]) for name, r in zip(names[:MOST], rows[:MOST], strict=True)]
    cells = [
        (
            r["action"],
            r["treatment"],
            r["channel"],
            *map(count, (r["reached"], r["complaints"], r["opt_outs"])),
            _interval(r),
        )
        for r in rows
    ]
    columns = ("Action", "Treatment", "Channel", "Reached", "Complaints", "Objections", "Share")
    text = "Share of the offers that reached somebody, with its 95% interval."
    return (PagePart(title, TextTable(title, columns, cells, words=3), text, bar_chart(title, bars, percent)),)


def _of_imported(report: Report) -> tuple[str, ...]:
    return (report["imported_said"],) if report.get("imported") else ()


def _imported(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    """Return what came of contacts of before the brain, which are no offers of a decision."""
    if not rows:
        return ()
    cells = [
        (r["action"], r["channel"], count(r["contacts"]), count(r["succeeded"]), _interval({**r, "rate": r["value"]}))
        for r in rows
    ]
    title = "What came of imported contacts"
    bars = [Bar(f"{r['action']}, {r['channel']}", r["value"], r["low"], r["high"]) for r in rows[:MOST]]
    table = TextTable(title, ("Action", "Channel", "Contacts", "Successes", "Share"), cells, words=2)
    return (PagePart(title, table, "Share of contacts, with its 95% interval.", bar_chart(title, bars, percent)),)


def _shares(effort: Row) -> tuple[PagePart, ...]:
    """Return the shares of contacts that were not the last, or went on to somebody else."""
    names = {
        "asked_again": "asked again within 7 days",
        "repeats": "any contact again within 7 days",
        "people_asked_for": "handed to a person",
    }
    rates = [(text, effort[name]) for name, text in names.items() if effort[name]]
    bars = [Bar(text, rate["value"], rate["low"], rate["high"]) for text, rate in rates]
    cells = [(text, _interval({**r, "rate": r["value"]}), count(r["of"]), count(r["customers"])) for text, r in rates]
    title = "What follows a contact"
    table = TextTable(title, ("Contacts", "Share", "Of contacts", "Customers"), cells)
    return (
        (PagePart(title, table, "Share of contacts with people, 95%.", bar_chart(title, bars, percent)),)
        if bars
        else ()
    )


def _effort(report: Report) -> list[str]:
    """Return what contacts take of customers, and what rose within the hour, as sentences."""
    effort, said = report["effort"], []
    if solved := effort["contacts_until_solved"]:
        mean, limits = number(solved["value"], 2), f"between {number(solved['low'], 2)} and {number(solved['high'], 2)}"
        said.append(f"It took {mean} contacts ({limits}) until a thing was not asked again within seven days.")
    if effort["contacts"]:
        counted = f"{plural(effort['contacts'], 'contact')} of {plural(effort['customers'], 'customer')} with people"
        said.insert(0, f"Counted were {counted}, in {effort['days']} days.")
    return [*said, report["rises_said"]] if report["actions"] else said
