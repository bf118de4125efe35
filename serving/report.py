"""What was decided and what came of it, per action, counted from the ledger."""

import math
from dataclasses import dataclass, field
from typing import Any

from decisioning.actions import Action
from features.ledger import Record
from serving.offline import open_brain
from serving.settings import Workspace

PAGE = 500
Offer = tuple[str, str]
"""A stream and an offer's id in it: an account's stream repeats what the person's says, and is not counted again."""


@dataclass
class _Tally:
    """The offers of one action: all, and those that got so far, each once."""

    offered: set[Offer] = field(default_factory=set)
    reached: set[Offer] = field(default_factory=set)
    positive: set[Offer] = field(default_factory=set)
    negative: set[Offer] = field(default_factory=set)


def report(workspace: Workspace) -> dict[str, Any]:
    """Offers decided, how many got through, and the share with a positive outcome, with a 95% interval, per action."""
    with open_brain(workspace) as brain:
        tallies: dict[str, _Tally] = {}
        actions, after = brain.snapshot.release.actions, 0
        while page := brain.ledger.scan(("decision", "contact", "outcome"), after, PAGE):
            for record in page:
                _count(record, tallies, actions)
            after = page[-1].seq
        rows = [_row(name, tally) for name, tally in sorted(tallies.items())]
        return {"release": brain.snapshot.release.hash, "model": brain.snapshot.model, "actions": rows}


def _count(record: Record, tallies: dict[str, _Tally], actions: dict[str, Action]) -> None:
    body = record.body or {}
    if record.kind == "decision":
        for contact in body.get("contacts", ()):
            tallies.setdefault(contact["action"], _Tally()).offered.add((record.stream, contact["offer_id"]))
        return
    offer = (record.stream, body.get("offer_id") or "")
    for name, tally in tallies.items():
        if offer in tally.offered:
            declared = actions[name].outcomes if name in actions else None
            if body.get("state") in ("delivered", "seen", "pitched"):
                tally.reached.add(offer)
            if declared and body.get("outcome") in declared.positive:
                tally.positive.add(offer)
            if declared and body.get("outcome") in declared.negative:
                tally.negative.add(offer)


def _row(name: str, tally: _Tally) -> dict[str, Any]:
    n, positive = len(tally.offered), len(tally.positive)
    low, high = wilson(positive, n)
    return {
        "action": name,
        "offered": n,
        "reached": len(tally.reached),
        "positive": positive,
        "negative": len(tally.negative),
        "rate": positive / n,
        "low": low,
        "high": high,
    }


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); `n` at least 1."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
