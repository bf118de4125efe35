"""Fixtures: tests that take `url` or `ledger` run on a real SQLite file and on a real PostgreSQL server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from features.ledger import Ledger, database
from features.ledger.database import Database
from features.ledger.tables import METADATA
from tests import migrated
from tests.postgres_server import new_database


@pytest.fixture(scope="module", autouse=True)
def migrations_run() -> Iterator[None]:
    """Let every migration run for each new ledger, as it does for a user: that is what these tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_upgrade", migrated.really_upgrade)
        yield


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


@pytest.fixture
def secret() -> bytes:
    return os.urandom(32)


@pytest.fixture
def ledger(url: str, secret: bytes) -> Iterator[Ledger]:
    with Ledger.open(url, secret) as opened:
        yield opened
