"""A model's card as one self-contained HTML page, which fetches nothing."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from training.reporting.plots import calibration_svg

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.2rem .7rem;text-align:right}"
    "th{border-bottom:1px solid #888}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def write_card(path: Path, card: Mapping[str, Any]) -> Path:
    """Write the card of a model, or of one of its actions, and return `path`."""
    actions = card.get("actions", [card])
    title = escape(f"Model card: {card['model']}")
    parts = [f"<h1>{title}</h1>", f"<p>{escape(card.get('said', ''))}</p>"]
    parts += [_list("For", card.get("intended_use", ())), _list("Not for", card.get("refused_uses", ()))]
    parts += [_action(action) for action in actions]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    page = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body><main>{"".join(parts)}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{page}</main></body></html>")
    return path


def _action(action: Mapping[str, Any]) -> str:
    """Return what the figures of one action, or event, rest on."""
    held_out, evidence = action["held_out"], action["evidence"]
    sentence = (
        f"{evidence['positives']:,} of {evidence['rows']:,} rows of {evidence['customers']:,} customers were positive "
        f"({_figure(action['rate'], percent=True)}). On customers that it had not seen, the model reaches an AUC of "
        f"{_figure(held_out['auc'])}."
    )
    bins, moved = action["reliability"], action["moved_by"]
    drawn = calibration_svg(bins) + _table(bins) if bins else ""
    limits = _list("Known limits", action["known_limits"])
    return f"<h2>{escape(action['action'])}</h2><p>{sentence}</p>{limits}{_moved(moved)}{drawn}"


def _moved(moved: Sequence[Mapping[str, Any]]) -> str:
    return f"<h3>What moves it most</h3>{_table(moved)}" if moved else ""


def _list(title: str, items: Iterable[str]) -> str:
    lines = "".join(f"<li>{escape(text)}</li>" for text in items)
    return f"<p>{title}:</p><ul>{lines}</ul>" if lines else ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name, value in rows[0].items() if not isinstance(value, dict | list)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in names) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _figure(figure: Mapping[str, Any], *, percent: bool = False) -> str:
    """Return a figure with its interval, or that it is not known."""
    if figure["value"] is None:
        return "not known of so few"
    value, low, high = (f"{v:.1%}" if percent else f"{v:.2f}" for v in (figure[k] for k in ("value", "low", "high")))
    return f"{value}, between {low} and {high}"
