"""The Ray server that the tests of a run share.

A full run starts Ray three times at most, one after the other: this server, its restart after a SIGKILL
(test_server_load.py), and a second workspace at the same time (test_server_beside.py). The tests that use it go to one
worker (tests/conftest.py), so that no two workers start a server."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.postgres_server import new_database
from tests.serving.server import Server, product

NewDatabase = Callable[[], str | None]
"""Returns where the next workspace keeps its ledger: the url of a new database, or None for its own file."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest) -> NewDatabase:
    """What the workspaces of a test keep their ledgers in: a file, and in `make test-long` a PostgreSQL server, too."""
    if request.param == "sqlite":
        return lambda: None
    return partial(new_database, request.getfixturevalue("postgres"))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product, serving. A test may kill it and start it again; the others then continue with the same `url`.

    It stops when a worker leaves this folder: with nothing to do it still takes a seventh of a core.
    """
    server = product(tmp_path_factory.mktemp("server") / "workspace")
    server.start()
    yield server
    code = server.stop()
    assert (code, server.pids(), server.listeners()) == (0, [], []), server.output
    assert server.stopped_s < 5
