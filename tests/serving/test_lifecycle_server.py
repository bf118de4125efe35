"""The real server from outside: where it listens, one per workspace, and how a replica is replaced."""

import json
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serving.server import Server, until

pytestmark = pytest.mark.server


def _status(server: Server) -> int:
    return server("GET", "/healthz")[0]


@pytest.mark.promise("serving.loopback")
def test_everything_listens_on_loopback_but_one_port_that_asks_for_the_token(server: Server) -> None:
    """All ports are on loopback, except the replica's port for calls between deployments, which Ray opens."""
    expected = {"haproxy", "gcs_server", "raylet", "ray::ServeController"}
    assert until(lambda: {listener.process for listener in server.listeners()} >= expected, within_s=10)
    listeners = server.listeners()
    assert server.port in {listener.port for listener in listeners}
    open_to_all = [listener for listener in listeners if not listener.loopback]
    assert [listener.process.partition(":")[0] for listener in open_to_all] in ([], ["ray"]), open_to_all
    for listener in open_to_all:
        assert "ServeReplica" in listener.process
        assert _refuses_without_token(listener.port)


@pytest.mark.promise("keys.private-files")
def test_another_user_reaches_no_file_and_no_socket_of_a_run(server: Server) -> None:
    """HAProxy's socket may change where requests go, and Ray lets everyone write into its own folder."""
    temp = Path(json.loads((server.root / "data/run/serve.json").read_text())["temp"])
    assert temp.stat().st_mode & 0o777 == 0o700
    sockets = [path for path in temp.rglob("*") if path.is_socket()]
    assert "admin.sock" in {path.name for path in sockets}
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    assert _as_nobody(lambda: [_connect(path) for path in sockets]) == "PermissionError"
    for private in (temp, server.root / "data", server.root / "keys"):
        assert _as_nobody(lambda private=private: os.listdir(private)) == "PermissionError", private
    for private in ("secret", "keys/agent", "data/ledger.db"):
        assert _as_nobody((server.root / private).read_bytes) == "PermissionError", private


@pytest.mark.promise("keys.private-files")
def test_another_user_gets_nothing_from_any_port_of_a_run(server: Server) -> None:
    """Ports on loopback are open to every user of the machine: without a key or Ray's token none tells anything.

    But for figures of Ray itself, such as the memory of its processes.
    """
    ports = sorted({listener.port for listener in server.listeners()})
    assert server.port in ports
    assert until(lambda: _status(server) == 200, within_s=10)
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    answers: dict[str, bytes] = {}
    paths = ("/metrics", "/stats", "/v1/customers/c-1", "/api/serve/applications/")
    for port, path in ((port, path) for port in ports for path in paths):
        answers[f"{port} {path}"] = _answered_to_nobody(port, f"GET {path} HTTP/1.1".encode())
    for port in ports:
        answers[f"{port} erasure"] = _answered_to_nobody(port, b"DELETE /v1/customers/c-1 HTTP/1.1")
    told = {where: answer for where, answer in answers.items() if answer.partition(b" ")[2][:1] == b"2"}
    assert {where: answer[:300] for where, answer in told.items() if not _is_of_ray_alone(answer)} == {}


def _is_of_ray_alone(answer: bytes) -> bool:
    """Tell whether an answer holds metrics of Ray and none of ours."""
    return b"\n# HELP " in answer and b"brain_" not in answer


def _answered_to_nobody(port: int, line: bytes) -> bytes:
    """Return the beginning of what a port answers to a request by another user."""
    answer = b""

    def ask() -> None:
        nonlocal answer
        with suppress(TimeoutError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while len(answer) < 10_000 and (chunk := connection.recv(65536)):
                answer += chunk

    return _as_nobody(ask, lambda: answer).encode("latin-1")


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def _as_nobody(work: Callable[[], object], told: Callable[[], bytes] = bytes) -> str:
    """Return the name of the error that `work` ends with in a process of another user, or else what is told then."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
            work()
            os.write(write, told()[:10_000])
        except BaseException as error:  # noqa: BLE001 (whatever it is, the test compares its name)
            os.write(write, type(error).__name__.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, encoding="latin-1", newline="") as names:
        return names.read()


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
