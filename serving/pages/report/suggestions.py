"""The section on what people did with suggestions, why, and which action's automation could be widened."""

from typing import Any, Final

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING
from serving.pages.languages import in_language
from serving.pages.parts import PagePart
from serving.pages.report import Report
from serving.pages.tables import TextTable
from serving.pages.wording import Wording

Row = dict[str, Any]
_MOST_SENTENCES: Final = 3
_MOST_BARS: Final = 15


def suggested(report: Report, wording: Wording) -> tuple[str, ...]:
    """Return the sentences of the section: what could be widened, and why suggestions are overridden most."""
    if "suggestions" not in report:
        return ()
    said = [_reason(row, wording) for row in report["override_reasons"][:_MOST_SENTENCES]]
    if corrected := sum(row["times"] for row in report["corrections"]):
        said.append(wording.text("corrected", wording.counted("times", corrected)))
    widen, rests_on = (in_language(report, name, wording.lang) for name in ("widen_said", "suggestions_said"))
    return widen, *said, rests_on


def _reason(row: Row, wording: Wording) -> str:
    """Return how often suggestions of an action were overridden or regretted, and why."""
    reason = wording.named("reason", row["reason"])
    return wording.text(f"was-{row['verdict']}", row["action"], wording.counted("times", row["times"]), reason)


def suggestion_parts(report: Report, wording: Wording) -> tuple[PagePart, ...]:
    """Return shares per action, reasons per action, and what of messages was corrected."""
    if "suggestions" not in report:
        return ()
    parts = (
        _shares(report["suggestions"], wording),
        _reasons(report["override_reasons"], wording),
        _corrected(report["corrections"], wording),
    )
    return tuple(part for part in parts if part is not None)


_COUNTS: Final = ("suggested", "known", "customers", "times_overridden", "times_regretted")
_COLUMNS: Final = (
    *("column-action", "automation", "suggested", "known", "column-customers", "overridden", "regretted", "followed"),
)


def _shares(rows: list[Row], wording: Wording) -> PagePart | None:
    if not rows:
        return None
    title = wording.text("followed-title")
    judged = [row for row in rows if row["known"]]
    bars = [Bar(r["action"], *(r["followed"][n] for n in ("value", "low", "high"))) for r in judged[:_MOST_BARS]]
    cells = [
        (
            row["action"],
            wording.named("automation", row["automation"] or "gone"),
            *(wording.count(row[name]) for name in _COUNTS),
            _interval(row["followed"], wording),
        )
        for row in rows
    ]
    table = TextTable(title, wording.texts_of(*_COLUMNS), cells, words=2)
    return PagePart(title, table, wording.text("followed-how") if bars else "", bar_chart(title, bars, wording.percent))


def _interval(figure: Row, wording: Wording) -> str:
    if figure["value"] is None:
        return NOTHING
    return wording.between(figure["value"], figure["low"], figure["high"], "share")


def _reasons(rows: list[Row], wording: Wording) -> PagePart | None:
    if not rows:
        return None
    title = wording.text("overridden-title")
    cells = [
        (
            row["action"],
            *(wording.named(kind, row[kind]) for kind in ("verdict", "reason")),
            *(wording.count(row[name]) for name in ("times", "customers")),
        )
        for row in rows
    ]
    columns = wording.texts_of("column-action", "what", "reason", "column-times", "column-customers")
    return PagePart(title, TextTable(title, columns, cells, words=3))


def _corrected(rows: list[Row], wording: Wording) -> PagePart | None:
    if not rows:
        return None
    title = wording.text("heard-title")
    cells = [
        (wording.named("heard", row["field"]), *map(wording.count, (row["times"], row["customers"]))) for row in rows
    ]
    return PagePart(title, TextTable(title, wording.texts_of("field", "column-times", "column-customers"), cells))
