"""The real server from outside: where it listens, one per workspace, and how a replica is replaced."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.serving.server import Server

pytestmark = pytest.mark.server


def _status(server: Server) -> int:
    return server("GET", "/healthz")[0]


def _until(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.promise("serving.loopback")
def test_everything_listens_on_loopback_but_one_port_that_asks_for_the_token(server: Server) -> None:
    """All ports are on loopback, except the replica's port for calls between deployments, which Ray opens."""
    expected = {"haproxy", "gcs_server", "raylet", "ray::ServeController"}
    assert _until(lambda: {listener.process for listener in server.listeners()} >= expected, within_s=10)
    listeners = server.listeners()
    assert server.port in {listener.port for listener in listeners}
    open_to_all = [listener for listener in listeners if not listener.loopback]
    assert [listener.process.partition(":")[0] for listener in open_to_all] in ([], ["ray"]), open_to_all
    for listener in open_to_all:
        assert "ServeReplica" in listener.process
        assert _refuses_without_token(listener.port)


def _refuses_without_token(port: int) -> bool:
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
        try:
            call(b"", timeout=5)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False


def test_a_second_serve_of_the_same_workspace_is_refused(server: Server) -> None:
    second = subprocess.run(server.command(), capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert second.stderr.strip() == "brain serve is already running for this workspace; stop it first"
    assert _status(server) == 200


@pytest.mark.promise("serving.kills")
def test_a_dead_replica_is_announced_answered_503_and_replaced(server: Server) -> None:
    before = server.pids("ray::ServeReplica")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    seen = set()
    assert _until(lambda: seen.add(_status(server)) or 503 in seen, within_s=10)
    assert _until(lambda: _status(server) == 200, within_s=60)
    assert server.pids("ray::ServeReplica") != before
    assert _until(lambda: "the decision process is away" in server.output, within_s=5)
    assert _until(lambda: "serving again after" in server.output, within_s=5)
