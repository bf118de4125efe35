"""The page of a simulated change: whose first offer is another, who loses, and what it brings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import count, euros, percent, short_hash
from serving.pages.simulation.words import LITTLE_TRIED, eur, group_name, sentences, share
from serving.pages.tables import TextTable
from serving.pages.templates import document

Result = Mapping[str, Any]
_SECTIONS = (
    ("who", "Who moves"),
    ("help", "Help and service"),
    ("money", "Money"),
    ("limits", "Limits and gates"),
    ("fairness", "Fairness"),
    ("change", "The change"),
)
NONE = "none"


def page_of(figures: Result) -> str:
    """Return the page of these figures, which works alone and loads nothing."""
    return document(
        "simulation/simulation.html",
        figures=figures,
        sentences={subject: _unbroken(text) for subject, text in sentences(figures).items()},
        sections=_SECTIONS,
        before=short_hash(figures["before"]),
        after=short_hash(figures["after"]),
        flows=_flow_chart(figures),
        tables=_tables(figures),
        money=_money_chart(figures),
        fair=_fair_chart(figures),
        findings=_findings(figures),
        most_findings=_MOST_FINDINGS,
    )


def _flow_chart(figures: Result) -> Any:
    bars = [Bar(f"{flow['from']} → {flow['to']}", flow["customers"]) for flow in figures["flows"]]
    return bar_chart("Customers by their move", bars, count, filled=True)


def _money_chart(figures: Result) -> Any:
    rows = [(row["place"], row["change_eur"]) for row in figures["by_place"]]
    bars = [Bar(place, *_thousandfold(change)) for place, change in rows]
    return bar_chart("Change of expected money per 1,000 customers", bars, eur)


def _fair_chart(figures: Result) -> Any:
    bars = []
    for row in figures["fairness"]:
        after = row["reached_after"]
        bars.append(Bar(group_name(row), after["value"], after["low"], after["high"], row["reached_before"]["value"]))
    return bar_chart("Share of customers who are sold something", bars, percent)


def _thousandfold(interval: Result) -> tuple[float, float | None, float | None]:
    value, low, high = (None if interval[n] is None else 1000 * interval[n] for n in ("value", "low", "high"))
    return value or 0.0, low, high


def _findings(figures: Result) -> list[dict[str, str]]:
    """Return what to look at before the release: losses of help, groups, little evidence, unknown features."""
    findings = [_help_finding(row) for row in figures["help"]["lost"][:3]]
    for row in figures["fairness"]:
        guard, before = row["guard_after"], row["guard_before"]
        if _is_breached(guard) and not _is_breached(before):
            findings.append({"kind": "unfair", "tone": "warn", "text": f"{group_name(row)}: {_ratio(guard)}"})
    if figures["money"]["little_tried"] >= LITTLE_TRIED:
        part = percent(figures["money"]["little_tried"], 0)
        findings.append({"kind": "unsure", "tone": "", "text": f"{part} of the money rests on offers hardly tried"})
    if figures["unknown_features"]:
        names = ", ".join(figures["unknown_features"])
        findings.append({"kind": "unknown", "tone": "", "text": f"nobody's value is known yet: {names}"})
    return findings


def _help_finding(row: Result) -> dict[str, str]:
    text = f"{count(row['customers'])} lose {row['help']} and get {row['instead']}"
    return {"kind": "help lost", "tone": "harm" if row["displaced_by_a_sale"] else "warn", "text": text}


def _is_breached(guard: Result | None) -> bool:
    return guard is not None and guard["state"] == "breached"


def _ratio(guard: Result) -> str:
    return f"sold to {guard['ratio']['value']:.2f} times as often as the others"


def _tables(figures: Result) -> dict[str, TextTable]:
    flows = [[f["to"], f["from"], ", ".join(f["places"]), count(f["customers"])] for f in figures["flows"]]
    places = [
        [row["place"], count(row["moved"]), *_both(row, "nothing"), *_eur_row(row)] for row in figures["by_place"]
    ]
    lost = [[row["help"], row["instead"], count(row["customers"])] for row in figures["help"]["lost"]]
    empty = [[w["reason"].replace("_", " "), count(w["before"]), count(w["after"])] for w in figures["nothing"]["why"]]
    caps = [
        [row["place"], *(f"{row[f'contacts_{s}']['value']:.2f}" for s in _SIDES), *_both(row, "capped")]
        for row in figures["caps"]
    ]
    gates = [[row["text"], row["gate"], count(row["before"]), count(row["after"])] for row in figures["withheld"]]
    changes = [[c["item"], c["field"] or "all", _text(c["before"]), _text(c["after"])] for c in figures["changes"]]
    return {
        "flows": TextTable("Moves, the largest first", ["Now", "Before", "Where", "Customers"], flows, 3),
        "places": TextTable("Place by place", _PLACE_COLUMNS, places),
        "lost": TextTable("Who loses help, and what is there instead", _LOST_COLUMNS, lost[:_MOST_LOST], 2),
        "lost_all": TextTable("Everybody who loses help", _LOST_COLUMNS, lost, 2),
        "empty": TextTable("Why a place stays empty, in offers", ["Reason", "Before", "After"], empty),
        "caps": TextTable("Contacts of a week per customer, and customers at a cap", _CAP_COLUMNS, caps),
        "gates": TextTable(
            "For how many customers a gate stops something", ["Why", "Gate", "Before", "After"], gates, 2
        ),
        "fairness": TextTable("Protected groups", _FAIR_COLUMNS, [_fair_row(row) for row in figures["fairness"]]),
        "changes": TextTable("What differs in the catalogue", ["Item", "Field", "Before", "After"], changes, 4),
    }


_SIDES = ("before", "after")
_MOST_FINDINGS = 5
_MOST_LOST = 8
_LOST_COLUMNS = ["Help", "Instead", "Customers"]
_PLACE_COLUMNS = ["Place", "Move", "Nothing before", "Nothing after", "€ before", "€ after", "Change per 1,000"]
_CAP_COLUMNS = ["Place", "Contacts before", "Contacts after", "At a cap before", "At a cap after"]
_FAIR_COLUMNS = ["Group", "Customers", "Sold to before", "Sold to after", "€ before", "€ after", "Change"]


def _both(row: Result, name: str) -> list[str]:
    return [count(row[f"{name}_{side}"]) for side in _SIDES]


def _eur_row(row: Result) -> list[str]:
    values = [1000 * row[f"{name}_eur"]["value"] for name in (*_SIDES, "change")]
    return [eur(values[0]), eur(values[1]), eur(values[2], sign=True)]


def _fair_row(row: Result) -> Sequence[str]:
    reached = [share(row[f"reached_{side}"]) for side in _SIDES]
    money = [euros(row[f"money_eur_{side}"]["value"]) for side in _SIDES]
    change = eur(row["money_eur_change"]["value"], sign=True)
    return [group_name(row), count(row["customers"]), *reached, *money, change]


def _unbroken(text: str) -> str:
    """Return a text whose lines do not end between a minus and its amount."""
    return text.replace("\u2212€", "\u2212\u2060€")


def _text(value: object) -> str:
    """Return a value of the catalogue as people write it: parts that are not set are left out."""
    try:
        parts = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parts = value
    return _parts(parts) or NONE


def _parts(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.strip('_')} {_parts(part)}" for key, part in value.items() if _parts(part))
    if isinstance(value, list):
        return "; ".join(map(_parts, value))
    return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)
