"""`brain serve`: a supervisor that starts Ray in a child process, watches it from outside, and cleans up after it.

The supervisor never imports Ray, so that it reacts to signals at once. It stops a run in one way, whether it was asked
to, something failed, or a killed run left processes: HAProxy finishes the requests in progress, then every process with
the run's id is killed. Whatever was answered is committed; nothing else needs an orderly end. So a run that Ray cannot
mend is stopped like any other, and the next one is started after a pause.
"""

import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType

import serving
from decisioning.errors import Refused
from serving.access import tls
from serving.lifecycle import environment, logs, processes
from serving.lifecycle.haproxy_doors import HEALTH
from serving.lifecycle.learning import Learning
from serving.lifecycle.parts import Parts
from serving.lifecycle.ports import Intrusions, Ports, check_free, reserved
from serving.lifecycle.runs import LOCK, Running, clean_up, new_run, only_one, stop
from serving.settings import Http, Workspace

DEFAULT_APP = "serving.http.app:build"
START_LIMIT_S = 300.0  # 25 s on idle cores; more than 100 where both are busy
PATIENCE_S = 45.0
"""How long Ray may take to start a part again; twice as long as the whole server took to start, if that is more."""
FIRST_STARTS = 3
"""How often a server that never served is started; one that did is started again until it is stopped."""
PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Before the next start, after so many starts in a row that failed; the last holds for all further ones."""
BLOCKED_PAUSE_S = 5.0
"""The longest pause while a start cannot even be tried, as on a disk that is full or read-only: trying costs little."""
_LOOK_S = 1.0
_TICK_S = 0.25
_NOT_INHERITED = ("RAY_", "PROMETHEUS_MULTIPROC_DIR")
"""Feast sets the second in every process that imports it; then each count of a replica is written to a file."""

Say = Callable[[str], None]


def serve_forever(
    workspace: Workspace, *, on_ready: Callable[[Running], None], say: Say, app: str = DEFAULT_APP
) -> int:
    """Serve until SIGINT or SIGTERM (return 0), or until no restart can help (say why, return 1).

    Raises Refused if another run uses the workspace or another program the port. Call it in the main thread.

    :param app: a builder as `module:function`, called with `{"workspace": path}`; it returns a Ray Serve application
    """
    workspace.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_one(workspace.run / LOCK), _stop_signals() as stop_signals:
        clean_up(workspace)
        check_free(workspace.settings.http.host, workspace.settings.http.port)
        processes.adopt_orphans()
        return _keep_serving(workspace, app, _heard_or_not(say), stop_signals, on_ready)


def _heard_or_not(say: Say) -> Say:
    """Return a function that says a line, or nothing if it cannot be written: the disk of the output may be full."""

    def try_to_say(line: str) -> None:
        with suppress(OSError):
            say(line)

    return try_to_say


def _keep_serving(
    workspace: Workspace, app: str, say: Say, stop_signals: list[int], on_ready: Callable[[Running], None]
) -> int:
    """Start runs one after the other until asked to stop, or until another start cannot help; return the exit code."""
    ready: list[Running] = []

    def announce(run: Running) -> None:
        ready.append(run)
        if len(ready) == 1:
            on_ready(run)
        else:
            say("serving again")

    failures = 0
    while True:
        before, longest_s = len(ready), PAUSES_S[-1]
        try:
            end = _one_run(workspace, app, say, stop_signals, announce)
        except (Refused, OSError) as error:
            if not ready:
                raise
            say(f"the server could not start: {error}")
            end, longest_s = End.LOST, BLOCKED_PAUSE_S
        failures = 0 if len(ready) > before else failures + 1
        if end is End.STOPPED:
            return 0
        if not ready and (end is End.REFUSED or failures >= FIRST_STARTS):
            return 1
        _pause(min(longest_s, PAUSES_S[min(failures, len(PAUSES_S) - 1)]), say, stop_signals)


def _one_run(
    workspace: Workspace, app: str, say: Say, stop_signals: list[int], on_ready: Callable[[Running], None]
) -> "End":
    """Start the server and watch it until it ends; return how it ended.

    Raises Refused or OSError if it cannot even be tried.
    """
    with reserved(workspace.root) as ports:
        run = new_run(workspace)
        try:
            with processes.guarded(run.run_id):
                supervisor = _Supervisor(workspace, run, ports, app, say, stop_signals)
                end = supervisor.work(on_ready)
                if end is End.STOPPED:
                    say("stopping: requests in progress are finished first")
                return end
        finally:
            stop(workspace, run)


def _pause(seconds: float, say: Say, stop_signals: list[int]) -> None:
    say(f"starting the server again{f' in {seconds:.0f} s' if seconds else ''}")
    until = time.monotonic() + seconds
    while not stop_signals and time.monotonic() < until:
        time.sleep(_TICK_S)


class End(Enum):
    """How a run ended: STOPPED on request, REFUSED by the application or its settings, LOST for any other reason."""

    STOPPED, REFUSED, LOST = range(3)


class _Supervisor:
    """One run, from the start of its driver until it ends."""

    def __init__(
        self, workspace: Workspace, run: Running, ports: Ports, app: str, say: Say, stop_signals: list[int]
    ) -> None:
        self.workspace, self.run, self.say, self.stop_signals = workspace, run, say, stop_signals
        self.state, self.why = "waiting", ""
        self.log = workspace.run / "serve.log"
        self.reports, driver_end = os.pipe()
        self.driver = _start_driver(workspace, run, ports, app, driver_end)
        os.close(driver_end)
        assert self.driver.stdout is not None
        self.output = self.driver.stdout
        self.sources = [self.reports, self.output.fileno()]
        http = workspace.settings.http
        self.intrusions = Intrusions(run.run_id, ports, (http.host, http.port))

    def work(self, on_ready: Callable[[Running], None]) -> End:
        """Run until asked to stop or until the run cannot go on, which it says; return how it ended."""
        began_s = time.monotonic()
        try:
            if (end := self._wait_until_ready()) is not None:
                return end
            on_ready(self.run)
            return self._watch(max(PATIENCE_S, 2 * (time.monotonic() - began_s)))
        finally:
            os.close(self.reports)
            self.output.close()

    def _wait_until_ready(self) -> End | None:
        started = time.monotonic()
        with _progress(self.say) as show:
            while not self.stop_signals:
                waited = time.monotonic() - started
                show(waited)
                self._read_reports()
                if self.state == "running" and answers(self.workspace.settings.http):
                    return None
                if self.state == "failed":
                    return self._give_up("the server could not start", End.REFUSED)
                if intruder := self.intrusions.look():
                    self.why = intruder
                    return self._give_up("the server could not start", End.LOST)
                if self.driver.poll() is not None:
                    return self._give_up("the server could not start", End.LOST)
                if waited > START_LIMIT_S:
                    return self._give_up(f"the server was not ready within {START_LIMIT_S:.0f} s", End.LOST)
        return End.STOPPED

    def _watch(self, patience_s: float) -> End:
        """Watch every part until asked to stop, or until Ray cannot mend the run."""
        learning = Learning(self.workspace, {processes.RUN_ID: self.run.run_id})
        seen = _Seen(Parts.of(processes.titles(self.run.run_id), patience_s), time.monotonic())
        while not self.stop_signals:
            self._read_reports()
            learning.start_due()
            if lost := self._look(seen):
                return self._give_up(lost, End.LOST)
        return End.STOPPED

    def _look(self, seen: "_Seen") -> str:
        """Look whether requests are answered, and now and then at every part; return why the run is lost, if it is."""
        if self.driver.poll() is not None:
            return "the process that runs Ray ended"
        now_s = time.monotonic()
        if answers(self.workspace.settings.http):
            if seen.is_away:
                self.say(f"serving again after {now_s - seen.answered_s:.0f} s")
            seen.answered_s, seen.is_away = now_s, False
        elif not seen.is_away:
            seen.is_away = True
            self.say("the decision process is away; Ray is starting it again, requests get 503 meanwhile")
        if now_s - seen.answered_s > seen.parts.patience_s:
            return f"the decision process did not come back within {seen.parts.patience_s:.0f} s"
        if now_s < seen.next_look_s:
            return ""
        seen.next_look_s = now_s + _LOOK_S
        news, lost = seen.parts.look(processes.titles(self.run.run_id), now_s)
        for line in news:
            self.say(line)
        return lost

    def _read_reports(self, within_s: float = _TICK_S) -> None:
        """Wait for the driver's reports and its output for up to `within_s`; the output goes to the log."""
        if not self.sources:
            time.sleep(within_s)
        for source in select.select(self.sources, [], [], within_s)[0]:
            received = os.read(source, 1 << 20)
            if not received:
                self.sources.remove(source)
            elif source == self.output.fileno():
                logs.append(self.log, received)
            else:
                self._take(received)

    def _take(self, reports: bytes) -> None:
        for line in reports.splitlines():
            with suppress(ValueError):
                report = json.loads(line)
                self.state, self.why = report["state"], report["why"]

    def _give_up(self, what: str, end: End) -> End:
        """Say what failed in one line, and keep Ray's messages and logs for more details; return `end`."""
        self._read_reports(0.0)
        logs.append(self.log, f"\n{what}\n{self.why}\n".encode())
        ray_logs = self.workspace.run / "ray-logs"
        shutil.rmtree(ray_logs, ignore_errors=True)
        with suppress(OSError, shutil.Error):
            shutil.copytree(environment.ray_folder(Path(self.run.temp)) / "session_latest" / "logs", ray_logs)
        cause = _cause(self.why)
        self.say(f"{what}{f': {cause}' if cause else ''} (details: {self.log})")
        return end


