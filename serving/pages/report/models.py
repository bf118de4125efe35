"""The sections on models, fairness, drift, exploration and approval."""

from collections.abc import Iterator, Sequence
from typing import Any

from serving.pages.card.calibration import calibration_part
from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING, spaced
from serving.pages.languages import in_language
from serving.pages.parts import PagePart, Section
from serving.pages.report import Report
from serving.pages.report.results import MOST
from serving.pages.tables import TextTable
from serving.pages.wording import Wording

Row = dict[str, Any]


def model_sections(report: Report, wording: Wording) -> list[Section]:
    """Return the sections of how well models predict, whom they treat unlike, what moved and what exploring cost."""
    fairness = [row for row in report["fairness"] if row["low"] is not None]
    worth = (*_worth(report, "rankings", wording), *_worth(report, "uplift", wording))
    parts: dict[str, tuple[tuple[str, ...], tuple[PagePart, ...]]] = {
        "models": (tuple(_models(report, wording)), (*_calibration(report["calibration"], wording), *worth)),
        "fairness": (
            tuple(_fair_said(report, fairness, wording)),
            (*_fairness(fairness, wording), *_discounts(report, wording)),
        ),
        "drift": (_moved(report, wording), _drift(report["drift"], wording)),
        "exploration": (tuple(_explored(report, wording)), _exploration(report["exploration"], wording)),
        "approval": ((), _approval(report.get("without_approval") or [], wording)),
    }
    return [Section(name, wording.text(f"section-{name}"), *shown) for name, shown in parts.items()]


