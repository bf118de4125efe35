"""The sections on what was offered and what came of it: by goal, action and channel, annoyance, and effort."""

from collections.abc import Sequence
from typing import Any, Final

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING
from serving.pages.languages import in_language
from serving.pages.parts import PagePart, Section
from serving.pages.report import Report
from serving.pages.report.suggestions import suggested, suggestion_parts
from serving.pages.tables import TextTable
from serving.pages.wording import Wording

Row = dict[str, Any]
MOST: Final = 15
"""Rows of a plot; more are in its table."""
_COLUMNS: Final = ("offered", "reached", "accepted", "predicted", "euros", "complained", "objected")
_ANNOYED_COLUMNS: Final = (
    *("column-action", "treatment", "column-channel", "reached", "complained", "objected", "share"),
)


def result_sections(report: Report, wording: Wording) -> list[Section]:
    """Return the sections by goal, by action and by channel, and of what annoys and what stays empty."""
    goals, actions, channels = (
        _results(report[part], one, wording)
        for part, one in (("goals", "issue"), ("actions", "action"), ("channels", "channel"))
    )
    of_actions = _said(report, "actions_said", wording) if report["actions"] else ()
    suggestions = suggested(report, wording), suggestion_parts(report, wording)
    imported = _said(report, "imported_said", wording) if report.get("imported") else ()
    channels = (*channels, *_silence(report, wording))
    effort = tuple(_effort(report, wording)), _shares(report["effort"], wording)
    parts: dict[str, tuple[tuple[str, ...], tuple[PagePart, ...]]] = {
        "goals": (_of(report["goals"], "in-goals", wording), goals),
        "actions": (of_actions, actions),
        "suggestions": suggestions,
        "imported": (imported, _imported(report.get("imported") or [], wording)),
        "channels": (_of(report["channels"], "in-channels", wording), channels),
        "annoyed": (_annoys(report, wording), _annoyance(report["annoyed"], wording)),
        "effort": effort,
    }
    return [Section(name, wording.text(f"section-{name}"), *shown) for name, shown in parts.items()]


def _said(report: Report, name: str, wording: Wording) -> tuple[str, ...]:
    return (in_language(report, name, wording.lang),)


def _of(rows: Sequence[Row], of: str, wording: Wording) -> tuple[str, ...]:
    if not rows:
        return ()
    offers = wording.counted("offers", sum(row["offered"] for row in rows))
    return (wording.text("since-the-log", offers, wording.counted(of, len(rows))),)


