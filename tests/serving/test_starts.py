"""Starts that something gets in the way of: each serves or says in one line why not, and leaves nothing running."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving.lifecycle import processes
from serving.lifecycle.ports import LOOPBACK, Ports, reserved
from tests.serving.server import Server

pytestmark = [pytest.mark.server, pytest.mark.long]
TINY = "tests.serving.tiny_app:build"
STARTS = 20
BUSY = 4


@pytest.fixture(scope="module")
def busy() -> Iterator[None]:
    """Four processes that use whatever they get of the cores."""
    with ExitStack() as stack:
        for _ in range(BUSY):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def ports_of(root: Path) -> Ports:
    """Return the ports that a start of the workspace takes if nobody has one of them."""
    with reserved(root.resolve()) as ports:
        return ports


def left_of(root: Path) -> list[str]:
    """Return the titles of all processes of runs of the workspace: the path of its HAProxy is in their environment."""
    return [processes._title(pid) for pid in processes.all_pids() if _names(pid, f"{root}/data/run/haproxy")]


def _names(pid: int, path: str) -> bool:
    try:
        return path.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


@pytest.mark.promise("serving.supervisor-killed")
def test_after_a_kill_of_the_supervisor_nothing_of_the_run_listens_within_ten_seconds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    server = Server(tmp_path, TINY)
    server.start()
    assert server.process is not None
    assert {"haproxy", "raylet", "gcs_server"} <= {listener.process for listener in server.listeners()}
    server.process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    while server.pids() or server.listeners():
        assert time.monotonic() < killed_s + 10, processes.titles(server.run_id)
        time.sleep(0.1)
    record_property("nothing listens after", f"{time.monotonic() - killed_s:.1f} s")
    server.process.wait()
    server.start()
    assert server.stop() == 0
    assert (server.pids(), server.listeners(), left_of(tmp_path)) == ([], [], [])


@pytest.mark.promise("serving.starts")
@pytest.mark.parametrize("number", range(STARTS))
def test_a_start_beside_busy_processes_whose_port_is_taken_meanwhile_serves_or_says_why(
    tmp_path: Path, busy: None, number: int, record_property: Callable[[str, object], None]
) -> None:
    """The port of requests, and then one port of the block after the other, is taken while the server starts."""
    server = Server(tmp_path, TINY)
    ports = sorted(ports_of(tmp_path).all)
    port = [server.port, *ports][number]
    record = tmp_path / "data/run/serve.json"
    began_s = time.monotonic()
    with (tmp_path / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(server.command(), stdout=subprocess.PIPE, stderr=errors, text=True)
    while not record.exists():
        assert process.poll() is None, server.output
        time.sleep(0.05)
    with socket.create_server((LOOPBACK, port)):
        assert process.stdout is not None
        serves = process.stdout.readline().strip() == server.url
    if serves:
        assert server("GET", "/")[0] == 200
        process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)
    record_property("outcome", f"{'serves' if serves else 'says why'} after {time.monotonic() - began_s:.0f} s")
    record_property("said", server.output)
    assert code == (0 if serves else 1)
    assert "Traceback" not in server.output
    assert all(len(line) < 300 for line in server.output.splitlines())
    assert serves or f"port {port} was taken by another program" in server.output
    assert left_of(tmp_path) == []
    assert not record.exists()
