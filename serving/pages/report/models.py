"""The sections on models, fairness, drift, exploration and approval."""

from collections.abc import Iterator, Sequence
from typing import Any

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING, between, count, euros, percent, ratio, spaced
from serving.pages.parts import PagePart, Section, calibration_part
from serving.pages.report import Report
from serving.pages.report.results import MOST
from serving.pages.tables import TextTable

Row = dict[str, Any]


def model_sections(report: Report) -> list[Section]:
    """Return the sections of how well models predict, whom they treat unlike, what moved and what exploring cost."""
    fairness = [row for row in report["fairness"] if row["low"] is not None]
    ranked = (*_worth(report, "rankings", "policy", "worth"), *_worth(report, "uplift", "action", "effect"))
    return [
        Section("models", "Models", tuple(_trial_said(report)), (*_calibration(report["calibration"]), *ranked)),
        _fair(report, fairness),
        Section("drift", "What moved", _moved(report), _drift(report["drift"])),
        Section("exploration", "What exploring cost", tuple(_explored(report)), _exploration(report["exploration"])),
        Section("approval", "Without approval", (), _approval(report.get("without_approval") or [])),
    ]


def _calibration(bins: Sequence[Row]) -> tuple[PagePart, ...]:
    if not bins:
        return ()
    text = (
        "Offers in up to ten groups by what was predicted, with two standard errors. A true prediction is on the line."
    )
    return (calibration_part("Promised and kept", text, bins),)


def _trial_said(report: Report) -> Iterator[str]:
    yield f"Decisions are made by {report['model']}."
    for trial in report.get("trial", ()):
        yield f"{trial['model']} is on trial ({trial['stage']}, {percent(trial['share'])}): {trial['why']}."
    if report.get("trial_said"):
        yield report["trial_said"]
    if report["calibration"]:
        yield report["calibration_said"]
    if report.get("rankings_said"):
        yield f"Uplift beside propensity: {report['rankings_said']}."


def _worth(report: Report, name: str, label: str, column: str) -> tuple[PagePart, ...]:
    """Return what ranking by uplift brings per choice, or what showing each action adds; those that are known."""
    rows = [row for row in report.get(name, ()) if row[column]]
    if not rows:
        return ()
    title = {"rankings": "What a choice brings, by policy", "uplift": "What showing an action adds"}[name]
    unit = {"rankings": "euros a choice", "uplift": "successes a customer"}[name]
    say = euros if name == "rankings" else percent
    kind = "eur" if name == "rankings" else "share"
    bars = [Bar(row[label], *row[column].values()) for row in rows[:MOST]]
    limits = [(row[column]["value"], row[column]["low"], row[column]["high"]) for row in rows]
    cells = [(row[label], between(*limit, unit=kind)) for row, limit in zip(rows, limits, strict=True)]
    drawing = bar_chart(title, bars, say)
    return (
        PagePart(title, TextTable(title, (label.capitalize(), unit.capitalize()), cells), f"In {unit}, 95%.", drawing),
    )