def _results(rows: Sequence[Row], name: str, wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    mature = sorted((row for row in rows if row["mature"]), key=lambda row: -row["rate"])
    bars = [
        Bar(_name(row, name, wording), row["rate"], row["low"], row["high"], row["predicted"]) for row in mature[:MOST]
    ]
    order = sorted(rows, key=lambda row: -row["offered"])
    cells = [(_name(row, name, wording), *_cells(row, wording)) for row in order]
    title = wording.text(f"accepted-by-{name}")
    table = TextTable(title, wording.texts_of(f"column-{name}", *_COLUMNS), cells)
    drawing = bar_chart(title, bars, wording.percent)
    return (PagePart(title, table, wording.text("accepted-how") if bars else "", drawing),)


def _name(row: Row, column: str, wording: Wording) -> str:
    """Return what a row is of: goals have names in each language, actions and channels those of the catalogue."""
    return wording.named(column, row[column]) if column == "issue" else str(row[column])


def _cells(row: Row, wording: Wording) -> tuple[str, ...]:
    return (
        wording.count(row["offered"]),
        wording.count(row["reached"]),
        _interval(row, wording) if row["mature"] else wording.text("too-few"),
        wording.percent(row["predicted"]),
        wording.euros(row["earned_eur"]),
        wording.count(row["complaints"]),
        wording.count(row["opt_outs"]),
    )


def _interval(row: Row, wording: Wording) -> str:
    return NOTHING if row["rate"] is None else wording.between(row["rate"], row["low"], row["high"], "share")


def _silence(report: Report, wording: Wording) -> tuple[PagePart, ...]:
    """Return how decisions of four weeks divide into sales, service and silence, and why slots stayed empty."""
    return (*_divided(report["segments"], wording), *_empty(report["empty"], wording))


def _divided(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    cells = [
        (
            wording.named("segment", row["segment"]),
            row["part"],
            wording.count(row["decisions"]),
            *(wording.percent(row[name]) for name in ("sell", "service", "nothing")),
        )
        for row in rows
    ]
    columns = wording.texts_of("of", "value", "decisions", "sales", "service", "silence")
    table = TextTable(wording.text("decisions-of-weeks"), columns, cells, words=2)
    return (PagePart(wording.text("sales-and-silence"), table),)


def _empty(every: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    rows, total = [row for row in every if row["reason"] != "shown"], sum(row["slots"] for row in every)
    if not rows:
        return ()
    named = [(wording.named("empty", row["reason"]), row["slots"]) for row in rows]
    bars = [Bar(name, slots / total) for name, slots in named[:MOST]]
    cells = [(name, wording.count(slots), wording.percent(slots / total)) for name, slots in named]
    title = wording.text("why-empty")
    table = TextTable(title, wording.texts_of("reason", "slots", "of-all-slots"), cells)
    drawing = bar_chart(title, bars, wording.percent, filled=True)
    return (PagePart(title, table, wording.text("empty-how"), drawing),)


def _annoys(report: Report, wording: Wording) -> tuple[str, ...]:
    under, said = report["under_served"], _said(report, "annoyed_said", wording) if report["annoyed"] else ()
    if not under["customers"]:
        return said
    share = wording.bracketed(under["rate"], under["low"], under["high"], "share")
    return (wording.text("under-served", share, wording.percent(under["below"], 0)), *said)


def _annoyance(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = wording.text("annoyed-title")
    names = [f"{row['action']}, {row['channel']}" for row in rows]
    bars = [Bar(name, r["rate"], r["low"], r["high"]) for name, r in zip(names[:MOST], rows[:MOST], strict=True)]
    cells = [
        (
            *(row[name] for name in ("action", "treatment", "channel")),
            *(wording.count(row[name]) for name in ("reached", "complaints", "opt_outs")),
            _interval(row, wording),
        )
        for row in rows
    ]
    table = TextTable(title, wording.texts_of(*_ANNOYED_COLUMNS), cells, words=3)
    return (PagePart(title, table, wording.text("annoyed-how"), bar_chart(title, bars, wording.percent)),)


def _imported(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    """Return what came of contacts of before the brain, which are no offers of a decision."""
    if not rows:
        return ()
    cells = [
        (
            *(row["action"], row["channel"], wording.count(row["contacts"]), wording.count(row["succeeded"])),
            _interval({**row, "rate": row["value"]}, wording),
        )
        for row in rows
    ]
    title = wording.text("imported-title")
    bars = [Bar(f"{r['action']}, {r['channel']}", r["value"], r["low"], r["high"]) for r in rows[:MOST]]
    columns = wording.texts_of("column-action", "column-channel", "column-contacts", "successes", "share")
    drawing = bar_chart(title, bars, wording.percent)
    return (PagePart(title, TextTable(title, columns, cells, words=2), wording.text("imported-how"), drawing),)


def _shares(effort: Row, wording: Wording) -> tuple[PagePart, ...]:
    """Return the shares of contacts that were not the last, or went on to somebody else."""
    names = ("asked_again", "repeats", "people_asked_for")
    rates = [(wording.text(f"effort-{name}"), effort[name]) for name in names if effort[name]]
    if not rates:
        return ()
    bars = [Bar(text, rate["value"], rate["low"], rate["high"]) for text, rate in rates]
    cells = [
        (
            text,
            _interval({**rate, "rate": rate["value"]}, wording),
            *map(wording.count, (rate["of"], rate["customers"])),
        )
        for text, rate in rates
    ]
    title = wording.text("follows-a-contact")
    table = TextTable(title, wording.texts_of("column-contacts", "share", "of-contacts", "column-customers"), cells)
    return (PagePart(title, table, wording.text("follows-how"), bar_chart(title, bars, wording.percent)),)


def _effort(report: Report, wording: Wording) -> list[str]:
    """Return what contacts take of customers, and what rose within the hour, as sentences."""
    effort, said = report["effort"], []
    if solved := effort["contacts_until_solved"]:
        figures = (wording.number(solved[name], 2) for name in ("value", "low", "high"))
        said.append(wording.text("until-solved", *figures))
    if effort["contacts"]:
        counts = wording.counted("contacts", effort["contacts"]), wording.counted("customers", effort["customers"])
        said.insert(0, wording.text("effort-of", *counts, effort["days"]))
    return [*said, in_language(report, "rises_said", wording.lang)] if report["actions"] else said
