"""The record of a run of `brain serve`: who started it and where its temporary folder is; and how a run is ended.

A run is ended in one way, whether it was asked to, something failed, or a killed run left processes: HAProxy finishes
the requests in progress, then every process with the run's id is killed.
"""

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from decisioning.errors import Refused
from serving.lifecycle import processes
from serving.settings import Workspace

_DRAIN_S = 1.0
LOCK = "lock"
RECORD = "serve.json"
"""The file in a workspace's `data/run` that holds its run."""
MARK = "brain-run"
"""The file in a run's temporary folder that holds its id."""
_SHORT_TEMP = 10  # characters: sockets' paths below it may have 97


@dataclass(frozen=True)
class Running:
    """A run, as stored in `run/serve.json`; `url` ends without a slash.

    The run is one of the workspace whose lock has this device and inode: a copy of the workspace has a lock of its own,
    and a copy of the file. `started` is when the supervisor's process did (`processes.started`).
    """

    url: str
    run_id: str
    pid: int
    temp: str
    started: int
    lock_device: int
    lock_inode: int

    def is_of(self, workspace: Workspace) -> bool:
        """Tell whether this workspace's supervisor, and no other's, started the run, and is gone."""
        try:
            lock = (workspace.run / LOCK).stat()
        except OSError:
            return False
        is_gone = self.started == 0 or processes.started(self.pid) != self.started
        return is_gone and (self.lock_device, self.lock_inode) == (lock.st_dev, lock.st_ino)


def clean_up(workspace: Workspace) -> None:
    """Kill the processes of an earlier run of this workspace, and remove its temporary folder; touch nothing else.

    The lock must be held. Raises Refused if a process cannot be stopped.
    """
    record = workspace.run / RECORD
    try:
        old = Running(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return
    if not old.is_of(workspace):
        record.unlink()
        return
    if left := processes.kill_all(old.run_id):
        raise Refused(f"processes of an earlier run cannot be stopped: {', '.join(map(str, left))}")
    _forget(workspace, old)


def new_run(workspace: Workspace) -> Running:
    """Make the temporary folder of a run that starts now, and store the run in `run/serve.json`."""
    settings = workspace.settings.http
    base = tempfile.gettempdir()
    temp = tempfile.mkdtemp(prefix="brain-", dir=base if len(base) <= _SHORT_TEMP else "/tmp")  # noqa: S108 - 0700
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lock = (workspace.run / LOCK).stat()
    pid = os.getpid()
    url = f"{'https' if settings.tls else 'http'}://{host}:{settings.port}"
    run = Running(url, uuid.uuid4().hex, pid, temp, processes.started(pid), lock.st_dev, lock.st_ino)
    try:
        (Path(temp) / MARK).write_text(run.run_id)
        (workspace.run / RECORD).write_text(json.dumps(asdict(run)))
    except OSError:
        shutil.rmtree(temp, ignore_errors=True)
        raise
    shutil.rmtree(workspace.run / "logs", ignore_errors=True)
    return run


def running_url(workspace: Workspace) -> str:
    """Return the URL of the server that runs for this workspace now; raises Refused if none does."""
    try:
        run = Running(**json.loads((workspace.run / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        run = None
    if run is None or processes.started(run.pid) != run.started:
        raise Refused(f"no server runs for this workspace; start it with: brain serve --workspace {workspace.root}")
    return run.url


def stop(workspace: Workspace, run: Running) -> None:
    """End every process of a run, and remove its temporary folder and its record."""
    proxies = processes.named(processes.members(run.run_id), "haproxy")
    processes.send(run.run_id, proxies, signal.SIGUSR1)
    deadline = time.monotonic() + _DRAIN_S
    while time.monotonic() < deadline and processes.named(processes.members(run.run_id), "haproxy"):
        time.sleep(0.05)
    processes.kill_all(run.run_id)
    _forget(workspace, run)


def _forget(workspace: Workspace, run: Running) -> None:
    with suppress(OSError):
        if (Path(run.temp) / MARK).read_text() == run.run_id:
            shutil.rmtree(run.temp, ignore_errors=True)
    with suppress(OSError):
        (workspace.run / RECORD).unlink()


@contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Hold the workspace's lock, which the kernel frees when the process ends; raises Refused if another run has it."""
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused("brain serve is already running for this workspace; stop it first") from error
        yield
