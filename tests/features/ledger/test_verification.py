"""Verification finds whatever is changed, dropped or moved in the tables."""

import pytest

from features.ledger import Ledger
from tests.features.ledger.builders import consent, decision, outcome, past_the_ledger

TAMPERED = {
    "a body changed": ("UPDATE ledger_records SET body = salt WHERE version = 2", 2, "the body is not the one"),
    "a kind changed": ("UPDATE ledger_records SET kind = 'flag' WHERE version = 2", 2, "does not follow"),
    "a time changed": (
        "UPDATE ledger_records SET occurred_us = occurred_us + 1 WHERE version = 2",
        2,
        "does not follow",
    ),
    "recorded later": ("UPDATE ledger_records SET at_us = at_us + 1 WHERE version = 2", 2, "does not follow"),
    "one dropped": ("DELETE FROM ledger_records WHERE version = 2", 3, "versions 2 to 2 are missing"),
    "the last dropped": ("DELETE FROM ledger_records WHERE version = 4", 3, "does not end where its standing says"),
    "all dropped": ("DELETE FROM ledger_records", 0, "does not end where its standing says"),
    "two swapped": (
        "UPDATE ledger_records SET version = 9 WHERE version = 2;"
        "UPDATE ledger_records SET version = 2 WHERE version = 3;"
        "UPDATE ledger_records SET version = 3 WHERE version = 9",
        2,
        "does not follow",
    ),
    "another order of writing": (
        "UPDATE ledger_records SET seq = -seq WHERE version = 3",
        3,
        "older than the one before",
    ),
    "a standing changed": (
        "UPDATE ledger_standings SET body = "
        "(SELECT body FROM ledger_standings s WHERE s.stream != ledger_standings.stream)",
        4,
        "not what the records fold to",
    ),
    "a standing dropped": ("DELETE FROM ledger_standings", 4, "records but no standing"),
    "a standing set back": ("UPDATE ledger_standings SET version = 2", 2, "goes on after its standing"),
}


@pytest.mark.promise("ledger.tampering")
@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found(name: str, ledger: Ledger, url: str) -> None:
    statements, version, message = TAMPERED[name]
    person = ledger.stream_of("person", "a")
    ledger.append([consent(person), decision(person, "o1"), outcome(person), outcome(person)])
    ledger.append([consent(ledger.stream_of("person", "b"), "objected")])
    assert list(ledger.verify()) == []
    past_the_ledger(url, *statements.split(";"))
    assert any(f.version == version and message in f.message for f in ledger.verify(person))


def test_a_record_cannot_be_moved_to_another_stream(ledger: Ledger, url: str) -> None:
    one, other = ledger.stream_of("person", "a"), ledger.stream_of("person", "b")
    ledger.append([consent(one)])
    moved = [f"UPDATE {table} SET stream = :other" for table in ("ledger_records", "ledger_standings")]
    past_the_ledger(url, *moved, other=bytes.fromhex(other))
    assert [f.message for f in ledger.verify()] == ["the record does not follow from the one before it"]
