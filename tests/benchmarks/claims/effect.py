"""An action's effect, and Qini, where some customers have many alternatives, come often, or allow nothing."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.errors import Refused
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from features.ledger.records import PackedBody
from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.trial import visits
from tests.training.decided import CATALOGUE, DAY_US, LATER_US, THEN_US
from training.evaluation.qini import effect, qini
from training.fitting.control import ControlRows
from training.model.frame import Floats
from training.rows.contrasts import contrasts

ALTERNATIVES = np.array([1, 9])
"""What else could be shown to customers with few and with many alternatives; each choice is as likely."""
RATES = np.array([0.3, 0.1])
"""How often these two kinds of customers buy the action by themselves."""
_MORE = "".join(
    f"""
  - id: cake-{n}
    issue: grow
    group: food
    tier: commercial
    value: 9
    outcomes: {{positive: [bought], window_days: 10}}
    treatments: [{{id: hero, channel: web, placements: [hero], content_ref: f}}]"""
    for n in range(3)
)
FILES = {
    "all.yaml": CATALOGUE.replace("gamma: 10", "gamma: 0")
    .replace("[hero], content_ref: a", "[hero, side], content_ref: a")
    .replace("placements: [side]", "placements: [hero]")
    .rstrip()
    + _MORE
    + "\n"
}
RELEASE = Release.from_bytes(pack(FILES))


def rows(seed: int, kind: str, customers: int, more: float = 0.0, refusing: bool = False) -> tuple[ControlRows, Floats]:
    """Return an action's rows, and a score (n,) that says whom it moves if it moves anybody.

    :param kind: decisions per customer, or `heavy`
    :param more: what showing it adds to the rate of half of the customers; the others are not moved
    :param refusing: whether half of the customers, who buy seldom, have allowed nothing and are never asked
    """
    rng = np.random.default_rng(seed)
    unit = visits(rng, kind, customers)
    many, prone = rng.random(customers) < 0.5, rng.gamma(2.0, 0.5, customers)
    moved = rng.random(customers) < 0.5
    chance = 1.0 / (1.0 + ALTERNATIVES[many.astype(int)])[unit]
    shown = rng.random(len(unit)) < chance
    rate = np.minimum(prone[unit] * RATES[many.astype(int)][unit] + more * (shown & moved[unit]), 1.0)
    bought = (rng.random(len(unit)) < rate).astype(np.float64)
    asked = ~(refusing & (prone[unit] < 0.8))
    of = ControlRows(shown[asked], bought[asked], np.where(shown, chance, 1.0 - chance)[asked], unit[asked])
    return of, (moved[unit] + 0.5 * rng.random(len(unit)))[asked]


def tell_effect(seed: int, kind: str, customers: int, more: float = 0.0, refusing: bool = False) -> Told:
    """Return what is told of an effect of half of `more`: half of the customers are moved."""
    try:
        told = effect(rows(seed, kind, customers, more, refusing)[0])
    except Refused:
        return Told(0.5 * more)
    outside = told.low > 0.0 or told.high < 0.0
    return Told(
        0.5 * more, told.value, told.low, told.high, None if more else outside, told.low > 0.0 if more else None
    )


def tell_qini(seed: int, kind: str, customers: int, more: float = 0.0, refusing: bool = False) -> Told:
    """Return what is told of Qini: the better half of the customers gains all, an eighth of `more`, or nobody gains."""
    try:
        told = qini(*rows(seed, kind, customers, more, refusing))
    except Refused:
        return Told(more / 8.0)
    outside = told.low > 0.0 or told.high < 0.0
    return Told(
        more / 8.0, told.value, told.low, told.high, None if more else outside, told.low > 0.0 if more else None
    )


def tell_logged(seed: int, customers: int = 1_000) -> Told:
    """Return what is told of an effect of 0 from decisions in a ledger: half could show many others, and buy seldom."""
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES))
        entries: list[Entry] = []
        for n in range(customers):
            placement, rate = (("side", 0.5), ("hero", 0.05))[n % 2]
            entries.append(_decision(ledger, n, placement))
            if rng.random() < rate:
                body = {"action": "tea", "outcome": "bought"}
                entries.append(Entry(entries[-1].stream, "outcome", body, THEN_US + n + DAY_US))
        ledger.append_many(iter(entries))
        log = DecisionLog(Path(folder) / "log")
        log.update(ledger, RELEASE, LATER_US)
        data = contrasts(log, RELEASE, None, lambda _: RELEASE, LATER_US)  # type: ignore[arg-type]  # all was served
    told = effect(data.control_rows(data.rows.actions.index("tea"))[1])
    return Told(0.0, told.value, told.low, told.high, told.low > 0.0 or told.high < 0.0)


def _decision(ledger: Ledger, n: int, placement: str) -> Entry:
    stream = ledger.stream_of("person", f"p{n}")
    consents = [Consent(p, "*", "granted", "test", "1", THEN_US - DAY_US, None, 1) for p in ("marketing", "profiling")]
    known = Known({"age": 40, "hardship": False}, Standing(stream, 1, tuple(consents)))
    ask = Ask(request_id=f"r{n}", customer_id=f"p{n}", channel="web", placements=(PlacementAsk(name=placement),))

    def score(_: object, candidates: Floats) -> Scores:
        return Scores(np.full(len(candidates), 0.3), np.zeros(len(candidates)), ((),) * len(candidates))

    context = DecisionContext("propensity@1", THEN_US + n, f"d{n}")
    decision = decide(ask, known, RELEASE, score, context)  # type: ignore[arg-type]
    return Entry(stream, "decision", PackedBody(decision.to_bytes(), decision.contacts), THEN_US + n)


_WORLDS = {
    "none, independent rows": {"kind": "1", "customers": 4_000},
    "none, 500 customers x 25": {"kind": "25", "customers": 500},
    "none, 500 customers x 50": {"kind": "50", "customers": 500},
    "none, heavy-tailed visits": {"kind": "heavy", "customers": 2_500},
    "none, half of the customers allow nothing": {"kind": "1", "customers": 8_000, "refusing": True},
    "half are moved by .1, independent rows": {"kind": "1", "customers": 4_000, "more": 0.1},
    "half are moved by .1, heavy-tailed visits": {"kind": "heavy", "customers": 2_500, "more": 0.1},
}
CASES = (
    *(Case("effect", world, partial(tell_effect, **of)) for world, of in _WORLDS.items()),
    Case("effect", "none, from decisions in a ledger", tell_logged, 40, coverage=(0.85, 1.0)),
    *(Case("Qini", world, partial(tell_qini, **of)) for world, of in _WORLDS.items()),
)
