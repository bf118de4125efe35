"""A small load generator for loopback: closed loop (fixed connections) and open loop (fixed requests per second).

It uses one process and raw protocols, so that on two cores it disturbs what it measures as little as possible. The
latency of the open loop counts from when a request was due, not from when a connection was free for it.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Request = Callable[[int], bytes]
"""Number of the request, from 0 -> its bytes."""


@dataclass(frozen=True)
class Answer:
    """One answer; `status` 0 means that the connection broke first."""

    number: int
    status: int
    latency_s: float
    head: bytes
    body: bytes


@dataclass
class Load:
    """The answers in order of arrival, and how many seconds they took."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(a.status for a in self.answers)

    @property
    def rate(self) -> float:
        """Answers with a 2xx status per second."""
        return sum(200 <= a.status < 300 for a in self.answers) / self.seconds

    def quantile_ms(self, share: float, status: int = 200) -> float:
        """Return the latency in milliseconds within which this share of the answers with `status` came."""
        ordered = sorted(a.latency_s for a in self.answers if a.status == status)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def get(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes, key: str = "", method: str = "POST") -> bytes:
    """Return the bytes of a request with a JSON body, and with a key if there is one."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    bearer = f"\r\nAuthorization: Bearer {key}" if key else ""
    return f"{head}{bearer}\r\n\r\n".encode() + body


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Collect no garbage: a walk through all answers takes a third of a second, which would count as latency."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def closed_loop(port: int, request: Request, *, connections: int, count: int) -> Load:
    """Send `count` requests over so many connections, on each the next as soon as one is answered.

    A client gives up when the port is closed.
    """
    with _collecting_nothing():
        return await _closed_loop(port, request, connections, count)


async def _closed_loop(port: int, request: Request, connections: int, count: int) -> Load:
    load, began = Load(), time.perf_counter()
    numbers = iter(range(count))

    async def client() -> None:
        connection = await _connect(port)
        for number in numbers:
            sent = time.perf_counter()
            load.answers.append(await connection.ask(number, request(number), sent))
            if connection.broken:
                try:
                    connection = await _connect(port)
                except ConnectionError:
                    return
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def once(port: int, request: bytes) -> Answer:
    """Send one request on a connection of its own."""
    connection = await _connect(port)
    answer = await connection.ask(0, request, time.perf_counter())
    connection.close()
    return answer


async def open_loop(port: int, request: Request, *, per_second: float, count: int) -> Load:
    """Send `count` requests, one every 1/per_second, however slowly they are answered; connections as needed."""
    with _collecting_nothing():
        return await _open_loop(port, request, per_second, count)


async def _open_loop(port: int, request: Request, per_second: float, count: int) -> Load:
    load, began = Load(), time.perf_counter()
    idle: list[_Connection] = []

    async def one(number: int, due: float) -> None:
        while idle and idle[-1].broken:  # one that was idle for ten seconds, which the server closes
            idle.pop()
        connection = idle.pop() if idle else await _connect(port)
        load.answers.append(await connection.ask(number, request(number), due))
        if not connection.broken:
            idle.append(connection)

    tasks = []
    for number in range(count):
        due = began + number / per_second
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return load


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport
        self.received = b""
        self.broken = False
        self.waiting: asyncio.Future[tuple[bytes, bytes]] | None = None

    async def ask(self, number: int, request: bytes, since: float) -> Answer:
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        head, body = (b"", b"") if self.broken else await self.waiting
        latency = time.perf_counter() - since
        return Answer(number, int(head[9:12] or 0), latency, head, body)

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or self.waiting is None:
            return
        head = self.received[:end].lower()
        start = head.find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(self.received) >= end + 4 + length:
            body = self.received[end + 4 : end + 4 + length]
            self.received = b""
            self.broken = b"connection: close" in head
            self._answer(head, body)

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        self._answer(b"", b"")

    def _answer(self, head: bytes, body: bytes) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((head, body))


async def _connect(port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
    return connection
