"""The page of a simulated change: whose first offer is another, who loses, and what it brings."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import short_hash
from serving.pages.languages import Language, in_language
from serving.pages.simulation.words import LITTLE_TRIED, eur, group_name, sentences, share, simulation_wording
from serving.pages.tables import TextTable
from serving.pages.templates import document
from serving.pages.wording import Wording

Result = Mapping[str, Any]
_SECTIONS = ("who", "help", "money", "limits", "fairness", "change")
_SIDES = ("before", "after")
_MOST_FINDINGS = 5
_MOST_LOST = 8
_COLUMNS = {
    "flows": ("now", "before", "where", "customers"),
    "places": ("place", "move", "nothing-before", "nothing-after", "eur-before", "eur-after", "change-per"),
    "lost": ("help", "instead", "customers"),
    "lost_all": ("help", "instead", "customers"),
    "empty": ("reason", "before", "after"),
    "caps": ("place", "contacts-before", "contacts-after", "cap-before", "cap-after"),
    "gates": ("why", "gate", "before", "after"),
    "fairness": ("group", "customers", "sold-before", "sold-after", "eur-before", "eur-after", "change"),
    "changes": ("item", "field", "before", "after"),
}
_WORDS = {"flows": 3, "lost": 2, "lost_all": 2, "gates": 2, "changes": 4}
"""How many columns of a table hold words; of the others, one does."""


def page_of(figures: Result, lang: Language = "en") -> str:
    """Return the page of these figures, which works alone and loads nothing."""
    wording = simulation_wording(lang)
    findings = _findings(figures, wording)
    return document(
        "simulation/simulation.html",
        lang=lang,
        figures=figures,
        texts=wording.texts,
        head=_head(figures, wording),
        sentences={subject: _unbroken(text) for subject, text in sentences(figures, wording).items()},
        sections=[(name, wording.text(f"section-{name}")) for name in _SECTIONS],
        flows=_flow_chart(figures, wording),
        examples=[(e, wording.text("example", e["to"], e["from"])) for e in figures["examples"]],
        tables=_tables(figures, wording),
        all_lost=wording.text("all-rows", len(figures["help"]["lost"])),
        money=_money_chart(figures, wording),
        fair=_fair_chart(figures, wording),
        findings=findings[:_MOST_FINDINGS],
        more=max(len(findings) - _MOST_FINDINGS, 0),
        assumed=wording.text("assumed-personas" if figures["who"] == "personas" else "assumed-customers"),
    )


def _head(figures: Result, wording: Wording) -> str:
    of = wording.count(figures["customers"]), wording.named("who", figures["who"]), wording.day(figures["as_of"])
    return wording.text("head", *of, short_hash(figures["before"]), short_hash(figures["after"]))


def _flow_chart(figures: Result, wording: Wording) -> Any:
    bars = [Bar(f"{flow['from']} → {flow['to']}", flow["customers"]) for flow in figures["flows"]]
    return bar_chart(wording.text("flows-chart"), bars, wording.count, filled=True)


def _money_chart(figures: Result, wording: Wording) -> Any:
    bars = [Bar(row["place"], *_thousandfold(row["change_eur"])) for row in figures["by_place"]]
    return bar_chart(wording.text("money-chart"), bars, lambda amount: eur(amount, wording))


def _fair_chart(figures: Result, wording: Wording) -> Any:
    bars = []
    for row in figures["fairness"]:
        after, before = row["reached_after"], row["reached_before"]["value"]
        bars.append(Bar(group_name(row, wording), after["value"], after["low"], after["high"], before))
    return bar_chart(wording.text("fair-chart"), bars, wording.percent)


def _thousandfold(interval: Result) -> tuple[float, float | None, float | None]:
    value, low, high = (None if interval[n] is None else 1000 * interval[n] for n in ("value", "low", "high"))
    return value or 0.0, low, high


def _findings(figures: Result, wording: Wording) -> list[dict[str, str]]:
    """Return what to look at before the release: losses of help, groups, little evidence, unknown features."""
    findings = [_help_finding(row, wording) for row in figures["help"]["lost"][:3]]
    for row in figures["fairness"]:
        guard, before = row["guard_after"], row["guard_before"]
        if _is_breached(guard) and not _is_breached(before):
            ratio = wording.ratio(guard["ratio"]["value"])
            findings.append(_finding("unfair", "warn", wording, group_name(row, wording), ratio))
    if figures["money"]["little_tried"] >= LITTLE_TRIED:
        findings.append(_finding("unsure", "", wording, wording.percent(figures["money"]["little_tried"], 0)))
    if figures["unknown_features"]:
        findings.append(_finding("unknown", "", wording, ", ".join(figures["unknown_features"])))
    return findings


def _help_finding(row: Result, wording: Wording) -> dict[str, str]:
    tone = "harm" if row["displaced_by_a_sale"] else "warn"
    return _finding("help", tone, wording, wording.count(row["customers"]), row["help"], row["instead"])


def _finding(kind: str, tone: str, wording: Wording, *values: str) -> dict[str, str]:
    return {"kind": wording.named("kind", kind), "tone": tone, "text": wording.text(f"found-{kind}", *values)}


def _is_breached(guard: Result | None) -> bool:
    return guard is not None and guard["state"] == "breached"


def _tables(figures: Result, wording: Wording) -> dict[str, TextTable]:
    lost = [(row["help"], row["instead"], wording.count(row["customers"])) for row in figures["help"]["lost"]]
    rows: dict[str, list[Sequence[str]]] = {
        "flows": [
            (f["to"], f["from"], ", ".join(f["places"]), wording.count(f["customers"])) for f in figures["flows"]
        ],
        "places": [_place_row(row, wording) for row in figures["by_place"]],
        "lost": [*lost[:_MOST_LOST]],
        "lost_all": [*lost],
        "empty": [
            (wording.named("empty", row["reason"]), *(wording.count(row[side]) for side in _SIDES))
            for row in figures["nothing"]["why"]
        ],
        "caps": [_cap_row(row, wording) for row in figures["caps"]],
        "gates": [
            (in_language(row, "text", wording.lang), row["gate"], *(wording.count(row[side]) for side in _SIDES))
            for row in figures["withheld"]
        ],
        "fairness": [_fair_row(row, wording) for row in figures["fairness"]],
        "changes": [
            (c["item"], c["field"] or wording.text("all"), *(_text(c[side], wording) for side in _SIDES))
            for c in figures["changes"]
        ],
    }
    return {
        name: TextTable(wording.text(f"table-{name}"), wording.texts_of(*columns), rows[name], _WORDS.get(name, 1))
        for name, columns in _COLUMNS.items()
    }


def _place_row(row: Result, wording: Wording) -> Sequence[str]:
    values = [1000 * row[f"{name}_eur"]["value"] for name in (*_SIDES, "change")]
    money = eur(values[0], wording), eur(values[1], wording), eur(values[2], wording, sign=True)
    return row["place"], wording.count(row["moved"]), *_both(row, "nothing", wording), *money


def _cap_row(row: Result, wording: Wording) -> Sequence[str]:
    contacts = (wording.number(row[f"contacts_{side}"]["value"], 2) for side in _SIDES)
    return row["place"], *contacts, *_both(row, "capped", wording)


def _both(row: Result, name: str, wording: Wording) -> list[str]:
    return [wording.count(row[f"{name}_{side}"]) for side in _SIDES]


def _fair_row(row: Result, wording: Wording) -> Sequence[str]:
    reached = [share(row[f"reached_{side}"], wording) for side in _SIDES]
    money = [wording.euros(row[f"money_eur_{side}"]["value"]) for side in _SIDES]
    change = eur(row["money_eur_change"]["value"], wording, sign=True)
    return [group_name(row, wording), wording.count(row["customers"]), *reached, *money, change]


def _unbroken(text: str) -> str:
    """Return a text whose lines do not end between a sign and its amount."""
    return re.sub("([\u2212+])€", "\\1\u2060€", text)


def _text(value: object, wording: Wording) -> str:
    """Return a value of the catalogue as people write it: parts that are not set are left out."""
    try:
        parts = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parts = value
    return _parts(parts, wording) or wording.text("none")


def _parts(value: object, wording: Wording) -> str:
    if isinstance(value, dict):
        parts = {key.strip("_"): _parts(part, wording) for key, part in value.items()}
        return ", ".join(f"{key} {part}" for key, part in parts.items() if part)
    if isinstance(value, list):
        return "; ".join(_parts(part, wording) for part in value)
    if isinstance(value, bool):
        return wording.text("yes" if value else "no")
    return "" if value is None else str(value)
