"""What customers ask of people, on SQLite and PostgreSQL: listed as it stands now, erased, and verified."""

from typing import Any

import pytest

from decisioning.errors import Erased, Refused
from features.ledger import Entry, Ledger
from features.ledger.tables import REQUESTS
from tests.features.ledger.builders import consent, past_the_ledger


def request(stream: str, state: str = "open", number: str = "N-1", **more: Any) -> Entry:
    body = {"number": number, "about": "person", "state": state, "due_us": 9, "who": "customer", **more}
    return Entry(stream, "request", body, None)


def rows(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [(row.number, row.state, row.record) for row in ledger.select(REQUESTS.select().order_by(REQUESTS.c.number))]


def test_a_request_is_listed_by_its_newest_record_and_changes_no_standing(ledger: Ledger) -> None:
    one, other = (ledger.stream_of("person", name) for name in "ab")
    ledger.append([consent(one)])
    before = ledger.read(one)[0]
    ledger.append([request(one), request(one, "in_review"), request(other, number="N-2")])
    ledger.append([request(one, "answered")])
    newest = {record.body["number"]: record.seq for record in ledger.scan(["request"]) if record.body}
    assert rows(ledger) == [("N-1", "answered", newest["N-1"]), ("N-2", "open", newest["N-2"])]
    after = ledger.read(one)[0]
    assert (after.consents, after.contacts, after.version) == (before.consents, before.contacts, 4)
    assert list(ledger.verify()) == []
    with pytest.raises(Refused):
        ledger.append([request(one, number="")])


def test_an_erasure_takes_requests_codes_and_visits_along(ledger: Ledger, url: str) -> None:
    one = ledger.stream_of("person", "a")
    ledger.append([request(one)])
    for values in (
        ("ledger_customer_codes", "'k', {0}, 'link', {0}, 9, NULL, NULL"),
        ("ledger_customer_sessions", "'s', {0}, {0}, 1, 1, NULL"),
    ):
        stream = f"'\\x{one}'::bytea" if "://" in url else f"x'{one}'"
        past_the_ledger(url, f"INSERT INTO {values[0]} VALUES ({values[1].format(stream)})")
    ledger.erase(one)
    for table in ("requests", "customer_codes", "customer_sessions"):
        assert past_the_ledger(url, f"SELECT stream FROM ledger_{table}") == []
    with pytest.raises(Erased):
        ledger.append([request(one, "answered")])
    assert list(ledger.verify()) == []


@pytest.mark.promise("me.requests")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE ledger_requests SET state = 'answered'", "it is not the request that is recorded"),
        ("UPDATE ledger_requests SET record = 1", "there is no record of this request"),
        ("DELETE FROM ledger_requests", "the request is recorded, and its table does not say so"),
    ],
)
def test_a_table_that_says_something_else_than_the_records_is_found(
    ledger: Ledger, url: str, change: str, message: str
) -> None:
    one = ledger.stream_of("person", "a")
    ledger.append([consent(one), request(one)])
    past_the_ledger(url, change)
    assert message in [flaw.message for flaw in ledger.verify()]
