"""Swaps of the champion while the server answers: no request fails, and latency hardly rises."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pydantic_core import from_json

from tests.benchmarks.measures import Figures, Line, Measure, Suite, quantile
from tests.benchmarks.world import World, open_world
from tests.permits import make_champion
from tests.serving.load import Answer, closed_loop, open_loop
from tests.serving.server import Server
from training.model.model import PropensityModel
from training.registry import Registry
from training.tracking import Provenance

PATH = "/v1/decisions"
CAPACITY, CONNECTIONS = 600, 8
WINDOWS, SWAPS_IN_ONE = 10, 11
"""Windows with swaps, with as many of half the length without swaps between them, and the swaps in each."""
EVERY_S = 1.8
"""Seconds between swaps. A replica checks for a new champion every half second and takes a second to load it."""
MODELS = 6
"""Models promoted in turn. A replica keeps fewer, so that it loads one at every swap, as it does for new champions."""


def measure_swaps(world: World, server: Server) -> Figures:
    """Measure windows without and with swaps in turn, at half of the server's capacity."""
    versions = _versions(world)
    command = [sys.executable, "-m", "tests.benchmarks.swaps", str(world.workspace.data), *map(str, versions)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as promoter:
        try:
            promoter.stdout.readline()  # type: ignore[union-attr]
            capacity = asyncio.run(
                closed_loop(server.port, _requests(world, "before"), connections=CONNECTIONS, count=CAPACITY)
            )
            quiet, busy = asyncio.run(_windows(world, server, promoter, 0.5 * capacity.rate))
        finally:
            promoter.terminate()
    return _figures(quiet, busy) | {"swap_requests_per_s": 0.5 * capacity.rate}


def _versions(world: World) -> list[int]:
    """Register models of the same size with other weights; return the champion's version and theirs."""
    registry, champion = Registry(world.workspace.data), PropensityModel.load(world.root / "fitted")
    about = Provenance("bench", champion.feature_names, "bench")
    others = [replace(champion, weights=(1.0 - 0.01 * n) * champion.weights) for n in range(1, MODELS)]
    return [1, *(registry.register(other.files(), "propensity", about) for other in others)]


def _requests(world: World, run: str):  # type: ignore[no-untyped-def]
    return lambda n: world.server.post(PATH, world.request(n, f"swap-{run}"))


async def _windows(
    world: World, server: Server, promoter: "subprocess.Popen[str]", per_second: float
) -> tuple[list[list[Answer]], list[list[Answer]]]:
    """Return the answers of the windows without swaps and of those with swaps, in order of request."""
    answers: tuple[list[list[Answer]], list[list[Answer]]] = ([], [])
    count = round(per_second * SWAPS_IN_ONE * EVERY_S)
    for n in range(2 * WINDOWS):
        if n % 2:
            promoter.stdin.write("\n")  # type: ignore[union-attr]
            promoter.stdin.flush()  # type: ignore[union-attr]
        requests = count if n % 2 else count // 2
        load = await open_loop(server.port, _requests(world, str(n)), per_second=per_second, count=requests)
        answers[n % 2].append(sorted(load.answers, key=lambda a: a.number))
        if n % 2:
            await asyncio.to_thread(promoter.stdout.readline)  # type: ignore[union-attr]
            await asyncio.sleep(2 * EVERY_S)
    return answers


def _figures(quiet: list[list[Answer]], busy: list[list[Answer]]) -> Figures:
    every = [a for window in (*quiet, *busy) for a in window]
    models = [from_json(a.body)["model"] for window in busy for a in window if a.status == 200]
    assert set(models) == {f"propensity@{n + 1}" for n in range(MODELS)}, set(models)
    figures = {"swaps": float(sum(1 for _ in groupby(models)) - 1)}
    figures["swap_requests"] = float(len(every))
    figures["swap_failed"] = float(sum(a.status != 200 for a in every))
    for name, windows in (("quiet", quiet), ("swap", busy)):
        times = [1000 * a.latency_s for window in windows for a in window]
        figures |= {f"{name}_median_ms": quantile(times, 0.5), f"{name}_p99_ms": quantile(times, 0.99)}
    return figures


def _alone(world: World) -> Figures:
    world.server.start()
    try:
        return measure_swaps(world, world.server)
    finally:
        world.server.stop()


def _promote(data: Path, versions: list[int]) -> None:
    """Swap `SWAPS_IN_ONE` times for every line on standard input, in a separate process, as in practice.

    It imports MLflow before it reports that it is ready: that takes seconds of one core and is no part of a swap.
    """
    import time

    registry, swaps = Registry(data), 0
    make_champion(registry, versions[0])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        for _ in range(SWAPS_IN_ONE):
            swaps += 1
            start_s = time.monotonic()
            make_champion(registry, versions[swaps % len(versions)])
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - start_s)))
        sys.stdout.write("done\n")
        sys.stdout.flush()


LINES = (
    Line("champions swapped under load", "swaps"),
    Line("  requests not answered 200 meanwhile", "swap_failed", None, 0.0),
    Line("  median, to that between swaps", "swap_median_ms", "quiet_median_ms"),
    Line("  p99, to that between swaps", "swap_p99_ms", "quiet_p99_ms", 1.5),
)
SWAPS = Suite(world=open_world, measures=(Measure("100 swaps of the champion under load", _alone),), lines=LINES)

if __name__ == "__main__":
    _promote(Path(sys.argv[1]), [int(v) for v in sys.argv[2:]])
