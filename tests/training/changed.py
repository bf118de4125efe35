"""A small catalogue, changes of it, and decisions by it, for tests of what another release would decide."""

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
    """Return the catalogue's release, after one of CHANGES."""
    return Release.from_bytes(pack({"all.yaml": text.replace(*CHANGES[change], 1) if change else text}))


TEXT_OF = {release(text).hash: text for text in (BASE, LOOSE, GATED, GREEDY)}


def scorer(catalogue: Release) -> Scorer:
    """Return a scorer that gives a treatment the same propensity in every release, a little higher for the young."""
    propensity = np.asarray([PROPENSITY.get(f"{a.id}.{t.id}", 0.2) for a, t in catalogue.candidates])

    def score(facts: Any, candidates: np.ndarray) -> Scores:
        n = len(candidates)
        return Scores(propensity[candidates] * (1.1 if facts["age"] < 50 else 1.0), np.zeros(n), ((),) * n)

    return score


def consent_entries(stream: str, at_us: int) -> list[Entry]:
    """Return consent entries of somebody who allows marketing and profiling."""
    consent = {"channel": "*", "status": "granted", "source": "test", "notice_version": "1"}
    return [Entry(stream, "consent", {**consent, "purpose": p}, at_us) for p in ("marketing", "profiling")]


def person(n: int = 0, **facts: Any) -> Known:
    """Return somebody who allowed everything, without a ledger."""
    consents = tuple(
        Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")
    )
    return Known({"age": 40, "page": "shop", "hardship": False, **facts}, Standing(f"{n:040x}", 2, consents))


def decided(
    customer: Known,
    by: Release,
    seed: str,
    score: Scorer | None = None,
    model: str = "propensity@1",
    at_us: int = THEN_US,
) -> Any:
    """Return the record of a real decision about two placements."""
    placements = (PlacementAsk(name="hero"), PlacementAsk(name="side"))
    ask = Ask(request_id=f"r-{seed}", customer_id=f"p-{seed}", channel="web", placements=placements)
    return decide(
        ask, customer, by, score or scorer(by), DecisionContext(assigned_model=model, now_us=at_us, decision_id=seed)
    ).record


def fill(ledger: Ledger, by: Release, n: int, at_us: int = THEN_US, **more: Any) -> None:
    """Add `n` people of two ages with a decision each by `by`. 6 in 10 buy cake in the hero, 1 in 20 the rest."""
    if by.hash in TEXT_OF:
        ledger.put_release(pack({"all.yaml": TEXT_OF[by.hash]}))
    streams = [ledger.stream_of("person", f"p-d{i}") for i in range(n)]
    ledger.append_many(e for stream in streams for e in consent_entries(stream, at_us - DAY_US))
    rng, records = np.random.default_rng(0), []
    facts = [{"age": 30 + 40 * (i % 2), "page": "shop" if i % 3 else "home", "hardship": False} for i in range(n)]
    for i, standing in enumerate(ledger.read(*streams)):
        records.append(decided(Known(facts[i], standing), by, f"d{i}", at_us=at_us + i, **more))
    ledger.append_many(e for s, record in zip(streams, records, strict=True) for e in _entries_of(s, record, rng))
    return records


def _entries_of(stream: str, record: dict[str, Any], rng: np.random.Generator) -> list[Entry]:
    at_us, named = record["decided_us"], (f"decision:{record['decision_id']}",)
    entries = [Entry(stream, "decision", record, at_us, aliases=named)]
    for contact in record["contacts"]:
        if rng.random() < (0.6 if contact["treatment"] == "cake.hero" else 0.05):
            outcome = {
                "action": contact["action"],
                "outcome": "bought",
                "offer_id": contact["offer_id"],
                "value_eur": 7.0,
            }
            entries.append(Entry(stream, "outcome", outcome, at_us + DAY_US))
    return entries
