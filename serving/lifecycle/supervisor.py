"""`brain serve`: one supervisor that starts Ray in a child, watches it from outside, and leaves nothing behind.

The supervisor never imports Ray, so that signals are answered at once. Stopping is the same whether it was asked for,
something failed, or a killed run left processes: let HAProxy finish the requests that are inside, then kill every
process that carries the run's id. What was answered is committed; nothing else needs an orderly end.
"""

import fcntl
import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import serving
from decisioning.errors import Refused
from serving.lifecycle import environment, processes
from serving.lifecycle.learning import Learning
from serving.settings import Http, Workspace

DEFAULT_APP = "serving.http.app:build"
START_LIMIT_S = 180.0  # 25 s on idle cores; more than 100 where both are busy
AWAY_LIMIT_S = 30.0
_TICK_S = 0.25
_DRAIN_S = 1.0
_SHORT_TEMP = 14  # characters: sockets' paths below it may have 97

Say = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """A run, as `run/serve.json` keeps it. `url` ends without a slash."""

    url: str
    run_id: str
    pid: int
    temp: str


def serve_forever(
    workspace: Workspace, *, on_ready: Callable[[Running], None], say: Say, app: str = DEFAULT_APP
) -> int:
    """Serve until SIGINT or SIGTERM (returns 0), or until it cannot go on (says why, returns 1).

    `app` names a builder as `module:function`, called with `{"workspace": path}`, returning a Ray Serve application.
    Raises Refused where another run holds the workspace or another program the port. Main thread only.
    """
    workspace.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(workspace.run / "lock"), _stop_signals() as asked:
        clean_up(workspace)
        door = workspace.settings.http
        if not environment.is_free(door.host, door.port):
            raise Refused(
                f"port {door.port} on {door.host} is in use by another program; stop it, or set http.port in brain.yaml"
            )
        processes.adopt_orphans()
        run = _new_run(workspace)
        try:
            return _Supervisor(workspace, run, app, say, asked).work(on_ready)
        finally:
            _stop(workspace, run)


def clean_up(workspace: Workspace) -> None:
    """Kill what an earlier run of this workspace left, and remove its temporary folder. Nothing else is touched."""
    record = workspace.run / "serve.json"
    try:
        old = Running(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return
    if left := processes.kill_all(old.run_id):
        raise Refused(f"processes of an earlier run cannot be stopped: {', '.join(map(str, left))}")
    _forget(workspace, old)


class _Supervisor:
    """One run, from the start of its driver to the reason it ends."""

    def __init__(self, workspace: Workspace, run: Running, app: str, say: Say, asked: list[int]) -> None:
        self.workspace, self.run, self.say, self.asked = workspace, run, say, asked
        self.state, self.why = "waiting", ""
        self.log = workspace.run / "serve.log"
        ours, theirs = os.pipe()
        self.reports = ours
        self.driver = _start_driver(workspace, run, app, self.log, theirs)
        os.close(theirs)

    def work(self, on_ready: Callable[[Running], None]) -> int:
        """Exit code."""
        if not self._started():
            return 0 if self.asked else 1
        on_ready(self.run)
        return self._stay()

    def _started(self) -> bool:
        began = time.monotonic()
        with _progress(self.say) as show:
            while not self.asked:
                waited = time.monotonic() - began
                show(waited)
                self._listen()
                if self.state == "running" and answers(self.workspace.settings.http):
                    return True
                if self.state == "failed" or self.driver.poll() is not None:
                    return self._give_up("the server could not start")
                if waited > START_LIMIT_S:
                    return self._give_up(f"the server was not ready within {START_LIMIT_S:.0f} s")
        return False

    def _stay(self) -> int:
        """Until asked to stop, or away for too long: Ray replaces a replica that died, which takes seconds."""
        last_seen = time.monotonic()
        away = False
        learning = Learning(self.workspace, {processes.RUN_ID: self.run.run_id})
        while not self.asked:
            self._listen()
            learning.look()
            if self.driver.poll() is not None:
                self._give_up("the process that runs Ray ended")
                return 1
            if answers(self.workspace.settings.http):
                if away:
                    self.say(f"serving again after {time.monotonic() - last_seen:.0f} s")
                last_seen, away = time.monotonic(), False
            elif not away:
                away = True
                self.say("the decision process is away; Ray is starting it again, requests get 503 meanwhile")
            if time.monotonic() - last_seen > AWAY_LIMIT_S:
                self._give_up(f"the decision process did not come back within {AWAY_LIMIT_S:.0f} s")
                return 1
        return 0

    def _listen(self) -> None:
        """Take the driver's reports for one tick."""
        if not select.select([self.reports], [], [], _TICK_S)[0]:
            return
        received = os.read(self.reports, 1 << 20)
        if not received:
            time.sleep(_TICK_S)
        for line in received.splitlines():
            with suppress(ValueError):
                report = json.loads(line)
                self.state, self.why = report["state"], report["why"]

    def _give_up(self, what: str) -> bool:
        """Say it in one line; keep Ray's own many lines, and its logs, for whoever wants to know more."""
        with self.log.open("a") as log:
            log.write(f"\n{what}\n{self.why}\n")
        ray_logs = self.workspace.run / "ray-logs"
        shutil.rmtree(ray_logs, ignore_errors=True)
        with suppress(OSError, shutil.Error):
            shutil.copytree(Path(self.run.temp) / "session_latest" / "logs", ray_logs)
        cause = _cause(self.why)
        self.say(f"{what}{f': {cause}' if cause else ''} (details: {self.log})")
        return False


def answers(door: Http) -> bool:
    """Whether a request would reach a replica now: asked through the door, as a client would."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(door.host, door.host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(host, door.port, timeout=2)
    try:
        connection.request("GET", "/-/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _start_driver(workspace: Workspace, run: Running, app: str, log: Path, report: int) -> subprocess.Popen[bytes]:
    """Its own session: Ctrl-C in the terminal is the supervisor's alone."""
    code = str(Path(serving.__file__).parents[1])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    path = os.pathsep.join(filter(None, [code, inherited.get("PYTHONPATH")]))
    told = environment.for_serving(workspace, run.run_id, Path(run.temp))
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "serving.lifecycle.driver", str(workspace.root), app, run.temp, str(report)],
            env={**inherited, "PYTHONPATH": path, **told},
            cwd=workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[report],
            start_new_session=True,
        )


