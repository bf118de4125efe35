"""A product server in its own processes, for end-to-end tests: start, stop, kill, start again on the same workspace."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from serving.lifecycle import Listener, listeners, processes

PROGRAM = [sys.executable, str(Path(__file__).with_name("run_server.py"))]
START_LIMIT_S = 180.0


class Server:
    """`brain serve` of one workspace. `url` and `port` stay the same over restarts."""

    def __init__(self, root: Path, app: str) -> None:
        self.root, self.app = root, app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self.run_id = ""
        self.started_s = self.stopped_s = 0.0
        (root / "brain.yaml").write_text(f"http: {{port: {self.port}}}\n")

    @property
    def said(self) -> str:
        """What it wrote to its terminal, over all starts."""
        return (self.root / "stderr.txt").read_text()

    def command(self) -> list[str]:
        return [*PROGRAM, str(self.root), self.app]

    def start(self) -> None:
        """Returns once it says that it is ready."""
        began = time.monotonic()
        with (self.root / "stderr.txt").open("a") as errors:
            self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.strip() == self.url, f"did not start: {self.said}"
        self.run_id = json.loads((self.root / "data/run/serve.json").read_text())["run_id"]
        self.started_s = time.monotonic() - began

    def stop(self) -> int:
        """SIGTERM, as a service manager sends it; the exit code."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        code = self.process.wait(timeout=30)
        self.stopped_s = time.monotonic() - began
        return code

    def kill_supervisor(self) -> None:
        """SIGKILL to the one process that would tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """SIGKILL to every process of the run, as a power cut would."""
        pids = self.pids()
        self.kill_supervisor()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self, title: str = "") -> list[int]:
        """Processes of the run, but for the supervisor; those that call themselves `title…`."""
        pids = processes.members(self.run_id)
        return [pid for pid in pids if _title(pid).startswith(title)]

    def listeners(self) -> list[Listener]:
        return listeners(self.run_id)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    return ""
