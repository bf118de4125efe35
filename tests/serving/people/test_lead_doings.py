"""What the lead's page tells of a week is all of it, and costs the same however much else is recorded."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from decisioning.times import DAY_US, iso
from features.ledger import Entry, now_us
from serving.access.looks import Doer, Looker, record_looks
from serving.brain.runtime import Brain
from serving.customers.corrections import undo_override
from serving.pages.lead import doings
from tests.serving.workspaces import Client, ask, consent, small_workspace, welcome

QUERIES = (
    (doings._SAID, {"kind": "override", "since": 0, "most": 100}),
    (doings._COMPLAINTS, {"since": 0}),
    (doings._LOOKED, {"since": 0}),
)
MANY = "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
OTHERS = (
    "INSERT INTO ledger_records (stream, version, kind, at_us, occurred_us, body, salt, body_hash, hash)"
    " {many} SELECT x'aa', i, CASE i % 3 WHEN 0 THEN 'decision' WHEN 1 THEN 'look' ELSE 'outcome' END, {now}, {now},"
    " x'7b7d', x'00', x'00', x'00' FROM n",
    "INSERT INTO ledger_outcomes (stream, action, outcome, at_us, detail, times)"
    " {many} SELECT x'aa', 'tv-bundle', 'accepted', {now} + i, '', 1 FROM n",
    "INSERT INTO ledger_looks (seq, stream, who, reason, at_us)"
    " {many} SELECT 10000000 + i, x'aa', 'person:a', 'agent:service', {now} FROM n",
)


COMPLAINT = "INSERT INTO ledger_outcomes VALUES (x'bb', 'tv-bundle', 'complained', {now}, '', 1)"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(Brain(small_workspace(tmp_path / "shop")))
    yield client
    client.brain.close()


def fill(path: Path, first: int, last: int) -> None:
    """Record what others do; no chain is computed for it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in OTHERS:
            connection.execute(statement.format(many=MANY.format(first=first, last=last), now=now_us()))
        connection.execute("COMMIT")


def steps(path: Path, statement: Any, values: dict[str, Any]) -> int:
    """Return how many tens of steps SQLite takes to answer a statement."""
    asked = str(statement.params(values).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    taken: list[None] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(lambda: taken.append(None), 10)
        connection.execute(asked).fetchall()
    return len(taken)


def what_people_did(client: Client) -> None:
    welcome(client, "c-1")
    answer = client("POST", "/v1/decisions", ask("d-1", "c-1"))[1]
    offer = answer["placements"][0]["offers"][0]
    about = {"decision_id": answer["decision_id"], "action": offer["action"], "kind": "overridden"}
    assert client("POST", "/v1/overrides", {"override_id": "o-1", **about, "reason": "price"})[0] == 200
    with closing(sqlite3.connect(client.brain.workspace.data / "ledger.db", isolation_level=None)) as connection:
        connection.execute(COMPLAINT.format(now=now_us()))
    looks = [
        Looker("person:a", "agent", "handover", "complaint", "471"),
        Looker("person:a", "agent", "handover", "service"),
    ]
    record_looks(client.brain.ledger, [one.at(client.brain.subject_stream("c-1"), {}) for one in looks])


def test_what_was_undone_is_none_of_the_week(client: Client) -> None:
    what_people_did(client)
    lead, ledger = Doer("person:1", "agent"), client.brain.ledger
    undo = partial(undo_override, client.brain, "o-1", by=lead)
    assert asyncio.run(undo(within_us=-1)) is False
    assert found(client) == FOUND
    for _ in range(2):
        assert asyncio.run(undo(within_us=DAY_US)) is True
    assert asyncio.run(undo_override(client.brain, "o-2", by=lead, within_us=DAY_US)) is None
    assert found(client) == ([], *FOUND[1:])
    wrong = {"correction_id": "k-1", "field": "wish", "is": False, **lead.fields}
    stream = client.brain.subject_stream("c-1")
    ledger.append([Entry(stream, "correction", wrong, None)])
    assert doings.doings(client.brain)["corrections"] == [("wish", 1)]
    ledger.append([Entry(stream, "correction", {**wrong, "correction_id": "k-2", "undoes": "k-1"}, None)])
    assert doings.doings(client.brain)["corrections"] == []


def found(client: Client) -> tuple[Any, ...]:
    shown = doings.doings(client.brain)
    assert shown["whole"]
    annoys = [(one["kind"], one["now"], one["before"]) for one in shown["annoys"]]
    looks = [(one["who"], one["purpose"], one["case"]) for one in shown["looks"]]
    return [(one["reason"], one["n"]) for one in shown["overrides"]], annoys, looks


FOUND = ([("price", 1)], [("complained", 1, 0)], [("person:a", "complaint", "471")])


@pytest.mark.promise("lead.exact")
@pytest.mark.parametrize("many", [40_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_week_is_told_whole_at_a_cost_that_does_not_grow(client: Client, many: int) -> None:
    what_people_did(client)
    path = client.brain.workspace.data / "ledger.db"
    assert found(client) == FOUND
    fill(path, 1, many // 20)
    few = [steps(path, *query) for query in QUERIES]
    fill(path, many // 20 + 1, many)
    assert found(client) == FOUND
    assert [steps(path, *query) for query in QUERIES] == few
    assert max(few) < 200


def test_customers_are_counted_once_and_what_ended_last_week_is_left_out() -> None:
    now, day = now_us(), DAY_US
    told = [
        ("complained", "a", "s1", now),
        ("complained", "a", "s1", now - day),
        ("objected", "b", "s2", now - 8 * day),
    ]
    assert doings.annoyances(told, now) == [{"kind": "complained", "about": "a", "now": 1, "before": 0}]


def test_a_refusal_that_is_told_long_after_is_none_of_this_week(client: Client) -> None:
    for days, customer in ((200, "c-old"), (10, "c-before"), (1, "c-now")):
        said = consent(customer, "marketing", "refused", occurred_at=iso(now_us() - days * DAY_US))
        assert client("POST", "/v1/consents", [said])[0] == 200
    (told,) = doings.doings(client.brain)["annoys"]
    assert (told["kind"], told["now"], told["before"]) == ("objected", 1, 1)
