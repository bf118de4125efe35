"""The report as one HTML page: tables and drawings in the page itself, nothing fetched from anywhere."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from training.reporting.cards import overview
from training.reporting.plots import bars_svg, calibration_svg

_TITLES = {
    "card": "Model card: what each action's propensity rests on",
    "trial": "The challenger on trial",
    "actions": "What was offered, and what came of it",
    "arms": "What the brain brings: control groups",
    "rankings": "Ranking by uplift beside ranking by propensity",
    "uplift": "What showing an action adds, and how well either score finds whom it moves",
    "calibration": "Promised and kept: calibration",
    "drift": "What moved in the last four weeks",
    "segments": "Sales, service and silence, per segment",
    "under_served": "Customers for whom nothing is likely",
    "annoyed": "What annoys: complaints and opt-outs",
    "empty": "Why slots stay empty",
    "exploration": "What exploring the little known cost in four weeks",
    "fairness": "How groups fare",
}
_BARS = {
    "rankings": ("policy", "worth", "per choice, all that the customer did, 95%"),
    "uplift": ("action", "effect", "outcomes per customer that showing it adds, 95%"),
}
"""By section: the name of a row, its interval, and what that is."""
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.2rem .7rem;text-align:right}"
    "th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}"
    "p.warn{background:#fff3cd;padding:.5rem 1rem}svg{max-width:100%;height:auto}"
)


def write_page(path: Path, told: Mapping[str, Any], made_at: str) -> Path:
    """The sections of `told` that have something to say, in a fixed order."""
    parts = [
        _section(name, title, told[name], told.get(f"{name}_said")) for name, title in _TITLES.items() if told.get(name)
    ]
    head = (
        f"<h1>Report</h1><p>{escape(made_at)}, release {escape(str(told['release'])[:19])}, model {told['model']}</p>"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Report</title><style>{_STYLE}</style>'
        f"<body>{head}{''.join(_warnings(told))}{''.join(parts)}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    return path


def _warnings(told: Mapping[str, Any]) -> Iterable[str]:
    if names := told["mismatched_arms"]:
        yield _warn(f"Sizes of {', '.join(names)} are not what was declared: read nothing into their lift.")
    if names := [r["column"] for r in told["drift"] if r["drifted"]]:
        yield _warn(f"Moved: {', '.join(names)}.")
    if names := [g["name"] for g in told["fairness"] if g["state"] == "breached"]:
        yield _warn(f"Groups fare differently: {', '.join(names)}. Promotion needs a signed reason.")


def _warn(text: str) -> str:
    return f'<p class="warn">{escape(text)}</p>'


def _section(name: str, title: str, content: Any, said: str | None) -> str:
    if name == "card":
        return f"<h2>{escape(title)}</h2>{_card(content)}"
    rows = content if isinstance(content, list) else [content]
    note = f"<p>{escape(said)}</p>" if said else ""
    return f"<h2>{escape(title)}</h2>{note}{_drawing(name, rows)}{_table(rows)}"


def _card(card: Mapping[str, Any]) -> str:
    """A table of all actions, what the model is and is not for, and of each action what can be opened."""
    window = f"{card['rows']} rows from {card['from']} to {card['until']}, {card['data_hash'][:19]}"
    uses = "".join(f"<li>{escape(use)}</li>" for use in card["intended_use"])
    refused = "".join(f"<li>{escape(use)}</li>" for use in card["refused_uses"])
    details = "".join(_details(action) for action in card["actions"])
    return (
        f"<p>{escape(window)}</p><p>For:</p><ul>{uses}</ul><p>Not for:</p><ul>{refused}</ul>"
        f"{_table(overview(card))}{details}"
    )


def _details(action: Mapping[str, Any]) -> str:
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in action["known_limits"])
    tables = "".join(_table(action[part]) for part in ("moved_by", "trees_split_on", "treatments", "reliability"))
    return f"<details><summary>{escape(action['action'])}</summary><ul>{limits}</ul>{tables}</details>"


def _drawing(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if name == "calibration":
        return calibration_svg(rows)
    if name == "actions":
        known = [(r["action"], r["rate"], r["low"], r["high"]) for r in rows if r["rate"] is not None]
        return bars_svg(known, "share with a positive outcome, 95%")
    if name == "arms":
        known = [(r["arm"], r["lift_eur"], r["lift_low"], r["lift_high"]) for r in rows if r["lift_eur"] is not None]
        return bars_svg(known, "euro per customer that nba brings more, 95%")
    if name in _BARS:
        called, column, what = _BARS[name]
        return bars_svg([(r[called], *r[column].values()) for r in rows if r[column]], what)
    return ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = [n for n, v in rows[0].items() if not isinstance(v, dict | list) or _is_interval(v)]
    head = "".join(f"<th>{escape(n.replace('_', ' '))}</th>" for n in names)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(r.get(n))}</td>' for n in names)}</tr>" for r in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_interval(value):
        return f"{value['value']:.4g} ({value['low']:.4g} to {value['high']:.4g})"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _is_interval(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"value", "low", "high"}
