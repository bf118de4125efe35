"""Find and stop the processes of a run: all carry its id in their environment, whoever their parent is now.

They are read from /proc on Linux. Elsewhere there is no /proc, nothing is found, and stopping falls back on the process
group.

Run by its path as a program, this file is the guard of a run (see `guarded`), so it imports the standard library only.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

RUN_ID = "BRAIN_RUN_ID"
"""The environment variable that marks every process of a run. (setproctitle would overwrite it: see SPT_NOENV.)"""

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TCP_LISTEN = "0A"
_NO_INODE = "0"
_GUARD_S = 30.0  # processes that just start are found as soon as they have the mark


class Listener(NamedTuple):
    """A TCP port that a process listens on; `host` is `::` or `0.0.0.0` for all interfaces."""

    pid: int
    host: str
    port: int
    process: str

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach the port."""
        return self.host.removeprefix("::ffff:").startswith("127.") or self.host == "::1"


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since the machine did; 0 if there is none, or no /proc.

    A pid with its start names one process, whoever gets the pid later.
    """
    with suppress(OSError, ValueError, IndexError):
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    return 0


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they can be waited for (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends, however it ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def members(run_id: str) -> list[int]:
    """Return the pids of all live processes of a run, except this one."""
    return [pid for pid in all_pids() if pid != os.getpid() and _belongs(pid, run_id)]


def send(run_id: str, pids: list[int], number: int) -> None:
    """Send a signal to processes of a run, but not to a pid that another process has got meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            handle = os.pidfd_open(pid)
            try:
                if _belongs(pid, run_id):
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)


def kill_all(run_id: str, within_s: float = 3.0) -> list[int]:
    """Kill every process of a run, including those that start meanwhile; return the pids left when time is up."""
    deadline = time.monotonic() + within_s
    while left := members(run_id):
        if time.monotonic() > deadline:
            break
        send(run_id, left, signal.SIGKILL)
        reap()
        time.sleep(0.02)
    return left


@contextmanager
def guarded(run_id: str) -> Iterator[None]:
    """Keep a process beside this one that kills every process of a run as soon as this one ends, however it ends.

    It is none of the run itself, so that a run may be ended and started again beside it.
    """
    command = [sys.executable, "-I", "-S", str(Path(__file__)), run_id]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def reap() -> None:
    """Collect ended children, including adopted ones, so that none stays as a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def named(pids: list[int], name: str) -> list[int]:
    """Return those of `pids` whose program file is called `name`."""
    return [pid for pid in pids if _program(pid) == name]


def titles(run_id: str) -> list[str]:
    """Return the title of every live process of a run, except this one."""
    return [_title(pid) for pid in members(run_id)]


def listeners(run_id: str) -> list[Listener]:
    """Return every TCP port that the processes of a run listen on, sorted."""
    return owners(listening(), members(run_id))


def listening() -> dict[str, tuple[str, int]]:
    """Return the inode of every socket that listens -> (host, port)."""
    return {
        inode: place for table in ("tcp", "tcp6") for inode, state, place in _sockets(table) if state == _TCP_LISTEN
    }


def holding(ports: Container[int]) -> dict[str, tuple[str, int]]:
    """Return the inode of every socket at one of these ports -> (host, port): those that listen, and connections.

    A connection that a program opened from such a port keeps others from listening there.
    """
    return {inode: place for table in ("tcp", "tcp6") for inode, _, place in _sockets(table) if place[1] in ports}


def owners(sockets: Mapping[str, tuple[str, int]], pids: Iterable[int]) -> list[Listener]:
    """Return which of the processes has which of the listening sockets, sorted."""
    held = [(pid, inode) for pid in pids for inode in _socket_inodes(pid) if inode in sockets]
    return sorted({Listener(pid, *sockets[inode], _title(pid)) for pid, inode in held})


def all_pids() -> list[int]:
    """Return the pids of all processes of the machine; empty if there is no /proc."""
    return [int(entry.name) for entry in _PROC.glob("[0-9]*")]


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _belongs(pid: int, run_id: str) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{RUN_ID}={run_id}".encode() in environment.split(b"\0")


def _program(pid: int) -> str:
    with suppress(OSError):
        return (_PROC / str(pid) / "exe").readlink().name
    return ""


def _title(pid: int) -> str:
    """Return the title that the process gave itself, such as `ray::ServeController`, or its program's name."""
    with suppress(OSError):
        first = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        return first.rsplit("/", 1)[-1].strip()
    return ""


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    with suppress(OSError):
        for handle in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                target = os.readlink(handle)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    return inodes


def _sockets(table: str) -> Iterator[tuple[str, str, tuple[str, int]]]:
    """Yield (inode, state, (host, port)) of the sockets in /proc/net that a process still has."""
    try:
        lines = (_PROC / "net" / table).read_text().splitlines()[1:]
    except OSError:
        return
    for fields in map(str.split, lines):
        if fields[9] != _NO_INODE:
            address, port = fields[1].split(":")
            yield fields[9], fields[3], (_host(address), int(port, 16))


def _host(address: str) -> str:
    """Return the address as text; /proc/net writes it as 32-bit words in the machine's byte order."""
    words = [bytes.fromhex(address[i : i + 8]) for i in range(0, len(address), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _guard() -> None:
    """Wait until the process that holds the other end of standard input is gone, then kill the run."""
    while os.read(0, 1):
        pass
    kill_all(sys.argv[1], within_s=_GUARD_S)


if __name__ == "__main__":
    _guard()
