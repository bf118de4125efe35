"""A product server in its own processes, for end-to-end tests: start, stop, kill, start again on the same workspace."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from serving.access.files import read_key_file
from serving.brain import releasing
from serving.lifecycle import DEFAULT_APP, Listener, listeners, processes
from serving.settings import Workspace
from tests.serving.load import post
from tests.serving.workspaces import small_workspace

PROGRAM = [sys.executable, str(Path(__file__).with_name("run_server.py"))]
BRAIN = [sys.executable, str(Path(__file__).parents[2] / "brain.py")]


def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Wait for a condition; return whether it came to hold within so many seconds."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


class Server:
    """`brain serve` of one workspace. `url` and `port` stay the same over restarts."""

    def __init__(self, root: Path, app: str = DEFAULT_APP) -> None:
        self.root, self.app = root, app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self.run_id = ""
        self.started_s = self.stopped_s = 0.0
        (root / "brain.yaml").write_text(f"environment: test\nhttp: {{port: {self.port}}}\n")

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of one request on a connection of its own; (0, {}) if nobody answered."""
        status, _, answer = self.exchange(method, path, body)
        return status, answer

    def exchange(self, method: str, path: str, body: Any = None) -> tuple[int, str | None, dict[str, Any]]:
        """Return status, Retry-After and JSON of one request; (0, None, {}) if nobody answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            answer = connection.getresponse()
            return answer.status, answer.headers["Retry-After"], json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException):
            return 0, None, {}
        finally:
            connection.close()

    def brain(self, *arguments: str) -> dict[str, Any]:
        """Run `brain ARGUMENTS --workspace … --json` while the server runs; return the JSON."""
        command = [*BRAIN, *arguments, "--workspace", str(self.root), "--json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    @cached_property
    def key(self) -> str:
        """The workspace's admin key; empty for a folder that is no workspace."""
        return "" if not (self.root / "keys").exists() else read_key_file(Workspace.open(self.root), "admin")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request with the workspace's admin key."""
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: bytes, method: str = "POST") -> bytes:
        """Return the bytes of a request with the workspace's admin key, for the load generator."""
        return post(path, body, self.key, method)

    @property
    def output(self) -> str:
        """What the server wrote to its terminal, over all starts."""
        return (self.root / "stderr.txt").read_text()

    def command(self) -> list[str]:
        return [*PROGRAM, str(self.root), self.app]

    def start(self) -> None:
        """Start the server, and return once it says that it is ready."""
        began = time.monotonic()
        with (self.root / "stderr.txt").open("a") as errors:
            self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.strip() == self.url, f"did not start: {self.output}"
        self.run_id = json.loads((self.root / "data/run/serve.json").read_text())["run_id"]
        self.started_s = time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send SIGTERM as a service manager does, or SIGINT as Ctrl-C does; return the exit code."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.stopped_s = time.monotonic() - began
        return code

    def kill(self) -> None:
        """Kill every process of the run, as a power cut would; the supervisor first, which would clean up."""
        assert self.process is not None
        self.process.kill()
        assert processes.kill_all(self.run_id) == []
        self.process.wait()

    def pids(self, title: str = "") -> list[int]:
        """Return the processes of the run without the supervisor, whose titles start with `title`."""
        pids = processes.members(self.run_id)
        return [pid for pid in pids if _title(pid).startswith(title)]

    def listeners(self) -> list[Listener]:
        return listeners(self.run_id)


def product(root: Path) -> Server:
    """The product on a workspace with the small catalogue, released in the environment `test`; not started yet."""
    small_workspace(root)
    server = Server(root)
    releasing.release(Workspace.open(root), "test")
    return server


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    return ""
