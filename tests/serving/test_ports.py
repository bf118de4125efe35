"""The ports of a run: two runs never take the same ones, and a port that is taken is told with its holder."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from decisioning.errors import Refused
from serving.lifecycle import ports, processes
from serving.lifecycle.ports import LOOPBACK, Intrusions, Ports, check_free, is_free, reserved
from tests.serving.server import free_port

RUN = "0" * 32
LISTEN = "import socket, time; s = socket.create_server(('{host}', {port})); print('on', flush=True); time.sleep(60)"


@pytest.fixture(scope="module")
def taken() -> Iterator[Ports]:
    with reserved(Path("/nowhere/but/here")) as block:
        yield block


def program(host: str, port: int, run: str | None = None) -> subprocess.Popen[str]:
    """A program that listens, as a process of the run if that is given."""
    marked = {**os.environ, **({processes.RUN_ID: run} if run else {})}
    code = LISTEN.format(host=host, port=port)
    child = subprocess.Popen([sys.executable, "-S", "-c", code], env=marked, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "on\n"
    return child


def end(*children: subprocess.Popen[str]) -> None:
    for child in children:
        child.kill()
        child.communicate()


def test_a_workspace_keeps_its_ports_until_another_program_takes_one(tmp_path: Path) -> None:
    with reserved(tmp_path) as first:
        pass
    with reserved(tmp_path) as again:
        assert again == first
    with socket.create_server((LOOPBACK, first.stats)), reserved(tmp_path) as other:
        assert not other.all & first.all


def test_workspaces_have_different_ports(tmp_path: Path) -> None:
    starts = set()
    for i in range(20):
        with reserved(tmp_path / str(i)) as block:
            starts.add(block.stats)
    assert len(starts) > 15


@pytest.mark.promise("serving.second-workspace")
def test_two_runs_whose_folders_lead_to_the_same_ports_take_different_ones_before_either_listens(
    tmp_path: Path,
) -> None:
    """The same folder twice is the worst collision that there can be: `brain batch` beside `brain serve`."""
    with reserved(tmp_path) as first, reserved(tmp_path) as second, reserved(tmp_path) as third:
        assert not first.all & second.all
        assert not (first.all | second.all) & third.all
    with reserved(tmp_path) as again:
        assert again == first


def test_the_last_block_ends_below_the_ports_of_the_kernel() -> None:
    assert ports.FIRST_PORT + ports.BLOCKS * ports.BLOCK < 32768


def test_without_a_free_block_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "BLOCKS", 1)
    with reserved(tmp_path), pytest.raises(Refused, match=r"no 24 free ports .*: stop programs"), reserved(tmp_path):
        pass


def test_a_host_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(Refused, match=r"cannot listen on 192\.0\.2\.77: .*http\.host"):
        is_free("192.0.2.77", free_port())


@pytest.mark.promise("serving.starts")
def test_a_taken_port_names_the_program_and_its_process() -> None:
    port = free_port()
    other = program(LOOPBACK, port)
    try:
        with pytest.raises(
            Refused,
            match=rf"port {port} on .* \(python\S*, process {other.pid}\); stop it, or take another one with --port",
        ):
            check_free(LOOPBACK, port)
    finally:
        end(other)
    check_free(LOOPBACK, port)


@pytest.mark.promise("serving.starts")
def test_a_port_that_another_program_takes_during_the_start_is_told_with_its_program(taken: Ports) -> None:
    watched = Intrusions(RUN, taken, (LOOPBACK, free_port()))
    assert watched.look() == ""
    own, other = program(LOOPBACK, taken.stats, RUN), program(LOOPBACK, taken.metrics)
    try:
        assert watched.look() == ""  # a process that ends is seen once like this
        told = f"port {taken.metrics} was taken by another program ({Path(sys.executable).name}, process {other.pid})"
        assert watched.look() == f"{told} during the start"
    finally:
        end(own, other)
    assert watched.look() == ""


@pytest.mark.promise("serving.starts")
def test_a_connection_from_a_port_of_the_run_is_told_too(taken: Ports) -> None:
    """The kernel may give a port above 32768, as that of requests may be, to any program that opens a connection."""
    port = free_port()
    watched = Intrusions(RUN, taken, (LOOPBACK, port))
    with socket.create_server((LOOPBACK, 0)) as server, socket.socket() as client:
        client.bind((LOOPBACK, port))
        client.connect(server.getsockname())
        assert not is_free(LOOPBACK, port)
        assert [watched.look(), watched.look().startswith(f"port {port} was taken by another program")] == ["", True]


def test_a_program_on_the_port_of_requests_of_another_host_is_none_of_our_business(taken: Ports) -> None:
    port = free_port()
    watched = Intrusions(RUN, taken, (LOOPBACK, port))
    with socket.create_server(("127.0.0.2", port)):
        assert [watched.look(), watched.look()] == ["", ""]
    with socket.create_server(("0.0.0.0", port)):
        assert [bool(watched.look()), bool(watched.look())] == [False, True]


@pytest.mark.promise("serving.supervisor-killed")
def test_what_a_run_left_ends_as_soon_as_its_supervisor_is_killed() -> None:
    """The witness of the kill of a whole server in test_starts.py: the guard sees that the supervisor is gone."""
    code = (
        "import sys, time; from serving.lifecycle import processes\n"
        f"with processes.guarded('{RUN}'): print('on', flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "on\n"
    left = program(LOOPBACK, free_port(), RUN)
    assert processes.members(RUN) == [left.pid]
    supervisor.kill()
    assert left.wait(timeout=10) == -9
    deadline = time.monotonic() + 10
    while guards() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert guards() == []
    end(supervisor, left)


def test_the_guard_of_a_run_that_ends_as_it_should_ends_with_it() -> None:
    with processes.guarded(RUN):
        deadline = time.monotonic() + 10
        while not guards() and time.monotonic() < deadline:
            time.sleep(0.02)  # the kernel shows a process's arguments a moment after it runs
        assert processes.kill_all(RUN) == []
        assert len(guards()) == 1, "a run may be started again beside it"
    assert guards() == []


def guards() -> list[int]:
    """Return the processes that guard the run, which are named by their arguments."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in processes.all_pids()}
    return [pid for pid, command in commands.items() if command.exists() and RUN.encode() in command.read_bytes()[-40:]]