def _calibration(bins: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not bins:
        return ()
    return (calibration_part(wording.text("kept-title"), wording.text("kept-how"), bins, wording),)


def _models(report: Report, wording: Wording) -> Iterator[str]:
    yield wording.text("decided-by", report["model"])
    for trial in report.get("trial", ()):
        stage, why = wording.named("stage", trial["stage"]), in_language(trial, "why", wording.lang)
        yield wording.text("on-trial", trial["model"], stage, wording.percent(trial["share"]), why)
    if report.get("trial_said"):
        yield in_language(report, "trial_said", wording.lang)
    if report["calibration"]:
        yield in_language(report, "calibration_said", wording.lang)
    if report.get("rankings_said"):
        yield wording.text("rankings", in_language(report, "rankings_said", wording.lang))


def _worth(report: Report, name: str, wording: Wording) -> tuple[PagePart, ...]:
    """Return what ranking by uplift brings per choice, or what showing each action adds; those that are known."""
    label, column, kind = {"rankings": ("policy", "worth", "eur"), "uplift": ("action", "effect", "share")}[name]
    rows = [row for row in report.get(name, ()) if row[column]]
    if not rows:
        return ()
    title, unit = wording.texts_of(f"{name}-title", f"{name}-unit")
    names = [wording.named("policy", row[label]) if label == "policy" else row[label] for row in rows]
    limits = [(row[column]["value"], row[column]["low"], row[column]["high"]) for row in rows]
    bars = [Bar(name, *limit) for name, limit in zip(names[:MOST], limits[:MOST], strict=True)]
    cells = [(name, wording.between(*limit, kind)) for name, limit in zip(names, limits, strict=True)]
    table = TextTable(title, (wording.text(f"column-{label}"), unit), cells)
    drawing = bar_chart(title, bars, wording.euros if kind == "eur" else wording.percent)
    return (PagePart(title, table, wording.text(f"{name}-how"), drawing),)


def _fairness(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = wording.text("fairness-title")
    order = sorted(rows, key=lambda row: (row["state"] != "breached", -abs(row["value"] - 1.0)))
    bars = [Bar(_group(row, wording), row["value"], row["low"], row["high"]) for row in order[:MOST]]
    cells = [
        (
            *_guard(row, wording),
            wording.between(row["value"], row["low"], row["high"]),
            wording.text("unfair" if row["state"] == "breached" else "fair"),
        )
        for row in order
    ]
    table = TextTable(title, wording.texts_of("group", "column-issue", "what", "ratio", "verdict"), cells, words=3)
    drawing = bar_chart(title, bars, wording.ratio, around=1.0)
    return (PagePart(title, table, wording.text("fairness-how"), drawing),)


def _fair_said(report: Report, guards: Sequence[Row], wording: Wording) -> Iterator[str]:
    if guards:
        yield in_language(report, "fairness_said", wording.lang)
    if report.get("discounts"):
        yield in_language(report, "discounts_said", wording.lang)


def _discounts(report: Report, wording: Wording) -> tuple[PagePart, ...]:
    """Return what was given away to each group beside everybody else, those of too few customers last."""
    rows: Sequence[Row] = sorted(report.get("discounts", ()), key=lambda row: (row["low"] is None, row["group"]))
    if not rows:
        return ()
    title = wording.text("discounts-title")
    known = [row for row in rows if row["low"] is not None]
    bars = [Bar(_of_group(row["group"]), row["difference"], row["low"], row["high"]) for row in known[:MOST]]
    cells = [
        (
            _of_group(row["group"]),
            wording.count(row["customers"]),
            wording.euros(row["eur"]),
            _more_or_less(row, wording),
        )
        for row in rows
    ]
    table = TextTable(title, wording.texts_of("group", "column-customers", "euros-each", "more-than-others"), cells)
    drawing = (bar_chart(title, bars, wording.euros),) if bars else ()
    return (PagePart(title, table, wording.text("discounts-how"), *drawing),)


def _of_group(feature: str) -> str:
    """Return the name of a group, `FEATURE=VALUE`, in words."""
    return spaced(feature.replace("=", " "))


def _more_or_less(row: Row, wording: Wording) -> str:
    if row["low"] is None:
        return wording.text("too-few-to-tell")
    return wording.between(row["difference"], row["low"], row["high"], "eur")


def _guard(row: Row, wording: Wording) -> tuple[str, str, str]:
    """Return the group, the goal and what is compared, of a guard named `fairness.GOAL.RATE.FEATURE=VALUE`."""
    _, issue, rate, group = row["name"].split(".", 3)
    return _of_group(group), wording.named("issue", issue), wording.named("rate", rate)


def _group(row: Row, wording: Wording) -> str:
    group, issue, rate = _guard(row, wording)
    return f"{group}: {issue} {rate}"


def _moved(report: Report, wording: Wording) -> tuple[str, ...]:
    if not report["drift"]:
        return ()
    moved = sum(row["drifted"] for row in report["drift"])
    counts = wording.count(moved), wording.count(len(report["drift"]))
    said = wording.text("moved", *counts) if moved else wording.text("nothing-moved")
    return said, in_language(report, "drift_said", wording.lang)


def _drift(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title = wording.text("drift-title")
    bars = [Bar(wording.named("fact", row["column"]), row["psi"], reference=row["chance"]) for row in rows[:10]]
    cells = [
        (
            wording.named("fact", row["column"]),
            *(wording.ratio(row[name]) for name in ("psi", "chance")),
            wording.text("has-moved" if row["drifted"] else "as-before"),
        )
        for row in rows
    ]
    table = TextTable(title, wording.texts_of("fact", "index", "chance", "verdict"), cells)
    if not any(row["drifted"] for row in rows):
        return (PagePart(title, table),)
    return (PagePart(title, table, wording.text("drift-how"), bar_chart(title, bars, wording.ratio, filled=True)),)


def _explored(report: Report, wording: Wording) -> Iterator[str]:
    if rows := report["exploration"]:
        given_up, slots = sum(row["given_up_eur"] for row in rows), sum(row["slots"] for row in rows)
        yield wording.text("explored", wording.euros(given_up), wording.count(slots))


def _exploration(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    cells = [
        (
            row["channel"],
            wording.count(row["slots"]),
            *(wording.percent(row[name]) for name in ("spent", "budget")),
            wording.euros(row["given_up_eur"]),
        )
        for row in rows
    ]
    columns = wording.texts_of("column-channel", "slots", "share-spent", "budget", "given-up")
    return (PagePart(wording.text("section-channels"), TextTable(wording.text("exploration-title"), columns, cells)),)


def _approval(rows: Sequence[Row], wording: Wording) -> tuple[PagePart, ...]:
    if not rows:
        return ()
    title, names = wording.text("approval-title"), list(rows[0])
    cells = [tuple(NOTHING if row[name] is None else str(row[name]) for name in names) for row in rows]
    columns = [wording.named("approval", name).capitalize() for name in names]
    return (PagePart(title, TextTable(title, columns, cells, words=len(names))),)
