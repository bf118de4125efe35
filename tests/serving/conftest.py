"""The one Ray server of a test run. A full run starts Ray three times at most, one after the other: this server, its
restart after a SIGKILL, and the second workspace beside it (test_lifecycle_server.py)."""

import json
from collections.abc import Iterator

import pytest

from serving.lifecycle import DEFAULT_APP
from tests.serving.load import post
from tests.serving.server import Server
from tests.serving.workspaces import small_workspace

ASK = {
    "request_id": "load",
    "customer_id": "c-1",
    "channel": "web",
    "mode": "preview",
    "placements": [{"name": "hero"}, {"name": "sidebar", "limit": 2}],
}
COSTLY = post("/v1/decisions", json.dumps(ASK).encode())
"""A request that takes the replica as long as a decision does, and leaves nothing behind."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product, serving. May be killed and started again by a test; others then go on with the same `url`."""
    root = tmp_path_factory.mktemp("server")
    small_workspace(root)
    server = Server(root, DEFAULT_APP)
    server.start()
    yield server
    code = server.stop()
    assert (code, server.pids(), server.listeners()) == (0, [], []), server.said
    assert server.stopped_s < 5
