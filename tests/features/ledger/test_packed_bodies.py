"""Decisions are packed in the ledger, beside those that were written as JSON, and broken ones are found."""

import random
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import from_json

from decisioning.catalogue.files import pack
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Ask, Known, PlacementAsk, canonical
from decisioning.records.formats import JSON_FORMAT, NEWEST, format_of
from features.ledger import Duplicate, Entry, Ledger, PackedBody
from tests import strategies as world
from tests.features.ledger.builders import consent, in_sql, past_the_ledger

ASK = Ask(request_id="r-1", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=2),))


def decided(n: int, **more: object) -> Decision:
    """Return a decision of its own time and id."""
    now_us = world.NOW_US - 1_000_000_000 + n
    known = Known(world.permissive().facts, world.permissive().person)
    context = DecisionContext(assigned_model="m@1", now_us=now_us, decision_id=f"d-{n:04x}", **more)  # type: ignore[arg-type]
    return decide(ASK, known, world.SMALL, world.CountingScorer(), context)


def entry(stream: str, decision: Decision) -> Entry:
    """Return a decision as the product appends it."""
    body = PackedBody(decision.to_bytes(), decision.contacts)
    name = decision.kept.decision_id
    return Entry(stream, "decision", body, decision.kept.decided_us, None, f"request:{name}", (f"decision:{name}",))


def filled(ledger: Ledger) -> tuple[str, list[Decision]]:
    """Put two decisions into the ledger as earlier versions wrote them, and two as they are packed now."""
    ledger.put_release(pack(world.SMALL_FILES))
    stream = ledger.stream_of("person", "c")
    earlier = [decided(n, record_format=JSON_FORMAT) for n in range(2)]
    later = [decided(n) for n in range(2, 4)]
    ledger.append([consent(stream, occurred_us=world.NOW_US - 2_000_000_000)])
    ledger.append([Entry(stream, "decision", d.record, d.kept.decided_us) for d in earlier])
    ledger.append([entry(stream, d) for d in later])
    return stream, [*earlier, *later]


def within(part: Any, whole: Any) -> bool:
    """Tell whether one JSON value says nothing that the other does not."""
    if isinstance(part, dict):
        return all(name in whole and within(value, whole[name]) for name, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


@pytest.mark.promise("replay.packed-records")
def test_both_formats_are_read_folded_and_verified_alike(ledger: Ledger) -> None:
    stream, decisions = filled(ledger)
    records = ledger.scan(["decision"])
    assert [canonical(r.body or {}) for r in records] == [canonical(d.record) for d in decisions]
    assert [format_of(r.body or {}) for r in records] == [1, 1, NEWEST, NEWEST]
    assert [r.raw for r in records[2:]] == [d.to_bytes() for d in decisions[2:]]
    contacts = [contact for d in decisions for contact in d.contacts]
    assert contacts
    for standing in (*ledger.read(stream), ledger.fold_at(stream, 5)):
        assert sorted(c.offer_id for c in standing.contacts) == sorted(c["offer_id"] for c in contacts)
    assert list(ledger.verify()) == []
    for record, decided_one in zip(records, decisions, strict=True):
        assert within(from_json(ledger.figures_as_json(record.raw or b"")), from_json(canonical(decided_one.record)))


def test_a_duplicate_is_read_from_its_bytes(ledger: Ledger) -> None:
    stream, decisions = filled(ledger)
    with pytest.raises(Duplicate) as caught:
        ledger.append([entry(stream, decisions[3])])
    assert canonical(caught.value.record.body or {}) == canonical(decisions[3].record)


def test_erasure_destroys_packed_bodies(ledger: Ledger) -> None:
    stream, _ = filled(ledger)
    ledger.erase(stream)
    assert [(r.raw, r.body, r.folded) for r in ledger.scan(["decision"])] == [(None, None, None)] * 4
    assert list(ledger.verify()) == []


def test_a_record_of_a_newer_version_is_refused_and_reported(ledger: Ledger) -> None:
    stream, _ = filled(ledger)
    newer = entry(stream, decided(9))
    assert isinstance(newer.body, PackedBody)
    ledger.append([replace(newer, body=PackedBody(b"\x4d" + newer.body.raw[1:], newer.body.contacts))])
    record = ledger.scan(["decision"])[-1]
    for read in (lambda: record.body, lambda: record.folded, lambda: ledger.figures_as_json(record.raw or b"")):
        with pytest.raises(Refused, match="newer version"):
            read()
    assert [flaw.message for flaw in ledger.verify()] == ["the standing cannot be checked: a record cannot be folded"]


def test_a_record_without_its_release_is_not_readable(ledger: Ledger, url: str) -> None:
    stream, _ = filled(ledger)
    past_the_ledger(url, "DELETE FROM releases")
    record = ledger.scan(["decision"])[-1]
    with pytest.raises(NotFound):
        _ = record.body
    assert any("cannot be folded" in flaw.message for flaw in ledger.verify(stream))


def test_only_decisions_are_packed(ledger: Ledger) -> None:
    stream, _ = filled(ledger)
    with pytest.raises(Refused):
        ledger.append([replace(entry(stream, decided(9)), kind="account_decision")])


@pytest.mark.promise("ledger.tampering")
def test_any_change_of_a_packed_body_is_a_flaw_of_its_record(ledger: Ledger, url: str) -> None:
    stream, decisions = filled(ledger)
    raw, rng = decisions[3].to_bytes(), random.Random(5)
    for _ in range(40):
        broken = bytearray(raw)
        broken[rng.randrange(len(raw))] ^= rng.randrange(1, 256)
        cut = rng.choice([len(raw), len(raw), rng.randrange(len(raw))])
        where = f"WHERE version = 5 AND stream = {in_sql(url, stream)}"
        past_the_ledger(url, f"UPDATE ledger_records SET body = :body {where}", body=bytes(broken[:cut]))
        flaws = list(ledger.verify())
        assert ("the body is not the one that was appended", 5) in {(f.message, f.version) for f in flaws}
    past_the_ledger(url, f"UPDATE ledger_records SET body = :body {where}", body=raw)
    assert list(ledger.verify()) == []
