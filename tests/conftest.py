"""How the run is shared between workers: a file stays on one, and everything that uses the Ray server is one piece,
begun first because it takes longest. So Ray starts three times at most, one after the other, whatever the workers."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings
from xdist.scheduler import LoadScopeScheduling

from tests import redis_server

settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate))
"""For `make mutation`: red is all it asks, and the smallest example takes minutes."""
SERVER = ("tests/serving/test_server_", "tests/serving/test_lifecycle_server.py")


class OneServer(LoadScopeScheduling):
    """Pieces of work: the server's tests together, every other file by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return "server" if nodeid.startswith(SERVER) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SERVER))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneServer(config, log)


def pytest_configure() -> None:
    """A collection walks half a million objects of imported libraries, which are there to stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def redis_at() -> Iterator[str]:
    """Where a real Redis is, as `online_store.redis` takes it; started only if a test asks."""
    with redis_server.redis_at() as at:
        yield at
