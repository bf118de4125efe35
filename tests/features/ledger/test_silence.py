"""A PostgreSQL that is connected and does not answer: questions end in time, and the next ones at once."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from decisioning.errors import Unavailable
from features.deadlines import answering_within
from features.ledger import Ledger
from tests.features.ledger.builders import consent, past_the_ledger
from tests.silent_server import Relay, relay

PATIENCE_S = 0.3


@pytest.fixture
def relayed(migrated_postgres: str) -> Iterator[tuple[Ledger, Relay]]:
    """A ledger whose connections go through a relay."""
    past_the_ledger(migrated_postgres, "DELETE FROM claims")  # other tests have left their secrets there
    url = make_url(migrated_postgres)
    folder = url.query["host"]
    assert isinstance(folder, str)
    with relay(f"{folder}/.s.PGSQL.5432") as before:
        through = url.set(host="127.0.0.1", port=before.port, query={})
        with Ledger.open(through.render_as_string(hide_password=False), b"secret") as ledger:
            yield ledger, before


def refused_after_s(ledger: Ledger) -> float:
    """Return how long a read takes that must be refused."""
    began = time.monotonic()
    with answering_within(PATIENCE_S), pytest.raises(Unavailable):
        ledger.read(ledger.stream_of("person", "a"))
    return time.monotonic() - began


def answers(ledger: Ledger, within_s: float = 10.0) -> bool:
    """Wait until the ledger can be read again."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        try:
            ledger.read(ledger.stream_of("person", "a"))
        except Unavailable:
            time.sleep(0.05)
        else:
            return True
    return False


@pytest.mark.promise("serving.silent-stores")
def test_a_database_that_falls_silent_is_waited_for_once_and_then_read_again(relayed: tuple[Ledger, Relay]) -> None:
    ledger, before = relayed
    ledger.paused()
    before.hold()
    assert PATIENCE_S <= refused_after_s(ledger) < 10 * PATIENCE_S, "not the minute that the server allows"
    assert all(refused_after_s(ledger) < PATIENCE_S for _ in range(5)), "nobody else waits for it"
    before.release()
    assert answers(ledger)


def test_the_answer_to_a_question_that_was_given_up_is_never_taken_for_that_to_another(
    relayed: tuple[Ledger, Relay],
) -> None:
    ledger, _ = relayed
    with answering_within(PATIENCE_S), pytest.raises(Unavailable, match="NoAnswer"):
        ledger.select(text("SELECT 1 AS n, pg_sleep(2)"))
    assert answers(ledger)
    assert [ledger.select(text(f"SELECT {n} AS n"))[0].n for n in (2, 3)] == [2, 3]


def test_a_writer_that_gets_no_answer_gives_up_and_writes_again_later(
    relayed: tuple[Ledger, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, before = relayed
    monkeypatch.setattr("features.ledger.database.PATIENCE_S", 0.1)
    person = ledger.stream_of("person", "a")
    versions = ledger.append([consent(person)])
    before.hold()
    with pytest.raises(Unavailable):
        ledger._writer.run(_asked_for_a_while)
    before.release()
    assert answers(ledger)
    assert ledger.append([consent(person)]) == (versions[0] + 1,)


def _asked_for_a_while(connection: object) -> None:
    with answering_within(PATIENCE_S):
        connection.exec_driver_sql("SELECT 1")  # type: ignore[attr-defined]
