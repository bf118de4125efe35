"""The ports of a run: a block that no other run uses, and who has taken one of them.

The block follows from the workspace's folder, so that it stays the same over restarts. The run keeps the first port of
the block bound without listening on it. So of two runs that would choose the same block, one takes the next.
"""

import errno
import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from decisioning.errors import Refused
from serving.lifecycle import processes

REPLICA_PORTS = 16
_OTHER_PORTS = 8
BLOCK = _OTHER_PORTS + REPLICA_PORTS
FIRST_PORT, BLOCKS = 20_000, 530  # below the ports the kernel hands out by itself (32768 up)
LOOPBACK = "127.0.0.1"
_EVERY_HOST = ("0.0.0.0", "::", "::ffff:0.0.0.0")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Ports:
    """The ports of one run; the first one of its block is bound as long as the run is there."""

    autoscaler: int
    dashboard: int
    fallback_http: int
    fallback_grpc: int
    stats: int
    metrics: int
    agent: int
    replicas: range

    @classmethod
    def of(cls, block: range) -> "Ports":
        """Return the ports by what they are for."""
        _reserved, autoscaler, dashboard, http, grpc, stats, metrics, agent = block[:_OTHER_PORTS]
        return cls(autoscaler, dashboard, http, grpc, stats, metrics, agent, block[_OTHER_PORTS:])

    @property
    def all(self) -> frozenset[int]:
        """Every port that a part of the run may listen on."""
        return frozenset(range(self.autoscaler, self.replicas.stop))


@contextmanager
def reserved(root: Path) -> Iterator[Ports]:
    """Yield consecutive free ports for a run of the workspace at `root`, which no other run takes meanwhile.

    They are the same ones every time, unless another program uses one. Raises Refused if there are none.
    """
    start = zlib.crc32(os.fsencode(root))
    for i in range(BLOCKS):
        first = FIRST_PORT + (start + i) % BLOCKS * BLOCK
        block = range(first, first + BLOCK)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reservation:
            try:
                reservation.bind((LOOPBACK, first))
            except OSError:
                continue
            if all(is_free(LOOPBACK, port) for port in block[1:]):
                yield Ports.of(block)
                return
    last = FIRST_PORT + BLOCKS * BLOCK - 1
    raise Refused(
        f"no {BLOCK} free ports in a row from {FIRST_PORT} to {last}: stop programs that listen there "
        f"(ss -ltnp lists them)"
    )


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could bind (host, port) now; raises Refused for a host that this machine does not have."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise Refused(
                f"port {port} needs administrator rights; set http.port in brain.yaml to 1024 or above"
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise Refused(f"cannot listen on {host}: {error.strerror}; set http.host in brain.yaml") from error
    return True


def check_free(host: str, port: int) -> None:
    """Raise Refused if requests cannot come in at (host, port), with the program that listens there."""
    if not is_free(host, port):
        raise Refused(f"port {port} on {host} is in use by {_holder(port)}; stop it, or take another one with --port")


@dataclass
class Intrusions:
    """Looks for ports of a run that another program took after they were free.

    :param requests: host and port at which requests come in
    """

    run_id: str
    ports: Ports
    requests: tuple[str, int]
    _known: set[str] = field(default_factory=set)
    _suspects: set[str] = field(default_factory=set)

    def look(self) -> str:
        """Return which port another program has, and which program; empty if there is none.

        A process that ends may still hold a socket and no longer name its run: so it takes two looks.
        """
        host, port = self.requests
        sockets = processes.holding(self.ports.all | {port})
        strangers = {inode: place for inode, place in sockets.items() if inode not in self._known}
        if not strangers:
            return ""
        ours = processes.owners(strangers, processes.members(self.run_id))
        places = {(one.host, one.port) for one in ours}
        self._known |= {inode for inode, place in strangers.items() if place in places}
        clashing = {
            inode: at_port
            for inode, (at, at_port) in strangers.items()
            if inode not in self._known and _clash(at, host if at_port == port else LOOPBACK)
        }
        twice = min((at_port for inode, at_port in clashing.items() if inode in self._suspects), default=0)
        self._suspects = set(clashing)
        return f"port {twice} was taken by {_holder(twice)} during the start" if twice else ""


def _clash(one: str, other: str) -> bool:
    """Tell whether two sockets cannot listen on the same port of these hosts."""
    return one == other or one in _EVERY_HOST or other in _EVERY_HOST


def _holder(port: int) -> str:
    """Return who has a port; without rights over the process, only that it is another program."""
    holders = processes.owners(processes.holding({port}), processes.all_pids())
    return "another program" + (f" ({holders[0].process}, process {holders[0].pid})" if holders else "")
