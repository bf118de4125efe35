"""The report as one self-contained HTML page: tables and drawings are in the page, and it fetches nothing."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from training.reporting.cards import overview
from training.reporting.plots import bars_svg, calibration_svg

_TITLES = {
    "without_approval": "What makes decisions without the approval of a second person",
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
"""Per section with bars: the column that names a row, the column of its interval, and a caption."""
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.2rem .7rem;text-align:right}"
    "th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}"
    "p.warn{background:#fff3cd;padding:.5rem 1rem}svg{max-width:100%;height:auto}"
)


def write_page(path: Path, report: Mapping[str, Any], created_at: str) -> Path:
    """Write the sections of a report that are not empty, in a fixed order, and return `path`.

    A section's note is in `report` under the section's name with `_said` after it.
    """
    parts = [
        _section(name, title, report[name], report.get(f"{name}_said"))
        for name, title in _TITLES.items()
        if report.get(name)
    ]
    release = escape(str(report["release"])[:19])
    head = f"<h1>Report</h1><p>{escape(created_at)}, release {release}, model {report['model']}</p>"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Report</title><style>{_STYLE}</style>'
        f"<body>{head}{''.join(_warnings(report))}{''.join(parts)}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    return path


def _warnings(report: Mapping[str, Any]) -> Iterable[str]:
    if names := report["mismatched_arms"]:
        yield _warn(f"Sizes of {', '.join(names)} are not what was declared: read nothing into their lift.")
    yield from _untold(report.get("actions", ()))
    if names := [r["column"] for r in report["drift"] if r["drifted"]]:
        yield _warn(f"Moved: {', '.join(names)}.")
    if names := [g["name"] for g in report["fairness"] if g["state"] == "breached"]:
        yield _warn(f"Groups fare differently: {', '.join(names)}. Promotion needs a signed reason.")


def _untold(actions: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Yield what the report says if looks of those who succeeded were not told."""
    untold, all_successes = (sum(a[name] for a in actions) for name in ("succeeded_untold", "succeeded"))
    if untold:
        yield _warn(
            f"Nobody told that {untold} of {all_successes} offers that succeeded were looked at: models do not learn "
            "from them, and rates are those of offers whose look was told."
        )


def _warn(text: str) -> str:
    return f'<p class="warn">{escape(text)}</p>'


def _section(name: str, title: str, content: Any, note: str | None) -> str:
    if name == "card":
        return f"<h2>{escape(title)}</h2>{_card(content)}"
    rows = content if isinstance(content, list) else [content]
    text = f"<p>{escape(note)}</p>" if note else ""
    return f"<h2>{escape(title)}</h2>{text}{_chart(name, rows)}{_table(rows)}"


def _card(card: Mapping[str, Any]) -> str:
    """Return a table of all actions, what the model is and is not for, and details of each action to unfold."""
    window = f"{card['rows']} rows from {card['from']} to {card['until']}, {card['data_hash'][:19]}"
    uses = "".join(f"<li>{escape(use)}</li>" for use in card["intended_use"])
    refused = "".join(f"<li>{escape(use)}</li>" for use in card["refused_uses"])
    details = "".join(_details(action) for action in card["actions"])
    return (
        f"<p>{escape(window)}</p><p>{escape(card.get('said', ''))}</p><p>For:</p><ul>{uses}</ul>"
        f"<p>Not for:</p><ul>{refused}</ul>{_table(overview(card))}{details}"
    )


def _details(action: Mapping[str, Any]) -> str:
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in action["known_limits"])
    tables = "".join(_table(action[part]) for part in ("moved_by", "trees_split_on", "treatments", "reliability"))
    said = f"<p>{escape(action['said'])}</p>" if "said" in action else ""  # cards of before December 2026 have none
    return f"<details><summary>{escape(action['action'])}</summary>{said}<ul>{limits}</ul>{tables}</details>"


def _chart(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the section's chart as SVG, or an empty text if it has none."""
    if name == "calibration":
        return calibration_svg(rows)
    if name == "actions":
        known = [(r["action"], r["rate"], r["low"], r["high"]) for r in rows if r["rate"] is not None]
        return bars_svg(known, "share with a positive outcome, 95%")
    if name == "arms":
        known = [(r["arm"], r["lift_eur"], r["lift_low"], r["lift_high"]) for r in rows if r["lift_eur"] is not None]
        return bars_svg(known, "euro per customer that nba brings more, 95%")
    if name in _BARS:
        label, column, caption = _BARS[name]
        return bars_svg([(r[label], *r[column].values()) for r in rows if r[column]], caption)
    return ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the columns that hold one value or an interval."""
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
