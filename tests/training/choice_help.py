"""Real decisions in a ledger, and the choices that a log of them holds."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.training.changed import BASE, consent_entries, release, scorer
from tests.training.decided import DAY_US, LATER_US, THEN_US
from training.rows.choices import Choices, drawn_rows, open_choices


def decided(
    ledger: Ledger,
    n: int,
    placements: Mapping[str, int],
    by: str = BASE,
    account_id: str | None = None,
    days: int = 0,
    seed: int = 0,
    **facts: Any,
) -> list[dict[str, Any]]:
    """Add a real decision about each of `n` people, spread evenly over `days`; return their records.

    :param placements: how many slots each has
    """
    ledger.put_release(pack({"all.yaml": by}))
    made_by, records = release(by), []
    streams = [ledger.stream_of("person", f"p{i}") for i in range(n)]
    ledger.append_many(e for s in streams for e in consent_entries(s, THEN_US - DAY_US))
    asked = tuple(PlacementAsk(name=name, limit=slots) for name, slots in placements.items())
    for i, standing in enumerate(ledger.read(*streams)):
        ask = Ask(request_id=f"r{i}", customer_id=f"p{i}", account_id=account_id, channel="web", placements=asked)
        known = Known({"age": 40, "page": "shop", "hardship": False, **facts}, standing)
        at_us, decision_id = THEN_US + i + i * days // n * DAY_US, f"d{seed or ''}{i}"
        context = DecisionContext(assigned_model="propensity@1", now_us=at_us, decision_id=decision_id)
        records.append(decide(ask, known, made_by, scorer(made_by), context).record)
    ledger.append_many(Entry(s, "decision", r, r["decided_us"]) for s, r in zip(streams, records, strict=True))
    return records


def link(ledger: Ledger, person: str, *visitors: str) -> None:
    """Record that these visitors logged in as a person, after all decisions."""
    body = {"person": ledger.stream_of("person", person), "linked": True}
    ledger.append_many(Entry(ledger.stream_of("person", v), "linked_to", body, THEN_US + DAY_US) for v in visitors)


def choices(ledger: Ledger, now_us: int = LATER_US, serves: Release | None = None, by: str = BASE) -> Choices:
    """Return all choices that a new log holds."""
    serves, made_by = serves or release(by), release(by)
    with TemporaryDirectory() as folder:
        log = DecisionLog(Path(folder))
        log.update(ledger, serves, now_us)
        drawn = drawn_rows(log, serves, None, lambda _: made_by, now_us)  # type: ignore[arg-type]
        return open_choices(drawn, np.ones(len(drawn.rows), dtype=np.bool_), ledger, serves, lambda _: made_by)
