"""The one Ray server of a test run. A full run starts Ray three times at most, one after the other: this server, its
restart after a SIGKILL (test_server_load.py), and a second workspace beside it (test_server_beside.py). Its tests are
one piece of work (tests/conftest.py), so that no two workers start one each."""

from collections.abc import Iterator

import pytest

from tests.serving.server import Server, product


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product, serving. May be killed and started again by a test; others then go on with the same `url`."""
    server = product(tmp_path_factory.mktemp("server") / "workspace")
    server.start()
    yield server
    code = server.stop()
    assert (code, server.pids(), server.listeners()) == (0, [], []), server.said
    assert server.stopped_s < 5
