"""What every server is measured by: one connection, a fixed rate, and the highest rate that it sustains."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.measures import Figures, quantile
from tests.benchmarks.world import World
from tests.serving.load import Answer, Load, closed_loop, open_loop
from tests.serving.server import Server

PER_SECOND = 150.0
WARM, CLOSED, OPEN = 300, 1000, 1500
PATH = "/v1/decisions"
P99_LIMIT_MS = 50.0
CONNECTIONS, CAPACITY = 16, 400
"""The closed loop whose rate bounds the search: as many connections as a replica works on at once."""
TRIALS, TRIAL_S, FEWEST = 6, 2.5, 300
"""The search halves the ratio of 1 to 8 between its bounds so many times, to 3%; a trial has at least 300 requests."""
SEARCH_S = 60.0
"""After this time the search takes the best rate so far."""


@dataclass(frozen=True)
class Requests:
    """The requests of one part of a measure; `run` keeps their ids apart from those of other parts."""

    world: World
    run: str

    def __call__(self, n: int) -> bytes:
        return self.world.server.post(PATH, self.world.request(n, self.run))


def server_of(world: World, app: str) -> Server:
    """Return the server of an application other than the product, in a folder of its own; not started yet."""
    root = world.root / app.split(":", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1]
    root.mkdir()
    return Server(root, app)


def measure_server(
    world: World,
    name: str,
    server: Server,
    check: Callable[[list[Answer]], None] = lambda _answers: None,
    also: Callable[[], Figures] = dict,
) -> Figures:
    """Start a server and send it the same requests as every other server, one at a time and then at the fixed rate.

    :param also: returns further figures while the server is up
    """
    server.start()
    try:
        figures, answers = measure_port(world, name, server.port)
        more = also()
    finally:
        server.stop()
    check(answers)
    return {f"{name}_start_s": server.started_s, **figures, **more}


def measure_port(world: World, name: str, port: int) -> tuple[Figures, list[Answer]]:
    """Return what `measure_server` does of the server at a port, and all answers with status 200."""
    asyncio.run(_closed(world, port, f"{name}-warm", WARM))
    closed = asyncio.run(_closed(world, port, f"{name}-closed", CLOSED))
    opened = asyncio.run(_open(world, port, f"{name}-open"))
    refused = CLOSED - closed.statuses[200]
    assert refused == 0 or (name == "plain" and refused < CLOSED / 2), closed.statuses  # Ray's to keep, not ours
    # where others held the cores, the queue may overflow
    assert set(opened.statuses) <= {200, 503} or name == "plain", opened.statuses
    figures = {
        f"{name}_closed_median_ms": closed.quantile_ms(0.5),
        f"{name}_closed_p99_ms": closed.quantile_ms(0.99),
        f"{name}_closed_refused": float(refused),
        f"{name}_open_median_ms": opened.quantile_ms(0.5),
        f"{name}_open_p99_ms": opened.quantile_ms(0.99),
        f"{name}_open_refused": float(OPEN - opened.statuses[200]),
    }
    return figures, [a for a in (*closed.answers, *opened.answers) if a.status == 200]


async def _closed(world: World, port: int, run: str, count: int) -> Load:
    return await closed_loop(port, Requests(world, run), connections=1, count=count)


async def _open(world: World, port: int, run: str) -> Load:
    return await open_loop(port, Requests(world, run), per_second=PER_SECOND, count=OPEN)


def measure_sustained(world: World, name: str, port: int) -> Figures:
    """Search the highest rate at which 99% of requests are answered 200 within the limit.

    The figure is 0 if there is none above an eighth of what a closed loop reaches.
    """
    requests = Requests(world, f"{name}-capacity")
    load = asyncio.run(closed_loop(port, requests, connections=CONNECTIONS, count=CAPACITY))
    low, high, best = load.rate / 8, load.rate * 1.2, 0.0
    deadline = time.monotonic() + SEARCH_S
    for trial in range(TRIALS):
        if time.monotonic() > deadline:
            break
        rate = math.sqrt(low * high)
        if _sustains(port, Requests(world, f"{name}-rate-{trial}"), rate):
            low = best = rate
        else:
            high = rate
    return {f"{name}_capacity_per_s": load.rate, f"{name}_sustained_per_s": best}


def _sustains(port: int, requests: Requests, rate: float) -> bool:
    """Tell whether a server keeps up with a rate, at the second try if only few answers of the first were late."""
    for attempt in range(2):
        again = Requests(requests.world, f"{requests.run}-{attempt}")
        count = max(FEWEST, round(TRIAL_S * rate))
        load = asyncio.run(open_loop(port, again, per_second=rate, count=count))
        times = [1000 * a.latency_s if a.status == 200 else math.inf for a in load.answers]
        if quantile(times, 0.99) < P99_LIMIT_MS:
            return True
        if quantile(times, 0.9) >= P99_LIMIT_MS:
            return False
    return False