@dataclass
class _Seen:
    """What a supervisor has seen of a run that was ready: when a request was last answered, and its parts."""

    parts: Parts
    answered_s: float
    is_away: bool = False
    next_look_s: float = 0.0


def answers(settings: Http) -> bool:
    """Tell whether a request reaches a replica now, by sending one as a client would."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    connection = (
        http.client.HTTPSConnection(host, settings.port, timeout=2, context=tls.unverified())
        if settings.tls
        else http.client.HTTPConnection(host, settings.port, timeout=2)
    )
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _start_driver(workspace: Workspace, run: Running, ports: Ports, app: str, report: int) -> subprocess.Popen[bytes]:
    """Start the driver in a session of its own, so that Ctrl-C in the terminal reaches the supervisor only."""
    code = str(Path(serving.__file__).parents[1])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
    path = os.pathsep.join(filter(None, [code, inherited.get("PYTHONPATH")]))
    variables = environment.for_serving(workspace, run.run_id, Path(run.temp), ports)
    arguments = [str(workspace.root), app, run.temp, str(ports.agent), str(report)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "serving.lifecycle.driver", *arguments],
        env={**inherited, "PYTHONPATH": path, **variables},
        cwd=workspace.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[report],
        start_new_session=True,
    )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yield a list that is empty until SIGINT, SIGTERM or SIGHUP comes."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(say: Say) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows the seconds waited: in one line on a terminal, in a single plain line elsewhere."""
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
    """Return the message of a traceback's last error without its class, or else the last line."""
    errors = re.findall(r"^(?:\w+\.)*[A-Z]\w+: (.+)$", why, re.MULTILINE)
    return (errors or why.strip().splitlines() or [""])[-1].strip()