def _new_run(workspace: Workspace) -> Running:
    door = workspace.settings.http
    base = tempfile.gettempdir()
    temp = tempfile.mkdtemp(prefix="brain-", dir=base if len(base) <= _SHORT_TEMP else "/tmp")  # noqa: S108 - 0700
    host = f"[{door.host}]" if ":" in door.host else door.host
    run = Running(f"http://{host}:{door.port}", uuid.uuid4().hex, os.getpid(), temp)
    shutil.rmtree(workspace.run / "logs", ignore_errors=True)
    (workspace.run / "serve.json").write_text(json.dumps(asdict(run)))
    return run


def _stop(workspace: Workspace, run: Running) -> None:
    doors = processes.named(processes.members(run.run_id), "haproxy")
    processes.send(run.run_id, doors, signal.SIGUSR1)
    deadline = time.monotonic() + _DRAIN_S
    while time.monotonic() < deadline and processes.named(processes.members(run.run_id), "haproxy"):
        time.sleep(0.05)
    processes.kill_all(run.run_id)
    _forget(workspace, run)


def _forget(workspace: Workspace, run: Running) -> None:
    if Path(run.temp).name.startswith("brain-"):
        shutil.rmtree(run.temp, ignore_errors=True)
    (workspace.run / "serve.json").unlink(missing_ok=True)


@contextmanager
def _only_one(file: Path) -> Iterator[None]:
    """The kernel frees the lock when the process ends, however it ends."""
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused("brain serve is already running for this workspace; stop it first") from error
        yield


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGINT, SIGTERM or SIGHUP comes."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(say: Say) -> Iterator[Callable[[float], None]]:
    """One line that counts seconds on a terminal; a single plain line elsewhere."""
    if not sys.stderr.isatty():
        say("starting…")
        yield lambda _: None
        return

    def show(waited_s: float) -> None:
        sys.stderr.write(f"\rstarting… {waited_s:.0f} s ")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")


def _cause(why: str) -> str:
    """What the last error of a traceback says, without its class; else the last line there is."""
    errors = re.findall(r"^(?:\w+\.)*[A-Z]\w+: (.+)$", why, re.MULTILINE)
    return (errors or why.strip().splitlines() or [""])[-1].strip()
