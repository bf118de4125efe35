"""The real server from outside: where it listens, one per workspace, and how a replica is replaced."""

import json
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serving.other_user import as_nobody, reached
from tests.serving.server import Server, until

pytestmark = pytest.mark.server

RAY_METHODS = (
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.autoscaler.AutoscalerStateService/GetClusterStatus",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/ShutdownRaylet",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.serve.ASGIService/HandleRequest",
)


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
        assert _called(listener.port, "/ray.serve.ASGIService/HandleRequest") == "UNAUTHENTICATED"


@pytest.mark.promise("keys.private-files")
def test_another_user_reaches_no_file_and_no_socket_of_a_run(server: Server) -> None:
    """HAProxy's socket may change where requests go, and Ray lets everyone write into its own folder.

    Of a workspace in a folder that others may enter they read the catalogue, and what this test writes itself.
    """
    temp = Path(json.loads((server.root / "data/run/serve.json").read_text())["temp"])
    sockets = [path for path in temp.rglob("*") if path.is_socket()]
    assert {"admin.sock", "raylet", "plasma_store"} <= {path.name for path in sockets}
    assert {"haproxy.cfg", "ray-token"} <= {path.name for path in temp.rglob("*")}
    assert [folder.stat().st_mode & 0o777 for folder in (temp, server.root)] == [0o700] * 2
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    assert as_nobody(lambda: [_connect(path) for path in sockets]) == "PermissionError"
    assert as_nobody(lambda: os.listdir(temp)) == "PermissionError"
    server.root.chmod(0o755)
    found = reached(server.root)
    server.root.chmod(0o700)
    expected = {str(path.relative_to(server.root)) for path in (server.root / "catalogue").rglob("*")}
    assert found == dict.fromkeys({"catalogue", "stderr.txt", *expected}, "read")


@pytest.mark.promise("keys.private-files")
def test_another_user_gets_no_memory_and_no_settings_of_a_process_of_a_run(server: Server) -> None:
    """The environment names the token's file; an abstract socket would have no folder that closes it."""
    pids = server.pids()
    assert len(pids) > 5
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    for pid in pids:
        for private in ("environ", "mem", "maps", "fd/0"):
            assert as_nobody(lambda path=f"/proc/{pid}/{private}": os.open(path, os.O_RDONLY)) == "PermissionError"
    listening = Path("/proc/net/unix").read_text().splitlines()
    own = {str(os.stat(f"/proc/{pid}/fd/{fd}").st_ino) for pid in pids for fd in _descriptors(pid)}
    names = [line.split()[7] for line in listening if len(line.split()) > 7 and line.split()[6] in own]
    assert names
    assert not [name for name in names if name.startswith("@")]


def _descriptors(pid: int) -> list[str]:
    with suppress(OSError):
        return [fd for fd in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")]
    return []


@pytest.mark.promise("keys.private-files")
def test_another_user_can_call_no_method_of_ray(server: Server) -> None:
    """Methods that tell, change or end something, of each kind of Ray's servers, on every port of the run."""
    ports = {listener.port for listener in server.listeners()} - {server.port}
    told = {method: {_called(port, method) for port in ports} for method in RAY_METHODS}
    assert {method: codes for method, codes in told.items() if "UNAUTHENTICATED" not in codes or "OK" in codes} == {}


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

    return as_nobody(ask, lambda: answer).encode("latin-1")


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def _called(port: int, method: str) -> str:
    """Return what a port answers to a call of a method without Ray's token: `OK`, or the name of an error."""
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(method)(b"", timeout=5)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_a_second_serve_of_the_same_workspace_is_refused(server: Server) -> None:
    second = subprocess.run(server.command(), capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert second.stderr.strip() == "brain serve is already running for this workspace; stop it first"
    assert _status(server) == 200
