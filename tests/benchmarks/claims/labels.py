"""The rates that models learn: where few looks are told, and of an event that no offer brings about."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.records.kept import ACCOUNT, OWN
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.benchmarks.claims.figures import Case, Told
from tests.training.decided import CATALOGUE, DAY_US, FILES_OF_RELEASE, RELEASE, THEN_US, decision
from training.evaluation.metrics import wilson

CHURN = Release.from_bytes(pack({"all.yaml": CATALOGUE.replace("[declined]", "[declined, churned]")}))
OFFERS, RATE, TOLD = 4_000, 0.047, 0.2
CUSTOMERS, CONTACTS, LEAVE = 130, 5, 0.6


@contextmanager
def logged(entries: "list[tuple[str, str, dict[str, Any], int]]", release: Release, channel: str) -> Iterator[Any]:
    """Give the log of entries (person, kind, body, time).

    A decision's body is a pattern with what is given, one of kind `nothing` shows nothing in the `arm` that is given.
    Of a link, `person` is who the visitor is.
    """
    with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db", b"x" * 32) as ledger:
        ledger.put_release(pack(FILES_OF_RELEASE))
        pattern = decision(ledger, 1, channel)
        made = []
        for person, kind, given, at_us in entries:
            stream = ledger.stream_of("person", person)
            made.append(Entry(stream, *_recorded(ledger, pattern, kind, given, at_us), at_us))
        ledger.append_many(iter(made))
        log = DecisionLog(Path(folder) / "log")
        log.update(ledger, release, THEN_US + 90 * DAY_US)
        yield log


def _recorded(
    ledger: Ledger, pattern: dict[str, Any], kind: str, given: dict[str, Any], at_us: int
) -> tuple[str, dict[str, Any]]:
    """Return the kind and the body of an entry's record."""
    if kind == "decision":
        contact = {**pattern["contacts"][0], "offer_id": f"{given['decision_id']}.0"}
        return kind, {**pattern, **given, "decided_us": at_us, "contacts": [contact]}
    if kind == "nothing":
        return "decision", shows_nothing(ledger, pattern, given, at_us)
    if kind == "linked_to":
        return kind, {**given, "person": ledger.stream_of("person", given["person"])}
    return kind, given


def shows_nothing(ledger: Ledger, pattern: dict[str, Any], given: dict[str, Any], at_us: int) -> dict[str, Any]:
    """Return a decision's body; a `unit` that is neither `own` nor `account` is a person."""
    pick = {"placement": "hero", "rank": 1, "treatment": None, "probability": 1.0}
    answer = {**pattern["answer"], "arm": given["arm"], "placements": []}
    unit = given["unit"]
    named = unit if unit in (OWN, ACCOUNT) else ledger.stream_of("person", unit)
    more = {"decided_us": at_us, "unit": named, "picks": [pick], "contacts": [], "answer": answer}
    return {**pattern, **{name: of for name, of in given.items() if name != "arm"}, **more}


def few_looks(seed: int) -> Told:
    """Return the rate that is learned on a channel that counts on `seen` and tells a fifth of the looks."""
    rng = np.random.default_rng(seed)
    sold, told = rng.random(OFFERS) < RATE, rng.random(OFFERS) < TOLD
    entries: list[tuple[str, str, dict[str, Any], int]] = []
    for n in range(OFFERS):
        at_us, offer = THEN_US + n, {"offer_id": f"d{n}.0"}
        entries.append((f"p{n}", "decision", {"decision_id": f"d{n}"}, at_us))
        if told[n]:
            entries.append((f"p{n}", "contact", {**offer, "state": "seen"}, at_us + 1))
        if sold[n]:
            later_us = at_us + DAY_US
            entries.append((f"p{n}", "contact", {**offer, "state": "seen", "implied": True}, later_us))
            entries.append((f"p{n}", "outcome", {**offer, "action": "tea", "outcome": "bought"}, later_us))
    with logged(entries, RELEASE, "agent") as log:
        (row,) = log.query("SELECT count(_label) AS n, sum(_label::INT) AS hits FROM log", RELEASE).to_pylist()
    return _rate(RATE, int(row["hits"]), row["n"])


def leaving(seed: int) -> Told:
    """Return the rate of leaving within the window that a risk model learns, of customers with five contacts each."""
    rng = np.random.default_rng(seed)
    left, entries = rng.random(CUSTOMERS) < LEAVE, list[tuple[str, str, dict[str, Any], int]]()
    for n in range(CUSTOMERS):
        for nth in range(CONTACTS):
            at_us = THEN_US + n + 4 * nth * DAY_US
            entries.append((f"p{n}", "decision", {"decision_id": f"d{n}-{nth}"}, at_us))
            entries.append((f"p{n}", "contact", {"offer_id": f"d{n}-{nth}.0", "state": "seen"}, at_us + 1))
        if left[n]:
            entries.append((f"p{n}", "outcome", {"action": "tea", "outcome": "churned"}, THEN_US + n + 20 * DAY_US))
    with logged(entries, CHURN, "agent") as log:
        sql = "SELECT avg(_label::INT) AS rate FROM log WHERE _label IS NOT NULL"
        rate = log.query(sql, CHURN, "churned", shared=True)["rate"][0].as_py()
    return Told(float(left.mean()), rate, false_claim=abs(rate - left.mean()) > 1e-9)


def _rate(truth: float, hits: int, n: int) -> Told:
    low, high = wilson(hits, n)
    return Told(truth, hits / n, low, high, false_claim=not low <= truth <= high)


CASES = (
    Case("learned rate", "a fifth of the looks told", few_looks, 40, coverage=(0.85, 1.0)),
    Case("rate of leaving", "five contacts in the window", leaving, 10, 0.0),
)
