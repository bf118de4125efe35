"""Open streams on the real server: soon after the signal, many at once, and over the end of a replica."""

import asyncio
import json
import os
import signal as signals
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import pytest
from pydantic_core import to_json

from tests.serving.load import closed_loop, once, open_loop
from tests.serving.server import Server, until
from tests.serving.test_server_load import asking, customers
from tests.serving.workspaces import FACTS, Json, consent, signal

pytestmark = pytest.mark.server

__all__ = ["customers"]
STREAMS = 200
PER_SECOND = 20
FAILURES = 3
"""So many failed payments open a moment."""


@dataclass
class Desk:
    """A page that keeps a stream open, and comes back with the id of its last event."""

    server: Server
    customer: str
    cursor: str = ""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    got: list[tuple[float, Json]] = field(default_factory=list)
    refused: int = 0

    async def listen(self) -> None:
        """Read the stream until cancelled."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._listen_once()
            self.refused += 1
            await asyncio.sleep(0.2)

    async def _listen_once(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 20)
        try:
            path = f"/v1/live?topic=customer:{self.customer}&channel=web"
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.server.key}\r\n"
            writer.write(f"{head}Last-Event-ID: {self.cursor}\r\n\r\n".encode())
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self.cursor = line[4:].decode().strip()
                    self.opened.set()
                elif line.startswith(b"data: {") and line != b"data: {}\n":
                    self.got.append((time.perf_counter(), json.loads(line[6:])))
        finally:
            writer.close()

    @property
    def told(self) -> list[tuple[float, Json]]:
        """What it was told of moments, and when; it is told of signals, too."""
        return [(at_s, news) for at_s, news in self.got if "moment" in news["data"]]

    @property
    def moments(self) -> list[str]:
        return [news["data"]["moment"] for _, news in self.told]


async def opened(server: Server, names: Sequence[str]) -> tuple[list[Desk], list[asyncio.Task[None]]]:
    """Return desks of these customers whose streams have begun, and their tasks."""
    desks = [Desk(server, name) for name in names]
    tasks = [asyncio.create_task(desk.listen()) for desk in desks]
    await asyncio.wait_for(asyncio.gather(*(desk.opened.wait() for desk in desks)), 30)
    return desks, tasks


async def close(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def failing(server: Server, name: str) -> float:
    """Send the signal of a failed payment; return when it was sent."""
    sent_s = time.perf_counter()
    event = to_json(signal("payment-failure", f"customer:{name}"))
    assert (await once(server.port, server.post("/v1/signals", event))).status == 200
    return sent_s


def known(server: Server, prefix: str, count: int) -> list[str]:
    """Return new customers with a profile and consents, for whom one more failed payment opens a moment."""
    names = [f"{prefix}-{n}" for n in range(count)]

    async def prepared() -> None:
        facts = [server.post(f"/v1/customers/{name}", to_json({"facts": FACTS}), "PATCH") for name in names]
        await closed_loop(server.port, facts.__getitem__, connections=4, count=count)
        said = [consent(name, purpose) for name in names for purpose in ("marketing", "profiling")]
        for n in range(0, len(said), 200):
            assert (await once(server.port, server.post("/v1/consents", to_json(said[n : n + 200])))).status == 200
        for name in names:
            for _ in range(FAILURES - 1):
                await failing(server, name)

    asyncio.run(prepared())
    return names


@pytest.mark.promise("streams.room", "streams.sequence")
def test_more_streams_than_requests_are_open_while_others_are_answered_and_each_is_told_its_own(server: Server) -> None:
    names = known(server, "c-desk", 24)

    async def told() -> list[Desk]:
        desks, tasks = await opened(server, names)
        await failing(server, names[3])
        for _ in range(200):
            if desks[3].told:
                break
            await asyncio.sleep(0.02)
        await close(tasks)
        return desks

    desks = asyncio.run(told())
    assert [bool(desk.got) for desk in desks] == [desk.customer == names[3] for desk in desks]
    ((_, news),) = desks[3].told
    assert (news["topics"], news["channel"]) == ([f"customer:{names[3]}"], "web")
    assert news["data"]["decision"]["customer_id"] == names[3]
    assert f"{news['source']}:{news['seq']}" in desks[3].cursor.split(",")


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def memory_mb(server: Server) -> dict[str, float]:
    """Return the resident memory of the replica and of HAProxy."""
    replica = sum(psutil.Process(pid).memory_info().rss for pid in server.pids("ray::ServeReplica"))
    found = [p for p in map(psutil.Process, server.pids()) if p.name() == "haproxy"]
    return {"replica": replica / 2**20, "haproxy": sum(p.memory_info().rss for p in found) / 2**20}


async def beside_and_alone(server: Server, customers: list[str], names: Sequence[str]) -> list[float]:
    """Return how many times as long decisions take while streams are open (median, 90%), in turns with none open.

    Streams of 200 pages are opened six times, so the places of those who hung up are free again.
    """
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(12):
        is_beside = bool(turn % 2)
        tasks = (await opened(server, names))[1] if is_beside else []
        await asyncio.sleep(0.5)
        load = await open_loop(server.port, asking(server, f"turn-{turn}", customers), per_second=30, count=60)
        assert load.statuses == {200: 60}
        seconds[is_beside] += [answer.latency_s for answer in load.answers]
        await close(tasks)
    return [quantile(seconds[True], share) / quantile(seconds[False], share) for share in (0.5, 0.9)]


@pytest.mark.long
@pytest.mark.promise("streams.soon", "streams.room")
def test_two_hundred_streams_hear_of_a_signal_soon_and_decisions_stay_as_fast(
    server: Server, customers: list[str], record_property: Callable[[str, object], None]
) -> None:
    names = known(server, "c-many", STREAMS)
    before = memory_mb(server)

    async def measured() -> tuple[list[float], dict[str, float], list[float]]:
        ratios = await beside_and_alone(server, customers, names)
        desks, tasks = await opened(server, names)
        during = memory_mb(server)
        began, sent = time.perf_counter(), list[float]()
        for n, name in enumerate(names):
            await asyncio.sleep(max(0.0, began + n / PER_SECOND - time.perf_counter()))
            sent.append(await failing(server, name))
        await asyncio.sleep(2)
        delays = [desk.told[0][0] - at_s for desk, at_s in zip(desks, sent, strict=True) if desk.told]
        assert [desk.moments for desk in desks] == [["payment-trouble"]] * STREAMS
        assert sum(desk.refused for desk in desks) == 0
        await close(tasks)
        return delays, during, ratios

    delays, during, ratios = asyncio.run(measured())
    grown = {name: round(during[name] - before[name], 1) for name in before}
    record_property("delays", f"median {quantile(delays, 0.5):.3f} s, p99 {quantile(delays, 0.99):.3f} s")
    record_property("decisions", f"beside/alone median {ratios[0]:.2f}, p90 {ratios[1]:.2f}")
    record_property("memory", f"{STREAMS} streams take {grown} MB")
    sys.stdout.write(f"median {quantile(delays, 0.5):.3f} p99 {quantile(delays, 0.99):.3f} {ratios} {grown}\n")
    assert quantile(delays, 0.5) < 0.3
    assert quantile(delays, 0.99) < 1.0
    assert ratios[0] < 1.5


@pytest.mark.long
@pytest.mark.promise("streams.sequence")
def test_streams_go_on_where_they_were_after_their_replica_was_killed(server: Server) -> None:
    names = known(server, "c-killed", 6)

    async def killed() -> list[Desk]:
        desks, tasks = await opened(server, names)
        await failing(server, names[0])
        for pid in server.pids("ray::ServeReplica"):
            os.kill(pid, signals.SIGKILL)
        back = await asyncio.to_thread(until, lambda: server("GET", "/healthz")[0] == 200, 60)
        assert back
        for name in names[1:]:
            await failing(server, name)
        for _ in range(600):
            if all(desk.told for desk in desks):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        await close(tasks)
        return desks

    desks = asyncio.run(killed())
    assert all(desk.refused for desk in desks), "every stream was cut"
    assert [desk.moments for desk in desks] == [["payment-trouble"]] * len(names)
