"""Alembic alone creates the tables, whichever process opens the database first."""

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, fields
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

import features.ledger.migrations
from decisioning.facts.standing import Consent, Contact, Link, RecordedOutcome
from features.ledger import Entry, Ledger
from features.ledger.tables import METADATA, NEWEST, VERSION_TABLE
from tests.features.ledger.builders import (
    DAY_US,
    NOW_US,
    consent,
    contact,
    database_url,
    decision,
    outcome,
    past_the_ledger,
)
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


def columns(cls: type[Any], rows: Sequence[Any]) -> list[list[Any]]:
    return [[getattr(row, f.name) for row in rows] for f in fields(cls)] if rows else []


def whole_fold(ledger: Ledger, stream: str) -> Fold:
    fold = Fold(stream)
    for r in ledger.records(stream):
        erased = Fold(stream, r.version, erased=True)
        fold = erased if r.body is None else apply(fold, r.kind, r.body, r.version, r.occurred_us)
    return fold


def as_before(url: str, ledger: Ledger, numbers: dict[str, int]) -> dict[str, Fold]:
    """Turn the tables into those of `ledger_0004`; return the whole fold of every stream."""
    folds = {stream: whole_fold(ledger, stream) for stream in numbers}
    for stream, fold in folds.items():
        body = encoded_before(fold, numbers[stream])
        past_the_ledger(url, "UPDATE standings SET body = :body WHERE stream = :stream", body=body, stream=stream)
    drop = [f"DROP TABLE {name}" for name in ("contacts", "outcomes", "standing_rules")]
    past_the_ledger(url, *drop, f"UPDATE {VERSION_TABLE} SET version_num = 'ledger_0004'")
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
        folds = as_before(empty_url, ledger, {one: 2, two: 1, gone: 2})
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
