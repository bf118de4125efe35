"""Fixtures of tests that run on the file of a workspace, and in `make test-long` on a PostgreSQL server, too."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.postgres_server import new_database

NewDatabase = Callable[[], str | None]
"""Returns where the next workspace keeps its ledger: the url of a new database, or None for its own file."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest) -> NewDatabase:
    """What the workspaces of a test keep their ledgers in."""
    if request.param == "sqlite":
        return lambda: None
    return partial(new_database, request.getfixturevalue("postgres"))
