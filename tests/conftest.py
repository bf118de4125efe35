"""How a run is shared between workers: a file stays on one worker, and so do all tests that use the Ray server.

These start first, because they take longest. So Ray starts three times at most, one after the other, with any number of
workers.
"""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings
from xdist.scheduler import LoadScopeScheduling

from tests import redis_server
from tests.examples import WHOLE

settings.register_profile("quick", max_examples=20)
settings.register_profile("whole", max_examples=WHOLE)
settings.register_profile("unshrunk", max_examples=WHOLE, phases=(Phase.explicit, Phase.generate))
"""`quick` is for `make test`, `whole` for `make test-long`, and `unshrunk` for `make mutation`, which only needs a test
to fail; the search for the smallest example takes minutes."""
settings.load_profile("quick")  # unless --hypothesis-profile names another one

SERVER = ("tests/serving/test_server_", "tests/serving/test_lifecycle_server.py")


class OneServer(LoadScopeScheduling):
    """The scheduler: the tests of the server form one piece of work, every other file forms its own."""

    def _split_scope(self, nodeid: str) -> str:
        return "server" if nodeid.startswith(SERVER) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SERVER))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneServer(config, log)


def pytest_configure() -> None:
    """Collect no garbage while tests are collected: it walks half a million objects of imported libraries."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def redis_at() -> Iterator[str]:
    """The address of a real Redis, as in `online_store.redis`; it is started only if a test needs it."""
    with redis_server.redis_at() as address:
        yield address