def _fairness(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = "Groups beside everybody else"
    order = sorted(rows, key=lambda row: (row["state"] != "breached", -abs(row["value"] - 1.0)))
    bars = [Bar(_group(row), row["value"], row["low"], row["high"]) for row in order[:MOST]]
    cells = [(*_guard(row), between(row["value"], row["low"], row["high"]), _verdict(row)) for row in order]
    text = (
        "How many times as often as others a group is offered something, or accepts it. Between 0.8 and 1.25 is fair."
    )
    table = TextTable(title, ("Group", "Goal", "What", "Ratio", "Verdict"), cells, words=3)
    return (PagePart(title, table, text, bar_chart(title, bars, ratio, around=1.0)),)


def _fair(report: Report, guards: Sequence[Row]) -> Section:
    parts = (*_fairness(guards), *_discounts(report))
    return Section("fairness", "Fairness", tuple(_fair_said(report, guards)), parts)


def _fair_said(report: Report, guards: Sequence[Row]) -> Iterator[str]:
    if guards:
        yield report["fairness_said"]
    if report.get("discounts"):
        yield report["discounts_said"]


def _discounts(report: Report) -> tuple[PagePart, ...]:
    """Return what was given away to each group beside everybody else, those of too few customers last."""
    rows: Sequence[Row] = sorted(report.get("discounts", ()), key=lambda row: (row["low"] is None, row["group"]))
    if not rows:
        return ()
    title = "Given away, by group"
    known = [row for row in rows if row["low"] is not None]
    bars = [Bar(_named(row), row["difference"], row["low"], row["high"]) for row in known[:MOST]]
    cells = [(_named(row), count(row["customers"]), euros(row["eur"]), _more_or_less(row)) for row in rows]
    text = "Euros given to a customer of the group more than to one of everybody else, 95%."
    table = TextTable(title, ("Group", "Customers", "Euros each", "More than others"), cells)
    return (PagePart(title, table, text, *((bar_chart(title, bars, euros),) if bars else ())),)


def _named(row: Row) -> str:
    return spaced(row["group"].replace("=", " "))


def _more_or_less(row: Row) -> str:
    if row["low"] is None:
        return "too few customers to tell"
    return between(row["difference"], row["low"], row["high"], unit="eur")


def _guard(row: Row) -> tuple[str, str, str]:
    """Return the group, the goal and what is compared, of a guard named `fairness.GOAL.RATE.FEATURE=VALUE`."""
    _, issue, rate, group = row["name"].split(".", 3)
    return spaced(group.replace("=", " ")), issue, {"selected": "offered", "succeeded": "accepted"}[rate]


def _group(row: Row) -> str:
    group, issue, rate = _guard(row)
    return f"{group}: {issue} {rate}"


def _verdict(row: Row) -> str:
    return "unfair" if row["state"] == "breached" else "fair"


def _moved(report: Report) -> tuple[str, ...]:
    if not report["drift"]:
        return ()
    moved = sum(row["drifted"] for row in report["drift"])
    said = f"{count(moved)} of {count(len(report['drift']))} moved." if moved else "Nothing moved by more than chance."
    return said, report["drift_said"]


def _drift(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = "Stability of facts and scores"
    bars = [Bar(spaced(row["column"]), row["psi"], reference=row["chance"]) for row in rows[:10]]
    cells = [
        (spaced(r["column"]), ratio(r["psi"]), ratio(r["chance"]), "moved" if r["drifted"] else "as before")
        for r in rows
    ]
    table = TextTable(title, ("Fact", "Index", "Chance", "Verdict"), cells)
    if not any(row["drifted"] for row in rows):
        return (PagePart(title, table),)
    text = "Index of the last four weeks against the twelve before; the hollow dot is what chance alone may reach."
    return (PagePart(title, table, text, bar_chart(title, bars, ratio, filled=True)),)


def _explored(report: Report) -> Iterator[str]:
    if rows := report["exploration"]:
        given_up, slots = sum(r["given_up_eur"] for r in rows), sum(r["slots"] for r in rows)
        yield f"Trying the little known cost about {euros(given_up)} in four weeks, over {count(slots)} slots."


def _exploration(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    cells = [
        (r["channel"], count(r["slots"]), percent(r["spent"]), percent(r["budget"]), euros(r["given_up_eur"]))
        for r in rows
    ]
    columns = ("Channel", "Slots", "Share spent", "Budget", "Given up")
    return (PagePart("By channel", TextTable("What exploring the little known cost in four weeks", columns, cells)),)


def _approval(rows: Sequence[Row]) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = "What decides without the approval of a second person"
    names = list(rows[0])
    cells = [tuple(NOTHING if row[name] is None else str(row[name]) for name in names) for row in rows]
    return (PagePart(title, TextTable(title, [spaced(name).capitalize() for name in names], cells, words=len(names))),)
