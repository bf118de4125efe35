"""How a run is shared between workers, and how many examples it takes.

A file stays on one worker, and so do all tests that use the Ray server. These start first, because they take longest:
so Ray starts three times at most, one after the other, with any number of workers. All tests of the stores stay on one
worker too, which starts PostgreSQL, Redis and a process to fork from once, and all tests of pages share a browser. Then
come the files that take longest, so
that no worker is left alone with one at the end.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from xdist.scheduler import LoadScopeScheduling

from tests import redis_server
from tests.examples import WHOLE

ANY_MACHINE = {"suppress_health_check": (HealthCheck.too_slow,)}
"""Not for tests to fail by: how busy the machine is."""
settings.register_profile("quick", max_examples=20, **ANY_MACHINE)
settings.register_profile("whole", max_examples=WHOLE, **ANY_MACHINE)
settings.register_profile("unshrunk", max_examples=WHOLE, phases=(Phase.explicit, Phase.generate), **ANY_MACHINE)
"""`quick` is for `make test`, `whole` for `make test-long`, and `unshrunk` for `make mutation`, which only needs a test
to fail; the search for the smallest example takes minutes."""
settings.load_profile("quick")  # unless --hypothesis-profile names another one

MEMORY = Path("/dev/shm")
if "PYTEST_DEBUG_TEMPROOT" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 8 << 30:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)  # no test pulls the plug of the machine, so none waits for a disk
    tempfile.tempdir = str(MEMORY)  # of this process only

SERVER = ("tests/serving/test_server_", "tests/serving/test_lifecycle_server.py")
STORES = (
    *("tests/features/ledger/", "tests/features/signals/", "tests/features/test_store_"),
    "tests/serving/handovers/test_on_postgresql.py",
)
PAGES = ("tests/pages/",)
SLOW = (
    "tests/pages/",
    "tests/test_notebook.py",
    "tests/training/test_workflow.py",
    "tests/serving/test_demo_world.py",
    "tests/training/test_registry.py",
    "tests/training/test_logged.py",
    "tests/training/test_trials.py",
    "tests/promises/test_ledger_promises.py",
    "tests/training/test_reference_results.py",
    "tests/training/simulator/test_worlds.py",
    "tests/test_documents.py",
    "tests/test_command_line.py",
    "tests/training/test_recipes.py",
    "tests/oracle/",
)
PROGRAM_FIXTURES = frozenset({"browser", "migrated_postgres", "postgres", "redis_at", "server"})
PROGRAMS = (
    "tests/features/ledger/test_approvals.py",
    "tests/features/ledger/test_races.py",
    "tests/features/signals/test_blocks.py",
    "tests/features/signals/test_exact.py",
    "tests/features/signals/test_replay.py",
    "tests/features/test_duck.py",
    "tests/features/test_mounts.py",
    "tests/features/test_read_only_disk.py",
    "tests/pages/",
    "tests/serving/test_approving.py",
    "tests/serving/test_haproxy",
    "tests/serving/test_lifecycle.py",
    "tests/serving/test_starts.py",
    "tests/test_machine.py",
    "tests/test_notebook.py",
    "tests/training/test_registry.py",
)
"""Of tests that start programs and processes; so do those that use one of PROGRAM_FIXTURES."""
WHOLE = (
    "tests/benchmarks/",
    "tests/features/decisions/",
    "tests/features/messages/test_reference_messages.py",
    "tests/oracle/",
    "tests/promises/",
    "tests/recorded/",
    "tests/serving/",
    "tests/stateful/",
    "tests/test_command_line.py",
    "tests/test_documents.py",
    "tests/test_import_command.py",
    "tests/training/",
)
"""Of tests that serve a whole workspace, or learn."""
ORDER: tuple[str | tuple[str, ...], ...] = (SERVER, STORES, *SLOW)
"""Prefixes of test ids, in the order in which their tests start; all others come after them."""


class Pieces(LoadScopeScheduling):
    """The scheduler: a piece of work is all tests of the server, all of the stores, all of pages, or one other file."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SERVER):
            return "server"
        if nodeid.startswith(PAGES):
            return "pages"
        return "stores" if nodeid.startswith(STORES) else nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _position(item.nodeid))
    for item in items:
        if _starts_programs(item) or item.nodeid.startswith(WHOLE):
            item.add_marker(pytest.mark.heavy)


def _starts_programs(item: pytest.Item) -> bool:
    """Tell whether a test works on a database server, a browser, a notebook or processes of its own."""
    call = getattr(item, "callspec", None)
    stores = [value for value in (call.params.values() if call else ()) if isinstance(value, str)]
    is_on_server = any(name in value for value in stores for name in ("postgresql", "redis"))
    fixtures = getattr(item, "fixturenames", ())
    return is_on_server or not PROGRAM_FIXTURES.isdisjoint(fixtures) or item.nodeid.startswith(PROGRAMS)


def _position(nodeid: str) -> int:
    return next((n for n, prefix in enumerate(ORDER) if nodeid.startswith(prefix)), len(ORDER))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Pieces(config, log)


def pytest_configure() -> None:
    """Collect no garbage while tests are collected: it walks half a million objects of imported libraries."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage seldom: at Python's own thresholds it takes a twelfth of the run."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Let no test inherit the umask of a command that an earlier test ran in this process."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture(scope="session", autouse=True)
def migrations_run_once() -> Iterator[None]:
    """Run the migrations of a new ledger in SQLite and of a new MLflow once in this process.

    Tests of the ledger itself run them all, and so does each program that a test starts.
    """
    from features.ledger import database
    from tests import migrated
    from training.registry import Registry

    database._upgrade, Registry._migrate = migrated.upgrade, migrated.migrate
    yield
    database._upgrade, Registry._migrate = migrated.really_upgrade, migrated.really_migrate


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The url of a PostgreSQL server for this run; it is started only if a test needs it."""
    from tests.postgres_server import postgres_at

    with postgres_at() as url:
        yield url


@pytest.fixture(scope="session")
def redis_at() -> Iterator[str]:
    """The address of a real Redis, as in `online_store.redis`; it is started only if a test needs it."""
    with redis_server.redis_at() as address:
        yield address
