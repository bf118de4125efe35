"""The first screen of the report: four sentences with numbers, and value against the control group over time."""

from typing import Any, Final

from serving.pages.charts import Line, Point, line_chart
from serving.pages.figures import between, bracketed, count, day, estimate, euros, percent, plural, short_day
from serving.pages.parts import PagePart, Sentence
from serving.pages.report import Report
from serving.pages.tables import TextTable

_NBA: Final = "nba"


def sentences(report: Report) -> tuple[Sentence, ...]:
    """Return what the brain brought, whom it helped, whom it left in peace, and whom it annoyed."""
    now, before = (report["people"][period] for period in ("now", "before"))
    return _value(report), _helped(now, before), _left_in_peace(now, before), _annoyed(now, before)


def compared(report: Report) -> dict[str, Any] | None:
    """Return the arm that stands for doing without the brain, as the report chose it."""
    row: dict[str, Any] | None = report["people"]["control"]
    return row


def _value(report: Report) -> Sentence:
    arm = compared(report)
    if arm is None:
        return Sentence("", "What the brain brings cannot be told", ": no control group is declared.", "See `arms:`.")
    if arm["lift_eur"] is None:
        why = (arm["why"] or "nobody was drawn yet").removeprefix("too small to tell: ")
        return Sentence("", "What the brain brings cannot be told yet", f": {why}.", report["arms_said"] or "")
    each = bracketed(arm["lift_eur"], arm["lift_low"], arm["lift_high"], "eur")
    group = f"control group ({arm['arm']}, {plural(arm['customers'], 'customer')})"
    if arm["lift_low"] > 0.0:
        n = arm["brought_eur"] / arm["lift_eur"]
        brought, least, most = estimate(n * arm["lift_eur"], n * arm["lift_low"], n * arm["lift_high"], "eur")
        more = f" more than doing without it, between {least} and {most}: {each} a customer, beside the {group}."
        return Sentence("The brain brought ", brought, more, report["arms_said"])
    if arm["lift_high"] < 0.0:
        return Sentence("The brain brought ", "less", f" than the {group}: {each} a customer.", report["arms_said"])
    lead = f", because it may be chance: {each} a customer, beside the {group}."
    return Sentence("", "Whether the brain brings more cannot be told yet", lead, report["arms_said"])


def _helped(now: dict[str, Any], before: dict[str, Any]) -> Sentence:
    if not now["customers"]:
        return Sentence("", "Nobody was offered help", ", as nothing was decided in four weeks.")
    took = f"{count(now['took_help'])} of them took what was offered."
    return Sentence(
        "We offered help to ", plural(now["helped"], "customer"), f" in four weeks{_before(before, 'helped')}.", took
    )


def _left_in_peace(now: dict[str, Any], before: dict[str, Any]) -> Sentence:
    if not now["customers"]:
        return Sentence("", "Everybody was left in peace", ", as nothing was decided in four weeks.")
    share = f" ({percent(now['left_in_peace'] / now['customers'])})"
    of = f"Of {plural(now['customers'], 'customer')} for whom something was decided."
    peace = plural(now["left_in_peace"], "customer")
    return Sentence(
        "We left ", peace, f"{share} in peace: nothing was suggested{_before(before, 'left_in_peace')}.", of
    )


def _annoyed(now: dict[str, Any], before: dict[str, Any]) -> Sentence:
    counted = f"{plural(now['complaints'], 'complaint')} and {plural(now['objections'], 'objection')}, "
    note = f"{counted}after {plural(now['reached'], 'offer')} that reached somebody."
    rate, past = now["annoyed_rate"], before["annoyed_rate"]
    if rate is None:
        return Sentence("", "Nobody complained or objected", ", as nothing was decided in four weeks.")
    share = bracketed(rate["value"], rate["low"], rate["high"], "share")
    then = f"; the four weeks before {percent(past['value'], 1)}" if past else ""
    return Sentence("", plural(now["annoyed"], "customer"), f" complained or objected, {share} of all{then}.", note)


def _before(before: dict[str, Any], name: str) -> str:
    return f"; the four weeks before {count(before[name])}" if before["customers"] else ""


def value_plot(report: Report) -> PagePart | None:
    """Return the plot of value against the control group, or None if there is nothing to compare."""
    arm = compared(report)
    rows = [row for row in report["over_time"] if arm is not None and row["arm"] == arm["arm"]]
    if not rows:
        return None
    control = Line("control group", [Point(r["until_us"], r["mean_eur"]) for r in rows], main=False)
    drawing = line_chart(
        "Euros per customer, the brain and the control group", [_brain(rows), control], euros, short_day
    )
    table = TextTable(
        "Value against the control group",
        ("Until", "The brain, a customer", "Control group, a customer", "Difference"),
        [(day(r["until_us"]), euros(r["nba_eur"]), euros(r["mean_eur"]), _difference(r)) for r in rows],
    )
    text = "Euros that a customer has brought by the end of each week. Where the band (95%) holds the grey line, the "
    return PagePart("Value against the control group", table, f"{text}difference may be chance.", drawing)


def _brain(rows: list[dict[str, Any]]) -> Line:
    """Return the line of the brain; its band is the interval of its difference from the control group."""
    points = [
        Point(r["until_us"], r["nba_eur"], r["mean_eur"] + r["lift_low"], r["mean_eur"] + r["lift_high"]) for r in rows
    ]
    return Line("the brain", points)


def _difference(row: dict[str, Any]) -> str:
    return between(row["lift_eur"], row["lift_low"], row["lift_high"], "eur")
