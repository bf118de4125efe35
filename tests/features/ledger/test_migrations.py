"""Alembic alone creates the tables, whichever process opens the database first."""

import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import features.ledger.migrations
from features.ledger import Ledger
from features.ledger.tables import METADATA, NEWEST, VERSION_TABLE
from tests.features.ledger.builders import consent, database_url
from tests.features.processes import child

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
