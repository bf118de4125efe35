"""The section on what people did with suggestions, why, and which action's automation could be widened."""

from typing import Any, Final

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING, between, count, percent, plural, spaced
from serving.pages.parts import PagePart
from serving.pages.report import Report
from serving.pages.tables import TextTable

Row = dict[str, Any]
_MOST_SENTENCES: Final = 3
_MOST_BARS: Final = 15


def suggested(report: Report) -> tuple[str, ...]:
    """Return the sentences of the section: what could be widened, and why suggestions are overridden most."""
    if "suggestions" not in report:
        return ()
    most = report["override_reasons"][:_MOST_SENTENCES]
    said = [f"`{r['action']}` was {r['verdict']} {plural(r['times'], 'time')}: {spaced(r['reason'])}." for r in most]
    corrected = sum(row["times"] for row in report["corrections"])
    if corrected:
        said.append(f"People corrected {plural(corrected, 'time')} what was heard in a message.")
    return (report["widen_said"], *said, report["suggestions_said"])


def suggestion_parts(report: Report) -> tuple[PagePart, ...]:
    """Return shares per action, reasons per action, and what of messages was corrected."""
    if "suggestions" not in report:
        return ()
    parts = (_shares(report["suggestions"]), _reasons(report["override_reasons"]), _corrected(report["corrections"]))
    return tuple(part for part in parts if part is not None)


def _shares(rows: list[Row]) -> PagePart | None:
    if not rows:
        return None
    title = "What was followed, by action"
    judged = [row for row in rows if row["known"]]
    bars = [Bar(r["action"], *(r["followed"][n] for n in ("value", "low", "high"))) for r in judged[:_MOST_BARS]]
    cells = [
        (
            row["action"],
            spaced(row["automation"] or "gone"),
            *(count(row[name]) for name in ("suggested", "known", "customers", "times_overridden", "times_regretted")),
            _interval(row["followed"]),
        )
        for row in rows
    ]
    columns = ("Action", "Automation", "Suggested", "Known", "Customers", "Overridden", "Regretted", "Followed")
    text = "Share of suggestions that people followed, with its 95% interval." if bars else ""
    return PagePart(title, TextTable(title, columns, cells, words=2), text, bar_chart(title, bars, percent))


def _interval(figure: Row) -> str:
    return NOTHING if figure["value"] is None else between(figure["value"], figure["low"], figure["high"], "share")


def _reasons(rows: list[Row]) -> PagePart | None:
    if not rows:
        return None
    title = "Why suggestions were overridden or regretted"
    cells = [(r["action"], r["verdict"], spaced(r["reason"]), count(r["times"]), count(r["customers"])) for r in rows]
    return PagePart(title, TextTable(title, ("Action", "What", "Reason", "Times", "Customers"), cells, words=3))


def _corrected(rows: list[Row]) -> PagePart | None:
    if not rows:
        return None
    title = "What was heard wrong in messages"
    cells = [(spaced(r["field"]), count(r["times"]), count(r["customers"])) for r in rows]
    return PagePart(title, TextTable(title, ("Field", "Times", "Customers"), cells))
