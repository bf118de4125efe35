"""Looks at a subject, on SQLite and PostgreSQL: beside its stream, listed, erased with it, and verified."""

import pytest

from decisioning.errors import Erased
from features.ledger import Duplicate, Ledger, Look
from tests.features.ledger.builders import consent, past_the_ledger

AN_HOUR_US = 3_600_000_000


def look(subject: str, who: str = "key:a") -> Look:
    return Look(subject, who, "agent", "glance", "service", ids={"customer_id": "c-1"})


@pytest.mark.promise("looks.beside-decisions")
def test_a_look_is_beside_its_subjects_stream_and_once_an_hour(ledger: Ledger) -> None:
    one, other = (ledger.stream_of("person", name) for name in "ab")
    ledger.append([consent(one)])
    before = ledger.read(one)
    keys = [look(one).key(hour * AN_HOUR_US + 5) for hour in (0, 1)]
    for key in keys:
        assert ledger.append([look(one).entry(key)])
        with pytest.raises(Duplicate):
            ledger.append([look(one).entry(key)])
    ledger.append([look(other, "key:b").entry("k"), consent(one, expected=1)])
    assert (before[0].version, [record.kind for record in ledger.records(one)]) == (1, ["consent"] * 2)
    bodies = [record.body for record in ledger.looks(0, 10)]
    assert [(body["subject"], body["who"]) for body in bodies if body] == [(one, "key:a")] * 2 + [(other, "key:b")]
    first, second = ledger.looks(0, 2)
    assert [record.seq for record in ledger.looks(first.seq, 1, [one])] == [second.seq]
    assert [record.body for record in ledger.looks(0, 9, [other], "key:b")] == bodies[2:]
    assert ledger.looks(0, 9, [other], "key:a") == []
    assert list(ledger.verify()) == []


@pytest.mark.promise("looks.erased")
def test_an_erasure_takes_the_looks_along_and_bars_others(ledger: Ledger, url: str) -> None:
    person = ledger.stream_of("person", "a")
    ledger.append([look(person).entry("k")])
    ledger.erase(person)
    assert ledger.looks(0, 10) == []
    assert past_the_ledger(url, "SELECT seq FROM ledger_looks") == []
    with pytest.raises(Erased):
        ledger.append([look(person).entry("k2")])
    never = ledger.stream_of("person", "never heard of")
    ledger.erase(never)
    with pytest.raises(Erased):
        ledger.append([look(never).entry("k3")])
    assert list(ledger.verify()) == []
