"""What labels say: what success is worth, whose look was told, and which rows an event of the customer belongs to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.training.decided import (
    CATALOGUE,
    DAY_US,
    FILES_OF_RELEASE,
    LATER_US,
    RELEASE,
    THEN_US,
    decision,
    entry,
    outcome,
    reached,
)

CHURN = Release.from_bytes(
    pack({"all.yaml": CATALOGUE.replace("negative: [declined]", "negative: [declined, churned]")})
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: THEN_US + 500 * DAY_US) as opened:
        opened.put_release(pack(FILES_OF_RELEASE))
        yield opened


def rows(ledger: Ledger, folder: Path, what: str, **options: Any) -> list[tuple[Any, ...]]:
    log, release = DecisionLog(folder / "log"), options.pop("release", RELEASE)
    log.update(ledger, release, LATER_US + 20 * DAY_US)
    table = log.query(f"SELECT {what} FROM log ORDER BY _at_us", release, **options)
    return [tuple(row.values()) for row in table.to_pylist()]


def implied(told: Entry, *, marked: bool = True) -> list[Entry]:
    """Return the entries of an outcome as `record_outcome` appends them: the look that it implies, and itself."""
    body = {"offer_id": told.folded["offer_id"], "state": "seen", **({"implied": True} if marked else {})}
    return [Entry(told.stream, "contact", body, told.occurred_us), told]


@pytest.mark.promise("claims.one-worth")
def test_a_sale_is_worth_the_told_euros_else_the_catalogues_and_counts_once(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append([entry(ledger, decision(ledger, n)) for n in range(6)])
    ledger.append([outcome(ledger, 0), outcome(ledger, 0, "tried", days=2)])
    ledger.append([outcome(ledger, 1, value_eur=12.5), outcome(ledger, 1, "tried", days=2)])
    ledger.append([outcome(ledger, 2), outcome(ledger, 2, "tried", days=2, value_eur=8.0)])
    ledger.append([outcome(ledger, 3, value_eur=9.0), outcome(ledger, 3, days=3), outcome(ledger, 3, "tried", days=4)])
    ledger.append([outcome(ledger, 4, value_eur=0.0)])
    assert [eur for (eur,) in rows(ledger, tmp_path, "_value_eur")] == [10.0, 12.5, 8.0, 19.0, 0.0, 0.0]


@pytest.mark.promise("claims.told-looks")
@pytest.mark.parametrize("marked", [True, False], ids=["marked", "as recorded before looks were marked"])
def test_where_a_fifth_of_looks_is_told_the_rate_that_is_learned_is_the_true_one(
    ledger: Ledger, tmp_path: Path, marked: bool
) -> None:
    """Of 1,000 offers 5% are bought; a channel that counts on `seen` tells 20% of the looks, whatever came of them."""
    rng, pattern, entries = np.random.default_rng(0), decision(ledger, 1, "agent"), []
    bought, told = rng.random(1_000) < 0.05, rng.random(1_000) < 0.2
    for n in range(1_000):
        record = {**pattern, "decision_id": f"d{n}", "decided_us": THEN_US + n, "request": {"channel": "agent"}}
        record["contacts"] = [{**pattern["contacts"][0], "offer_id": f"d{n}.0"}]
        entries.append(Entry(ledger.stream_of("person", f"p{n}"), "decision", record, THEN_US + n))
        entries += [reached(ledger, n, "seen")] if told[n] else []
        entries += implied(outcome(ledger, n), marked=marked) if bought[n] else []
    ledger.append_many(iter(entries))
    labels, succeeded = zip(*rows(ledger, tmp_path, "_label, _succeeded"), strict=True)
    learned = [label for label in labels if label is not None]
    assert (len(learned), sum(learned)) == (told.sum(), (bought & told).sum())
    assert succeeded == tuple(bought.tolist())


def test_a_look_that_was_told_counts_though_its_outcome_implies_it_too(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append([entry(ledger, decision(ledger, n, "agent")) for n in range(4)])
    for n, marked in ((0, True), (1, False)):
        told = reached(ledger, n, "seen")
        ledger.append([replace(told, occurred_us=THEN_US + n + DAY_US), *implied(outcome(ledger, n), marked=marked)])
    ledger.append([*implied(outcome(ledger, 2)), *implied(outcome(ledger, 3), marked=False)])
    assert rows(ledger, tmp_path, "_reached, _label, _succeeded") == [
        (True, True, True),
        (True, True, True),
        (False, None, True),
        (False, None, True),
    ]


@pytest.mark.parametrize("marked", [True, False])
def test_an_outcome_that_is_taken_back_takes_its_implied_look_and_no_told_one(
    ledger: Ledger, tmp_path: Path, marked: bool
) -> None:
    ledger.append([entry(ledger, decision(ledger, n, "agent")) for n in range(2)])
    ledger.append([replace(reached(ledger, 0, "seen"), occurred_us=THEN_US + DAY_US)])
    for n in range(2):
        look, bought = implied(outcome(ledger, n), marked=marked)
        ledger.append([look, bought])
        for told, name in ((look, "state"), (bought, "outcome")):
            corrected = {**told.folded, "occurred_us": told.occurred_us}
            body = {**told.folded, name: "retracted", "corrects": corrected}
            ledger.append([Entry(told.stream, told.kind, body, THEN_US + 2 * DAY_US)])
    assert rows(ledger, tmp_path, "_reached, _label, _succeeded") == [(True, False, False), (False, None, False)]


@pytest.mark.promise("claims.risk-labels")
def test_every_contact_whose_window_holds_the_event_is_labelled_for_risk(ledger: Ledger, tmp_path: Path) -> None:
    """81 customers with a contact every four days leave within the windows of all five: 405 rows."""
    entries, pattern = [], decision(ledger, 1, "email")
    for n in range(106):
        stream = ledger.stream_of("person", f"p{n}")
        for nth in range(5):
            at_us = THEN_US + n + 4 * nth * DAY_US
            record = {**pattern, "decision_id": f"d{n}-{nth}", "decided_us": at_us}
            offer = {"offer_id": f"d{n}-{nth}.0", "counts_on": "decided"}
            record["contacts"] = [{**pattern["contacts"][0], **offer}]
            entries.append(Entry(stream, "decision", record, at_us))
        if n < 81:
            left = {"action": "tea", "outcome": "churned", "offer_id": f"d{n}-4.0" if n % 2 else None}
            entries.append(Entry(stream, "outcome", left, THEN_US + n + 20 * DAY_US))
    ledger.append_many(iter(entries))
    options: dict[str, Any] = {"release": CHURN, "outcome": "churned"}
    last_alone = rows(ledger, tmp_path, "_label::INT", **options)
    every = rows(ledger, tmp_path, "_label::INT", shared=True, **options)
    assert (len(every), sum(label for (label,) in every)) == (530, 405)
    assert sum(label for (label,) in last_alone) == 81, "what is learned of offers stays credited to one of them"
