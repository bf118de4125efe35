"""Alembic alone creates the tables, whichever process opens the database first."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import astuple
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic_core import to_json

import features.ledger.database
import features.ledger.migrations
from decisioning.errors import Unavailable
from decisioning.facts.standing import Consent, Contact, Link, RecordedOutcome
from decisioning.facts.standing_rules import CapRule, HistoryRule, StandingRules
from features.ledger import Entry, Ledger
from features.ledger.migrations import packed_0006
from features.ledger.records import looks_of
from features.ledger.tables import (
    DELIVERIES,
    FIRED,
    METADATA,
    NEWEST,
    SIGNAL_STATES,
    SIGNALS,
    VERSION_TABLE,
    WATCHES,
)
from tests import migrated
from tests.features.ledger.builders import (
    DAY_US,
    NOW_US,
    consent,
    contact,
    database_url,
    decision,
    offered,
    outcome,
    past_the_ledger,
)
from tests.features.ledger.earlier_tables import columns, put_back
from tests.features.processes import child
from tests.oracle.full_fold import Fold, apply

ROOT = Path(__file__).parents[3]


def open_and_append(pipe: Connection, url: str) -> None:
    pipe.send("ready")
    pipe.recv()
    with Ledger.open(url, b"secret") as ledger:
        ledger.append([consent(ledger.stream_of("person", "a"))])


def test_processes_that_open_at_once_find_one_set_of_tables(empty_url: str) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(child(open_and_append, empty_url)) for _ in range(3)]
        assert [one.pipe.recv() for one in children] == ["ready"] * 3
        for one in children:
            one.pipe.send("go")
        for one in children:
            one.finished()
    with Ledger.open(empty_url, b"secret") as ledger:
        assert [r.version for r in ledger.records(ledger.stream_of("person", "a"))] == [1, 2, 3]


def test_the_migrations_make_the_tables_the_code_uses(url: str) -> None:
    engine = sa.create_engine(database_url(url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_open_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(features.ledger.migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_opening_what_is_migrated_does_not_import_alembic(url: str) -> None:
    opened = "import sys; from features.ledger import Ledger; Ledger.open(sys.argv[1], b'x').close()"
    check = f"{opened}; print('alembic' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", check, url], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"


@pytest.mark.promise("ledger.files-are-private")
def test_the_file_and_its_log_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Ledger.open(tmp_path / "ledger.db", b"secret") as ledger:
            ledger.append([consent("0" * 40)])
            modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}


def encoded_before(fold: Fold, number: int) -> bytes:
    """Return a standing as it was encoded before `ledger_0005`; format 1 had no links."""
    outcomes = [happened for of_action in fold.outcomes.values() for happened in of_action]
    links: list[Any] = [columns(Link, fold.links), fold.holder and list(astuple(fold.holder))]
    past = [columns(Contact, fold.contacts), columns(RecordedOutcome, outcomes)]
    times = [fold.latest_us, fold.restricted_us, fold.pending]
    body = [number, columns(Consent, fold.consents), *past, fold.erased, fold.restricted, *times]
    return to_json(body + (links if number > 1 else []))


def whole_fold(ledger: Ledger, stream: str) -> Fold:
    fold = Fold(stream)
    for r in ledger.records(stream):
        erased = Fold(stream, r.version, erased=True)
        fold = erased if r.body is None else apply(fold, r.kind, r.body, r.version, r.counted_us)
    return fold


def as_before(url: str, ledger: Ledger, numbers: dict[str, int]) -> dict[str, Fold]:
    """Turn the tables into those of `ledger_0004`; return the whole fold of every stream."""
    folds = {stream: whole_fold(ledger, stream) for stream in numbers}
    put_back(url, "ledger_0004", lambda fold, _: encoded_before(folds[fold.stream], numbers[fold.stream]))
    return folds


def test_a_ledger_of_before_gets_tables_of_contacts_and_outcomes(empty_url: str) -> None:
    """Its standings held everything; some of them before there were links."""
    old = NOW_US - 900 * DAY_US
    with Ledger.open(empty_url, b"secret") as ledger:
        one, two, gone = (ledger.stream_of("person", name) for name in "abc")
        first = {**outcome(one).body, "value_eur": 5}
        wrong = {**first, "outcome": "declined", "occurred_us": NOW_US}
        ledger.append([decision(s, "o1", "o2") for s in (one, two)] + [decision(gone, "o3"), outcome(gone)])
        ledger.append([decision(one, "old", occurred_us=old), contact(one, "old", "seen", NOW_US)])
        ledger.append([contact(one, "o1", "not_delivered"), contact(one, "later", "seen"), consent(one)])
        ledger.append([Entry(one, "outcome", first, NOW_US), Entry(one, "outcome", first, NOW_US)])
        ledger.append([Entry(one, "outcome", {**first, "outcome": "retracted", "corrects": wrong}, NOW_US)])
        link = {"visitor": two, "kind": "cookie", "source": "login"}
        ledger.append([Entry(one, "link", link, NOW_US)])
        ledger.erase(gone)
        folds = as_before(empty_url, ledger, {one: 2, two: 1, gone: 2, looks_of(gone): 2})
    with Ledger.open(empty_url, b"secret") as ledger:
        assert list(ledger.verify()) == []
        for standing in ledger.read(one, two):
            whole = folds[standing.stream]
            assert (standing.contacts, standing.outcomes) == (whole.contacts, whole.outcomes)
            assert (standing.consents, standing.links) == (whole.consents, whole.links)
        assert ledger.read(gone)[0].erased
        ledger.append([decision(one, "later"), Entry(one, "outcome", wrong, NOW_US)])
        assert {c.offer_id: c.state for c in ledger.read(one)[0].contacts}["later"] == "seen"
        assert [h.outcome for h in ledger.read(one)[0].outcomes["tv"]] == ["accepted", "accepted"]
        assert list(ledger.verify()) == []


def filled(ledger: Ledger) -> list[str]:
    """Append records of every kind, and whatever else names a stream; return the streams."""
    one, two, gone, visitor = (ledger.stream_of("person", name) for name in "abcd")
    offers = [f"d-{'0a' * 16}.{n}" for n in (0, 1, 12)]
    ledger.keep_for(StandingRules((CapRule("action", 3, 400 * DAY_US),), (HistoryRule(None, "accepted", None, 2),)))
    ledger.append([decision(one, *offers, "other", key="k1", aliases=("k2",)), consent(one), consent(one, "objected")])
    ledger.append([contact(one, offers[0], "seen"), contact(one, f"d-{'0b' * 16}.3", "seen"), outcome(one)])
    ledger.append(
        [Entry(one, "decision", {"contacts": [offered(f"d-{'0c' * 16}.{n}", NOW_US - n) for n in (0, 1)]}, NOW_US)]
    )
    link = {"visitor": visitor, "kind": "cookie", "source": "login"}
    ledger.append(
        [Entry(one, "link", link, NOW_US), Entry(visitor, "linked_to", {"person": one, "linked": True}, NOW_US)]
    )
    ledger.append([Entry(two, "flag", {"restricted": True}, NOW_US), decision(gone, "o3", key="k3"), outcome(gone)])
    ledger.transact(lambda connection: _fill_others(connection, two)).result()
    ledger.erase(gone)
    return [one, two, gone, visitor]


def _fill_others(connection: sa.Connection, stream: str) -> None:
    numbers = {
        "version": 1,
        "occurred_us": 1,
        "recorded_us": 1,
        "expires_us": 9,
        "due_us": 5,
        "claimed_us": 0,
        "attempts": 0,
    }
    words = {
        "type": "t",
        "moment": "m",
        "id": "i",
        "channel": "web",
        "route": "webhook",
        "state": "waiting",
        "error": "",
    }
    values = {**numbers, **words, "at_us": 2, "body": b"[1, 2, {}]", "stream": stream, "key": stream}
    for table in (SIGNALS, SIGNAL_STATES, WATCHES, FIRED, DELIVERIES):
        row = {name: value for name, value in values.items() if name in table.c}
        connection.execute(sa.insert(table).values(row))


def all_rows(ledger: Ledger) -> dict[str, set[tuple[Any, ...]]]:
    """Return what every table holds."""
    return {name: set(map(tuple, ledger.select(sa.select(table)))) for name, table in METADATA.tables.items()}


def test_a_migrated_ledger_is_what_todays_code_writes(empty_url: str) -> None:
    with Ledger.open(empty_url, b"secret") as ledger:
        streams = filled(ledger)
        rows, standings = all_rows(ledger), ledger.read(*streams)
    put_back(empty_url, "ledger_0005")
    with Ledger.open(empty_url, b"secret") as ledger:
        assert list(ledger.verify()) == []
        assert ledger.read(*streams) == standings
        assert all_rows(ledger) == rows
        assert (record := ledger.lookup("k2")) is not None
        assert (record.stream, record.version) == (streams[0], 1)
        assert ledger.append([consent(streams[0])]) == (9,)


def test_the_migrated_tables_are_those_the_code_uses(empty_url: str) -> None:
    Ledger.open(empty_url, b"secret").close()
    put_back(empty_url, "ledger_0005")
    Ledger.open(empty_url, b"secret").close()
    engine = sa.create_engine(database_url(empty_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_ledgers_of_other_tests_hold_what_the_migrations_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests write the tables of a new file from a copy of the statements: see `tests.migrated`."""
    Ledger.open(tmp_path / "migrated", b"secret").close()
    monkeypatch.setattr(features.ledger.database, "_upgrade", migrated.upgrade)
    Ledger.open(tmp_path / "first", b"secret").close()
    monkeypatch.setattr(migrated, "really_upgrade", None)
    Ledger.open(tmp_path / "copied", b"secret").close()
    files = [sqlite3.connect(tmp_path / name) for name in ("migrated", "first", "copied")]
    tables = [sorted(file.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"), key=str) for file in files]
    rows = [list(file.iterdump()) for file in files]
    for file in files:
        file.close()
    assert len(tables[0]) > 20
    assert (tables[0], rows[0]) == (tables[1], rows[1]) == (tables[2], rows[2])


def test_a_migration_leaves_nothing_of_old_pages(tmp_path: Path) -> None:
    """What is erased after a migration was in the old tables' pages, too: these are overwritten."""
    path = tmp_path / "ledger.db"
    with Ledger.open(path, b"secret") as ledger:
        people = [ledger.stream_of("person", str(n)) for n in range(50)]
        ledger.append(
            [consent(person, source=f"Jan de Vries {n}") for n, person in enumerate(people) for _ in range(5)]
        )
    put_back(str(path), "ledger_0005")
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")  # `put_back` is not to leave remains
    assert b"Jan de Vries" in path.read_bytes()
    with Ledger.open(path, b"secret") as ledger:
        for person in people:
            ledger.erase(person)
        for file in tmp_path.iterdir():
            assert b"Jan de Vries" not in file.read_bytes()


@pytest.mark.parametrize("version", [f"ledger_{int(NEWEST[-4:]) + 1:04}", "ledger_9999"])
def test_a_ledger_of_a_newer_version_is_refused(url: str, version: str) -> None:
    past_the_ledger(url, f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")
    try:
        with pytest.raises(Unavailable, match="newer version"):
            Ledger.open(url, b"secret")
    finally:
        past_the_ledger(url, f"UPDATE {VERSION_TABLE} SET version_num = '{NEWEST}'")


def test_an_interrupted_migration_starts_again(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(empty_url, b"secret") as ledger:
        streams = filled(ledger)
        standings = ledger.read(*streams)
    put_back(empty_url, "ledger_0005")
    with monkeypatch.context() as patch:
        patch.setattr(packed_0006.Packing, "kinds", lambda _: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            Ledger.open(empty_url, b"secret")
    with Ledger.open(empty_url, b"secret") as ledger:
        assert ledger.read(*streams) == standings
        assert list(ledger.verify()) == []
