"""Writes the card of a model, or of one of its actions, as a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from serving.pages.card.actions import TAKES, UNSEEN, action_card, evidence_table, ranking_part
from serving.pages.figures import count, day, plural
from serving.pages.parts import Sentence
from serving.pages.templates import write_document

TEMPLATE: Final = "card/card.html"
Card = Mapping[str, Any]
"""A card in plain JSON types, as `brain card --json` shows it."""


def write_card(path: Path, card: Card) -> Path:
    """Write the card as one page that works alone, and return `path`."""
    return write_document(path, TEMPLATE, **contents(card))


def contents(card: Card) -> dict[str, Any]:
    """Return what the template shows: of several actions an overview and each behind a click, of one all at once."""
    actions = card.get("actions", [card])
    several, shown = len(actions) > 1, [action_card(action) for action in actions]
    return {
        "card": card,
        "title": f"Model card: {card['model']}" if "actions" in card else f"{card['model']}: {card['action']}",
        "learned": _learned(card if "rows" in card else card["evidence"]),
        "sentences": _of_many(actions) if several else shown[0].sentences,
        "several": several,
        "ranking": ranking_part(actions) if several else None,
        "evidence": evidence_table(actions) if several else None,
        "limited": [action for action in shown if action.limits],
        "actions": shown,
    }


def _learned(rows: Mapping[str, Any]) -> str:
    if not rows["rows"]:
        return "It was never tried."
    known = f"{plural(rows['rows'], 'row')} of {plural(rows['customers'], 'customer')} or accounts"
    first, last = day(rows["from"]), day(rows["until"])
    if last == day(0.0):  # rows of a file that tells no times
        return f"Learned from {known}."
    return f"Learned from {known}, {f'from {first} to {last}' if first != last else f'of {first}'}."


def _of_many(actions: Sequence[Card]) -> tuple[Sentence, ...]:
    """Return how many actions are ranked well and how many have known limits."""
    auc = [action["held_out"]["auc"] for action in actions]
    untold = sum(a["value"] is None for a in auc)
    better = sum(a["value"] is not None and a["low"] > 0.5 for a in auc)
    note = f"Of {plural(untold, 'action')} it cannot be told yet. {TAKES} {UNSEEN}" if untold else UNSEEN
    of = f" of {plural(len(actions), 'action')}"
    kinds = Counter(limit.partition(":")[0] for action in actions for limit in action["known_limits"])
    counted = "; ".join(f"{kind}: {count(n)}" for kind, n in kinds.most_common())
    limited = sum(bool(action["known_limits"]) for action in actions)
    return (
        Sentence("It ranks customers better than chance for ", f"{count(better)}{of}", ".", note),
        Sentence("There are known limits to what is told of ", f"{count(limited)}{of}", ".", counted and f"{counted}."),
    )
