"""Erasing a subject leaves hashes and a tombstone, and no byte of its data."""

from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from decisioning.errors import Erased
from features.ledger import Ledger
from features.remains import ROWS
from tests.features.ledger.builders import DAY_US, NOW_US, consent, decision, outcome, past_the_ledger

MARK = "Jan de Vries uit Zutphen"


def fill(ledger: Ledger, person: str) -> None:
    ledger.append([consent(person, source=MARK, key=MARK)])
    for i in range(30):
        ledger.append([outcome(person, f"{MARK} {i} " + "x" * 3000, key=f"{MARK} {i}")])
    ledger.append([decision(person, f"offer of {MARK}")])


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


@pytest.mark.promise("erasure.ledger-and-profile")
def test_no_byte_of_an_erased_subject_stays_in_any_file(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, secret) as ledger, Ledger.open(path, secret) as reader:
        person = ledger.stream_of("person", "a")
        fill(ledger, person)
        assert reader.read(person)[0].version == 32
        assert MARK.encode() in bytes_of(path)
        ledger.erase(person)
        assert MARK.encode() not in bytes_of(path)
        assert list(reader.verify()) == []
    assert MARK.encode() not in bytes_of(path)


@pytest.mark.promise("erasure.ledger-and-profile")
def test_the_erased_stay_suppressed_and_verify(ledger: Ledger) -> None:
    person, other = ledger.stream_of("person", "a"), ledger.stream_of("person", "b")
    fill(ledger, person)
    ledger.append([consent(other)])
    ledger.erase(person)
    ledger.erase(person)
    assert [r.body for r in ledger.records(person)] == [None] * 32 + [{}]
    with pytest.raises(Erased, match="nothing that is told of it is kept"):
        ledger.append([consent(person, source=MARK, key="later")])
    assert ledger.append([decision(person, MARK, key="later")]) == (34,)
    standing, other_standing = ledger.read(person, other)
    assert (standing.version, standing.erased, standing.consents, standing.outcomes) == (34, True, (), {})
    assert other_standing.consents
    assert list(ledger.verify()) == []


def test_an_erasure_stays_listed_until_a_pass_that_began_after_it_has_ended(ledger: Ledger) -> None:
    first, second = ledger.stream_of("person", "a"), ledger.stream_of("person", "b")
    erasures = ledger.erasures
    ledger.append([consent(first), consent(second)])
    ledger.erase(first)
    began_us = erasures.begin_pass(NOW_US)
    ledger.erase(second)
    assert erasures.begin_pass(NOW_US + 1) == began_us == NOW_US
    erasures.remove_remains(began_us)
    erasures.end_pass(began_us)
    assert [erasure.stream for erasure in erasures.listed()] == [second]
    assert erasures.begin_pass(NOW_US + 2) == NOW_US + 2
    erasures.end_pass(NOW_US + 2)
    assert erasures.listed() == []


def test_a_subject_that_is_erased_again_keeps_its_first_deadline(url: str, secret: bytes) -> None:
    clock = count(NOW_US, DAY_US)
    with Ledger.open(url, secret, clock=lambda: next(clock)) as ledger:
        person = ledger.stream_of("person", "a")
        ledger.append([consent(person)])
        ledger.erase(person)
        listed = ledger.erasures.listed()
        ledger.erase(person)
        assert ledger.erasures.listed() == listed


def test_no_transaction_of_an_erasure_changes_more_than_some_rows(tmp_path: Path, secret: bytes) -> None:
    with Ledger.open(tmp_path / "ledger.db", secret) as ledger:
        people = [ledger.stream_of("person", str(i)) for i in range(3 * ROWS)]
        for i in range(3 * ROWS):
            ledger.append([decision(people[0], f"o{i}"), consent(people[i])])
        changes = Changes(ledger)
        ledger.erase(people[0])
        pass_us = ledger.erasures.begin_pass(NOW_US)
        ledger.erasures.remove_remains(pass_us)
        assert sum(changes) > 3 * ROWS
        assert max(changes) <= 2 * ROWS + 1  # a row is deleted and inserted again, and the place is noted


class Changes(list[int]):
    """How many rows each write transaction changes from now on."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._before = 0
        sa.event.listen(ledger._database._writer, "begin", self._begin)
        sa.event.listen(ledger._database._writer, "commit", self._commit)

    def _begin(self, connection: sa.Connection) -> None:
        self._before = connection.connection.driver_connection.total_changes

    def _commit(self, connection: sa.Connection) -> None:
        self.append(connection.connection.driver_connection.total_changes - self._before)


def test_what_is_appended_after_erasure_leaves_only_its_hash(ledger: Ledger, url: str) -> None:
    person = ledger.stream_of("person", "never heard of")
    ledger.erase(person)
    ledger.append([decision(person, MARK, key="k"), decision(person, "o1", key="d")])
    record = ledger.lookup("d")
    assert record is not None
    assert (record.version, record.body) == (3, None)
    assert ledger.fold_at(person, 2).erased
    rows = past_the_ledger(url, "SELECT body, salt FROM ledger_records ORDER BY seq")
    assert all(row.body in (None, b"{}") for row in rows)
    assert [row.salt is None for row in rows] == [False, False, True, True], "two tombstones: also of the looks"


def test_a_body_that_is_put_back_is_a_flaw(ledger: Ledger, url: str) -> None:
    person = ledger.stream_of("person", "a")
    ledger.append([consent(person)])
    erased = past_the_ledger(url, "SELECT body, salt FROM ledger_records")[0]
    ledger.erase(person)
    assert list(ledger.verify()) == []
    put = "UPDATE ledger_records SET body = :body, salt = :salt WHERE version = 1"
    past_the_ledger(url, put, body=erased.body, salt=erased.salt)
    assert any("was erased, and the bodies of 1 records are here" in str(flaw) for flaw in ledger.verify())


def test_sqlite_syncs_every_commit_and_overwrites_what_it_deletes(tmp_path: Path, secret: bytes) -> None:
    with Ledger.open(tmp_path / "ledger.db", secret) as ledger:
        settings = [ledger.select(sa.text(f"PRAGMA {name}"))[0][0] for name in ("synchronous", "secure_delete")]
    assert settings == [2, 1]


def test_bodies_gone_without_a_tombstone_are_a_flaw(ledger: Ledger, url: str) -> None:
    person = ledger.stream_of("person", "a")
    ledger.append([consent(person)])
    past_the_ledger(url, "UPDATE ledger_records SET body = NULL, salt = NULL")
    assert [f.message for f in ledger.verify()] == ["the bodies of 1 records are gone, and nobody erased the subject"]
