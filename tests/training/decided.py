"""Real decisions by a small catalogue and their outcomes, as entries of a ledger."""

from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from decisioning.review.drawn_odds import figures_in
from features.ledger import Entry, Ledger

DAY_US = 86_400_000_000
THEN_US = 1_770_000_000_000_000
LATER_US = THEN_US + 40 * DAY_US
CATALOGUE = """
features:
  - {name: age, dtype: int, min: 0, max: 120}
  - {name: page, dtype: enum, values: [home, shop], source: context}
  - {name: hardship, dtype: bool, model_input: false}
settings: {country_rules: eu, age_feature: age}
purposes: [{id: marketing, notice_version: "1"}, {id: profiling, notice_version: "1"}]
channels:
  - {id: web, direction: inbound, placements: [hero, side], counts_on: decided, gamma: 10}
  - {id: email, direction: outbound, medium: email, placements: [mail], counts_on: delivered, gamma: .inf}
  - {id: agent, direction: inbound, placements: [suggestion], counts_on: seen, gamma: .inf}
protections:
  - {id: hardship, kind: hardship, when: hardship}
  - {id: other, kind: [vulnerability, bereavement, arrears, complaint, service-issue], when: hardship}
actions:
  - id: tea
    issue: grow
    group: drinks
    tier: commercial
    value: 10
    outcomes: {positive: [bought, tried], negative: [declined], window_days: 30}
    treatments:
      - {id: hero, channel: web, placements: [hero], content_ref: a}
      - {id: mail, channel: email, placements: [mail], content_ref: b}
      - {id: talk, channel: agent, placements: [suggestion], content_ref: c}
  - id: cake
    issue: grow
    group: food
    tier: commercial
    value: 9
    outcomes: {positive: [bought], negative: [declined], window_days: 10}
    treatments:
      - {id: hero, channel: web, placements: [hero], content_ref: d}
      - {id: side, channel: web, placements: [side], content_ref: e}
"""
FILES_OF_RELEASE = {"all.yaml": CATALOGUE}
RELEASE = Release.from_bytes(pack(FILES_OF_RELEASE))
PLACEMENT = {"web": "hero", "email": "mail", "agent": "suggestion"}


def decision(
    ledger: Ledger,
    number: int,
    channel: str = "web",
    age: int = 40,
    placement: str | None = None,
    more_placements: tuple[str, ...] = (),
    **facts: Any,
) -> dict[str, Any]:
    """Return the record of a real decision about person `number`, who allows everything, with the odds of its slots."""
    stream = ledger.stream_of("person", f"p{number}")
    consents = [Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")]
    customer = Known({"age": age, "hardship": False, **facts}, Standing(stream, 1, tuple(consents)))
    placements = tuple(PlacementAsk(name=name) for name in (placement or PLACEMENT[channel], *more_placements))
    ask = Ask(request_id=f"r{number}", customer_id=f"p{number}", channel=channel, placements=placements)

    def score(_: object, candidates: np.ndarray) -> Scores:
        n = len(candidates)
        return Scores(np.full(n, 0.3), np.zeros(n), ((),) * n)

    result = decide(
        ask,
        customer,
        RELEASE,
        score,
        DecisionContext(assigned_model="propensity@1", now_us=THEN_US + number, decision_id=f"d{number}"),
    )
    return {**result.record, "picks": figures_in(result.to_bytes(), RELEASE)["picks"]}


def entry(ledger: Ledger, record: dict[str, Any]) -> Entry:
    return Entry(ledger.stream_of("person", record["request"]["customer_id"]), "decision", record, record["decided_us"])


def outcome(
    ledger: Ledger, number: int, name: str = "bought", days: float = 1.0, offer: bool = True, **more: Any
) -> Entry:
    body = {"action": more.pop("action", "tea"), "outcome": name, "offer_id": f"d{number}.0" if offer else None, **more}
    return Entry(ledger.stream_of("person", f"p{number}"), "outcome", body, THEN_US + number + round(days * DAY_US))


def reached(ledger: Ledger, number: int, state: str) -> Entry:
    body = {"offer_id": f"d{number}.0", "state": state}
    return Entry(ledger.stream_of("person", f"p{number}"), "contact", body, THEN_US + number + 1)
