"""A busy, unreachable or damaged database: writes are retried for a while, then `Unavailable`; none is partial."""

import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from decisioning.errors import Unavailable
from features import threads
from features.ledger import Ledger, database, driver
from features.ledger.writer import Writer
from tests.features.ledger.builders import consent, outcome


@pytest.fixture
def person(ledger: Ledger) -> str:
    return ledger.stream_of("person", "a")


def test_a_write_waits_for_another_writer(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, secret) as ledger:
        person = ledger.stream_of("person", "a")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        future = ledger.submit([consent(person)])
        time.sleep(0.2)
        assert not future.done()
        assert ledger.read(person)[0].version == 0  # readers do not wait
        other.execute("COMMIT")
        assert future.result(timeout=2) == (1,)
        other.close()


def test_a_write_that_waited_too_long_is_unavailable(
    tmp_path: Path, secret: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, secret) as ledger:
        monkeypatch.setattr(database, "PATIENCE_S", 0.1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            ledger.append([consent(ledger.stream_of("person", "a"))])
        other.close()
        assert ledger.append([consent(ledger.stream_of("person", "a"))]) == (1,)


def test_pauses_grow_up_to_the_longest_and_are_longer_where_the_server_went(
    url: str, secret: bytes, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(database.time, "sleep", pauses.append)
    with Ledger.open(url, secret) as ledger:

        def work(connection: sa.Connection) -> int:
            if len(pauses) < 6:
                raise sa.exc.IntegrityError("another came first", None, Exception())
            if len(pauses) == 6 and not ledger._database.sqlite:
                drop_connections(postgres, ledger._database.url.database)
            return int(connection.execute(sa.text("SELECT 7")).scalar_one())

        assert ledger._database.transact(work) == 7
    first, longest = database._FIRST_PAUSE_S, database._LONGEST_PAUSE_S
    assert pauses[:6] == [first, 2 * first, 4 * first, *[longest] * 3]
    assert pauses[6:] == ([] if ledger._database.sqlite else [database._RECONNECT_PAUSE_S])


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (sa.exc.InvalidRequestError("a bug"), "InvalidRequestError"),
        (sa.exc.DataError("a bug", None, sqlite3.DataError()), "DataError"),
    ],
)
def test_what_is_wrong_is_tried_once(ledger: Ledger, wrong: sa.exc.SQLAlchemyError, cause: str) -> None:
    attempts: list[int] = []

    def work(_: sa.Connection) -> None:
        attempts.append(1)
        raise wrong

    with pytest.raises(Unavailable, match=cause):
        ledger._database.transact(work)
    assert attempts == [1]


def test_what_is_wrong_is_asked_once(ledger: Ledger) -> None:
    statements: list[str] = []
    sa.event.listen(ledger._database._reader, "before_cursor_execute", lambda *event: statements.append(event[2]))
    with pytest.raises(Unavailable):
        ledger.select(sa.text("SELECT nothing_of_ours FROM ledger_records"))
    assert len(statements) == 1


def test_erased_rows_leave_the_log_once_it_is_not_being_read(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, secret) as ledger:
        person = ledger.stream_of("person", "a")
        ledger.append([consent(person, source="Jan de Vries")])
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM ledger_records").fetchone()
        assert ledger.erase(person) == (person,)
        pass_us = ledger.erasures.begin_pass(1)
        done = threading.Timer(0.2, reader.execute, ("COMMIT",))
        done.start()
        ledger.erasures.remove_remains(pass_us)
        done.join()
        reader.close()
        assert b"Jan de Vries" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_a_server_that_drops_its_connections_is_reached_again(ledger: Ledger, person: str, postgres: str) -> None:
    for version in (1, 2, 3):
        assert ledger.append([outcome(person)]) == (version,)
        if not ledger._database.sqlite:
            drop_connections(postgres, ledger._database.url.database)
        assert ledger.read(person)[0].version == version


def drop_connections(server: str, database: str | None) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))


@pytest.mark.parametrize("count", [2, 0])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    ledger: Ledger, person: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver commits and then fails once, as when a network fails at the worst moment."""
    commit, lost = driver._commit, threading.Event()

    def commit_and_lose_the_answer(connection: Any) -> None:
        commit(connection)
        if not lost.is_set():
            lost.set()
            raise passing_error(sqlite=ledger._database.sqlite)

    monkeypatch.setattr(driver, "_commit", commit_and_lose_the_answer)
    assert ledger.append([outcome(person)] * count, {person: 0}) == (1, 2)[:count]
    assert lost.is_set()
    assert ledger.read(person)[0].version == count
    assert list(ledger.verify()) == []


def passing_error(*, sqlite: bool) -> Exception:
    if not sqlite:
        return psycopg.errors.SerializationFailure("lost")
    error = sqlite3.OperationalError("lost")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_what_was_cancelled_in_time_is_never_written(ledger: Ledger, person: str) -> None:
    release = threading.Event()
    blocked = threading.Thread(target=ledger._writer.run, args=(lambda _: release.wait(5),))
    blocked.start()
    written, cancelled = ledger.submit([consent(person)]), ledger.submit([outcome(person)])
    assert cancelled.cancel()
    release.set()
    assert written.result() == (1,)
    blocked.join()
    assert ledger.append([outcome(person)]) == (2,)


def test_a_bug_is_raised_to_its_submitter_and_to_nobody_else(ledger: Ledger, person: str) -> None:
    with pytest.raises(ZeroDivisionError):
        ledger._writer.run(lambda _: 1 // 0)
    assert ledger.append([consent(person)]) == (1,)


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match=r"central-brain\[postgresql\]"):
        Ledger.open("postgresql://localhost/brain", b"secret")


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("name,age\n" * 1000)
    with pytest.raises(Unavailable):
        Ledger.open(tmp_path / "ledger.db", b"secret")


def test_damage_is_unavailable_and_tells_nothing_personal(tmp_path: Path, secret: bytes) -> None:
    with Ledger.open(tmp_path / "ledger.db", secret) as ledger:
        person = ledger.stream_of("person", "a")
        ledger.append([consent(person, source="Jan de Vries")])
        connection = sqlite3.connect(tmp_path / "ledger.db")
        connection.execute("DROP TABLE ledger_records")
        connection.commit()
        with pytest.raises(Unavailable) as caught:
            ledger.append([consent(person, source="Jan de Vries")])
        assert "Vries" not in f"{caught.value} {caught.value.__cause__}"


def test_a_writer_that_ends_by_an_error_answers_what_it_had_in_hand_and_writes_again(
    ledger: Ledger, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "FIRST_PAUSE_S", 0.0)
    original, ended = Writer._answer, []

    def ending(self: Writer, waiting: Any) -> None:
        if not ended:
            ended.append(True)
            raise MemoryError
        original(self, waiting)

    monkeypatch.setattr(Writer, "_answer", ending)
    with pytest.raises(Unavailable, match="may have been written"):
        ledger.append([consent(person)])
    assert ledger.append([consent(person)]) == (1,)
