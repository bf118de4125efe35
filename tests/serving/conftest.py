"""The one Ray server of a test run. A full run starts Ray three times at most, one after the other: this server, its
restart after a SIGKILL, and the second workspace beside it (test_lifecycle_server.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.load import get
from tests.serving.server import Server

APP = "tests.serving.tiny_app:build"
COSTLY = get("/burn")
"""A request that takes the replica about as long as a decision does."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product, serving. May be killed and started again by a test; others then go on with the same `url`."""
    server = Server(_workspace(tmp_path_factory.mktemp("server")), APP)
    server.start()
    yield server
    code = server.stop()
    assert (code, server.pids(), server.listeners()) == (0, [], []), server.said
    assert server.stopped_s < 5


def _workspace(root: Path) -> Path:
    return root
