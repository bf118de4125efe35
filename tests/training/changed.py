"""A small catalogue, changes of it, and decisions about it: what a release other than the one that decided is."""

from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scorer, Scores
from decisioning.facts.standing import Consent, Standing
from features.ledger import Entry, Ledger
from tests.training.decided import CATALOGUE, DAY_US, THEN_US

PROPENSITY = {"tea.hero": 0.3, "cake.hero": 0.24, "cake.side": 0.4, "soap.hero": 0.45}
SOAP = """
  - id: soap
    issue: grow
    group: care
    tier: commercial
    value: 12
    outcomes: {positive: [bought], window_days: 30}
    treatments: [{id: hero, channel: web, placements: [hero], content_ref: f}]
"""
BASE = CATALOGUE.replace("placements: [hero], content_ref: a", "placements: [hero, side], content_ref: a")
YOUNG = "policies: [{id: young, level: eligibility, attach: {action: [cake]}, permit: 'age < 50'}]\nactions:"
GATED = BASE.replace("actions:", YOUNG, 1)
LOOSE = BASE.replace("gamma: 10", "gamma: 2")
GREEDY = BASE.replace("gamma: 10", "gamma: .inf")
CHANGES = {
    "lever": ("value: 9", "value: 9\n    lever: [{factor: 1.6}]"),
    "value": ("value: 9", "value: 14\n    cost: 1"),
    "gamma": ("gamma: 10", "gamma: 2"),
    "weight": ("value: 9", "value: 9\n    context_weights: [{when: 'page == \"shop\"', factor: 1.5}]"),
}


def release(text: str = BASE, change: str | None = None) -> Release:
    """The catalogue, after one of CHANGES."""
    return Release.from_bytes(pack({"all.yaml": text.replace(*CHANGES[change], 1) if change else text}))


TEXT_OF = {release(text).hash: text for text in (BASE, LOOSE, GATED, GREEDY)}


def scorer(of: Release) -> Scorer:
    """The same propensity of a treatment whatever the release, a little higher for the young."""
    known = np.asarray([PROPENSITY.get(f"{a.id}.{t.id}", 0.2) for a, t in of.candidates])

    def score(facts: Any, candidates: np.ndarray) -> Scores:
        n = len(candidates)
        return Scores(known[candidates] * (1.1 if facts["age"] < 50 else 1.0), np.zeros(n), ((),) * n)

    return score


def agreed(stream: str, at_us: int) -> list[Entry]:
    """Entries of somebody who allows marketing and profiling."""
    said = {"channel": "*", "status": "granted", "source": "test", "notice_version": "1"}
    return [Entry(stream, "consent", {**said, "purpose": p}, at_us) for p in ("marketing", "profiling")]


def person(n: int = 0, **facts: Any) -> Known:
    """Somebody who allowed everything, without a ledger."""
    said = tuple(Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling"))
    return Known({"age": 40, "page": "shop", "hardship": False, **facts}, Standing(f"{n:040x}", 2, said))


def decided(
    known: Known, by: Release, seed: str, score: Scorer | None = None, model: str = "propensity@1", at_us: int = THEN_US
) -> Any:
    """The record of a real decision about two places."""
    placements = (PlacementAsk(name="hero"), PlacementAsk(name="side"))
    ask = Ask(request_id=f"r-{seed}", customer_id=f"p-{seed}", channel="web", placements=placements)
    return decide(
        ask, known, by, score or scorer(by), DecisionContext(assigned_model=model, now_us=at_us, decision_id=seed)
    ).record


def fill(ledger: Ledger, by: Release, n: int, at_us: int = THEN_US, **more: Any) -> None:
    """`n` people of two ages with a decision each by `by`; cake in the hero is bought by 6 in 10, else by 1 in 20."""
    if by.hash in TEXT_OF:
        ledger.put_release(pack({"all.yaml": TEXT_OF[by.hash]}))
    streams = [ledger.stream_of("person", f"p-d{i}") for i in range(n)]
    ledger.append_many(e for stream in streams for e in agreed(stream, at_us - DAY_US))
    rng, made = np.random.default_rng(0), []
    facts = [{"age": 30 + 40 * (i % 2), "page": "shop" if i % 3 else "home", "hardship": False} for i in range(n)]
    for i, standing in enumerate(ledger.read(*streams)):
        made.append(decided(Known(facts[i], standing), by, f"d{i}", at_us=at_us + i, **more))
    ledger.append_many(e for s, record in zip(streams, made, strict=True) for e in _came(s, record, rng))
    return made


def _came(stream: str, record: dict[str, Any], rng: np.random.Generator) -> list[Entry]:
    at_us, named = record["decided_us"], (f"decision:{record['decision_id']}",)
    found = [Entry(stream, "decision", record, at_us, aliases=named)]
    for shown in record["contacts"]:
        if rng.random() < (0.6 if shown["treatment"] == "cake.hero" else 0.05):
            told = {"action": shown["action"], "outcome": "bought", "offer_id": shown["offer_id"], "value_eur": 7.0}
            found.append(Entry(stream, "outcome", told, at_us + DAY_US))
    return found
