"""Fixtures: real ledgers on SQLite and PostgreSQL, real online stores in SQLite and Redis."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.ledger.conftest import migrated_postgres, migrated_sqlite
from tests.features.signals.places import OpenPlace, Place
from tests.features.signals.signal_help import release
from tests.postgres_server import new_database

__all__ = ["migrated_postgres", "migrated_sqlite"]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory, redis_at: str) -> dict[str, Path]:
    """Data folder of a workspace for each online store. Tests share it: their secrets, so their streams, differ."""
    from features.profile.repository import apply

    folders = {}
    for name, redis in (("sqlite", None), ("redis", redis_at)):
        folders[name] = tmp_path_factory.mktemp(name) / "data"
        folders[name].mkdir()
        apply(folders[name], release().schema, f"signals-{uuid.uuid4().hex[:8]}", redis)
    return folders


@pytest.fixture(params=["sqlite-sqlite", "sqlite-redis", "postgresql-redis"])
def place(request: pytest.FixtureRequest, stores: dict[str, Path], tmp_path: Path) -> Place:
    """An empty ledger, and an online store."""
    ledger, _, store = request.param.partition("-")
    if ledger == "sqlite":
        url = str(shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ledger.db"))
    else:
        url = new_database(request.getfixturevalue("postgres"))
    return Place(url, os.urandom(32), stores[store])


@pytest.fixture
def opened(place: Place) -> Iterator[OpenPlace]:
    with place.opened() as one:
        yield one
