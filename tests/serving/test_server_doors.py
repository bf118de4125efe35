"""The real server with clients that send slowly, guess keys or ask too often: decisions are answered all the same."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from serving.access.files import read_key_file
from serving.lifecycle import processes
from serving.settings import Workspace
from tests.serving.load import Load, closed_loop, once, post
from tests.serving.server import Server, until
from tests.serving.test_server_load import asking, customers

pytestmark = pytest.mark.server

__all__ = ["customers"]
SLOW_CLIENTS = 300
HEAD = b"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WRONG_KEYS_PER_S = 1_000


class Dripping:
    """Clients that send a byte every so often: one third in their headers, one after 1 byte of a body, one after 20 kB.

    A client whose connection is closed comes back.
    """

    def __init__(self, server: Server, every_s: float) -> None:
        self.server, self.every_s = server, every_s
        self.sending, self.done = 0, Event()
        self._thread = Thread(target=lambda: asyncio.run(self._drip()))

    def __enter__(self) -> "Dripping":
        self._thread.start()
        while self.sending < SLOW_CLIENTS and self._thread.is_alive():
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._thread.join()

    async def _drip(self) -> None:
        body = HEAD + f"Authorization: Bearer {self.server.key}\r\nContent-Length: 40000\r\n\r\n".encode()
        starts = (HEAD + b"X: ", body + b" ", body + b" " * 20_000)
        await asyncio.gather(*(self._client(starts[n % 3]) for n in range(SLOW_CLIENTS)))

    async def _client(self, start: bytes) -> None:
        while not self.done.is_set():
            _, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
            writer.write(start)
            await writer.drain()
            self.sending += 1
            while not (self.done.is_set() or writer.is_closing()):
                writer.write(b" ")
                await asyncio.sleep(self.every_s)
            writer.close()


def decisions(server: Server, run: str, names: list[str], count: int) -> Load:
    """Ask for so many decisions, four at a time."""
    return asyncio.run(closed_loop(server.port, asking(server, run, names), connections=4, count=count))


@pytest.mark.promise("doors.slow-clients")
def test_slow_clients_take_no_place_of_a_decision(server: Server, customers: list[str]) -> None:
    with Dripping(server, every_s=1.0) as slow:
        assert slow.sending == SLOW_CLIENTS
        assert decisions(server, "beside-slow", customers, 40).statuses == {200: 40}


@pytest.mark.long
@pytest.mark.promise("doors.slow-clients")
def test_beside_300_slow_clients_the_p99_of_decisions_at_most_doubles(
    server: Server, customers: list[str], record_property: Callable[[str, object], None]
) -> None:
    """By turns with and without them, so that what else the machine does counts for both."""
    decisions(server, "slow-warm", customers, 500)
    alone, beside = Load(), Load()
    for turn in range(5):
        alone.answers += decisions(server, f"alone-{turn}", customers, 600).answers
        with Dripping(server, every_s=1.0):
            beside.answers += decisions(server, f"beside-{turn}", customers, 600).answers
    assert set(alone.statuses) == set(beside.statuses) == {200}
    figures = alone.quantile_ms(0.99), beside.quantile_ms(0.99)
    record_property("p99 in ms, alone and beside 300 slow clients", figures)
    assert figures[1] <= 2 * figures[0]


@contextmanager
def guessing(server: Server, per_second: float) -> Iterator[list[int]]:
    """Try so many wrong keys in a second on one connection after the other; yields the statuses that were answered."""
    done, statuses = Event(), []

    async def guess() -> None:
        began = time.perf_counter()
        while not done.is_set():
            due = round((time.perf_counter() - began) * per_second) - len(statuses)
            load = await closed_loop(server.port, _guess, connections=4, count=max(due, 1))
            statuses.extend(answer.status for answer in load.answers)
            await asyncio.sleep(0.02)

    thread = Thread(target=lambda: asyncio.run(guess()))
    thread.start()
    try:
        yield statuses
    finally:
        done.set()
        thread.join()


def _guess(_: int) -> bytes:
    return post("/v1/decisions", b"{}", f"brn_{secrets.token_hex(24)}")


def cpu_s(server: Server) -> float:
    """Return the seconds of processor time that the replica has taken."""
    ticks = 0
    for pid in server.pids("ray::ServeReplica"):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
@pytest.mark.promise("doors.wrong-keys")
def test_a_thousand_wrong_keys_a_second_cost_a_replica_at_most_a_tenth_per_decision(
    server: Server, customers: list[str], record_property: Callable[[str, object], None]
) -> None:
    """By turns with and without them, in processor time of the replica per decision."""
    decisions(server, "guess-warm", customers, 500)
    spent, tried = {"alone": 0.0, "beside": 0.0}, []
    for turn in range(5):
        before = cpu_s(server)
        assert decisions(server, f"guess-alone-{turn}", customers, 600).statuses == {200: 600}
        spent["alone"] += cpu_s(server) - before
        with guessing(server, WRONG_KEYS_PER_S) as statuses:
            time.sleep(1.0)  # the first twenty of a second are a replica's to refuse
            before, began, n = cpu_s(server), time.perf_counter(), len(statuses)
            assert decisions(server, f"guess-beside-{turn}", customers, 600).statuses == {200: 600}
            spent["beside"] += cpu_s(server) - before
            tried.append((len(statuses) - n) / (time.perf_counter() - began))
        assert set(statuses) == {401, 429}
    ms = {name: 1000 * seconds / 3_000 for name, seconds in spent.items()}
    record_property("CPU per decision in ms, and wrong keys a second", (ms, tried))
    assert ms["beside"] <= 1.1 * ms["alone"]
    assert "is away" not in server.output


@pytest.mark.long
@pytest.mark.promise("doors.reloads")
def test_a_key_that_was_accepted_is_known_to_haproxy_after_a_replica_was_replaced(server: Server) -> None:
    """Ray reloads HAProxy then. While an address guesses keys, only those that were accepted before are passed on."""
    key = read_key_file(Workspace.open(server.root), "agent")
    look = post("/v1/customers/c-x", b"", key, method="GET")
    assert asyncio.run(once(server.port, look)).status == 200
    time.sleep(12)  # as long as a process of HAProxy must have served to hand on what it counted
    (replica,) = server.pids("ray::ServeReplica")
    (proxy,) = processes.named(server.pids(), "haproxy")
    os.kill(replica, signal.SIGKILL)
    assert until(lambda: processes.named(server.pids(), "haproxy") not in ([], [proxy]), within_s=120)
    assert until(lambda: server("GET", "/healthz")[0] == 200, within_s=120)
    with guessing(server, WRONG_KEYS_PER_S) as statuses:
        assert until(lambda: statuses[-20:] == [429] * 20, within_s=30)
        assert asyncio.run(once(server.port, _guess(0))).status == 429
        assert asyncio.run(once(server.port, look)).status == 200
