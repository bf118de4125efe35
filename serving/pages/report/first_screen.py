"""The first screen of the report: four sentences with numbers, and value against the control group over time."""

from typing import Any

from serving.pages.charts import Line, Point, line_chart
from serving.pages.languages import in_language
from serving.pages.parts import PagePart, Sentence
from serving.pages.report import Report
from serving.pages.tables import TextTable
from serving.pages.wording import Wording


def sentences(report: Report, wording: Wording) -> tuple[Sentence, ...]:
    """Return what the brain brought, whom it helped, whom it left in peace, and whom it annoyed."""
    now, before = (report["people"][period] for period in ("now", "before"))
    return (
        _value(report, wording),
        _helped(now, before, wording),
        _left_in_peace(now, before, wording),
        _annoyed(now, before, wording),
    )


def compared(report: Report) -> dict[str, Any] | None:
    """Return the arm that stands for doing without the brain, as the report chose it."""
    row: dict[str, Any] | None = report["people"]["control"]
    return row


def _value(report: Report, wording: Wording) -> Sentence:
    arm = compared(report)
    if arm is None:
        return wording.sentence("value-no-control", note=wording.text("see-arms"))
    note = in_language(report, "arms_said", wording.lang)
    if arm["lift_eur"] is None:
        why = in_language(arm, "why", wording.lang) or wording.text("nobody-drawn")
        return wording.sentence("value-unknown", why.partition(": ")[2] or why, note=note)
    each = wording.bracketed(arm["lift_eur"], arm["lift_low"], arm["lift_high"], "eur")
    group = wording.text("control-group", arm["arm"], wording.counted("customers", arm["customers"]))
    if arm["lift_low"] > 0.0:
        n = arm["brought_eur"] / arm["lift_eur"]
        brought = wording.estimate(n * arm["lift_eur"], n * arm["lift_low"], n * arm["lift_high"], "eur")
        return wording.sentence("value-more", *brought, each, group, note=note)
    if arm["lift_high"] < 0.0:
        return wording.sentence("value-less", group, each, note=note)
    return wording.sentence("value-chance", each, group, note=note)


def _helped(now: dict[str, Any], before: dict[str, Any], wording: Wording) -> Sentence:
    if not now["customers"]:
        return wording.sentence("helped-nobody")
    took = wording.counted("took-help", now["took_help"])
    helped = wording.counted("customers", now["helped"])
    return wording.sentence("helped", helped, _before(before, "helped", wording), note=took)


def _left_in_peace(now: dict[str, Any], before: dict[str, Any], wording: Wording) -> Sentence:
    if not now["customers"]:
        return wording.sentence("peace-everybody")
    share = wording.percent(now["left_in_peace"] / now["customers"])
    of = wording.text("peace-of", wording.counted("customers", now["customers"]))
    peace, then = wording.counted("customers", now["left_in_peace"]), _before(before, "left_in_peace", wording)
    return wording.sentence("peace", peace, share, then, note=of)


def _annoyed(now: dict[str, Any], before: dict[str, Any], wording: Wording) -> Sentence:
    counts = (wording.counted(*one) for one in (("complaints", now["complaints"]), ("objections", now["objections"])))
    note = wording.text("annoyed-of", *counts, wording.counted("offers", now["reached"]))
    rate, past = now["annoyed_rate"], before["annoyed_rate"]
    if rate is None:
        return wording.sentence("annoyed-nobody")
    share = wording.bracketed(rate["value"], rate["low"], rate["high"], "share")
    then = wording.text("before", wording.percent(past["value"], 1)) if past else ""
    name = "annoyed-one" if now["annoyed"] == 1 else "annoyed"
    return wording.sentence(name, wording.counted("customers", now["annoyed"]), share, then, note=note)


def _before(before: dict[str, Any], name: str, wording: Wording) -> str:
    return wording.text("before", wording.count(before[name])) if before["customers"] else ""


def value_plot(report: Report, wording: Wording) -> PagePart | None:
    """Return the plot of value against the control group, or None if there is nothing to compare."""
    arm = compared(report)
    rows = [row for row in report["over_time"] if arm is not None and row["arm"] == arm["arm"]]
    if not rows:
        return None
    points = [Point(r["until_us"], r["mean_eur"]) for r in rows]
    lines = [_brain(rows, wording), Line(wording.text("the-control"), points, main=False)]
    drawing = line_chart(wording.text("value-chart"), lines, wording.euros, wording.short_day)
    title, euros = wording.text("value-title"), wording.euros
    columns = [wording.text(name) for name in ("until", "brain-column", "control-column", "difference")]
    cells = [
        (wording.day(r["until_us"]), euros(r["nba_eur"]), euros(r["mean_eur"]), _difference(r, wording)) for r in rows
    ]
    return PagePart(title, TextTable(title, columns, cells), wording.text("value-how"), drawing)


def _brain(rows: list[dict[str, Any]], wording: Wording) -> Line:
    """Return the line of the brain; its band is the interval of its difference from the control group."""
    points = [
        Point(r["until_us"], r["nba_eur"], r["mean_eur"] + r["lift_low"], r["mean_eur"] + r["lift_high"]) for r in rows
    ]
    return Line(wording.text("the-brain"), points)


def _difference(row: dict[str, Any], wording: Wording) -> str:
    return wording.between(row["lift_eur"], row["lift_low"], row["lift_high"], "eur")
