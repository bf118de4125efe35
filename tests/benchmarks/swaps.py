"""Champions swapped while the server answers: nothing fails, and nobody waits much longer for it."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pydantic_core import from_json

from tests.benchmarks.measures import Figures, Line, Measure, Suite, quantile
from tests.benchmarks.world import World, world
from tests.serving.load import Answer, closed_loop, open_loop, post
from tests.serving.server import Server
from training.model.model import PropensityModel
from training.registry import Provenance, Registry

PATH = "/v1/decisions"
CAPACITY, CONNECTIONS = 600, 8
WINDOWS, SWAPS_IN_ONE = 10, 11
"""Windows with swaps; as many without come between them."""
EVERY_S = 1.8
"""A replica looks for a new champion every half second, and takes a second to load it beside requests."""
MODELS = 6
"""In turns; a replica keeps fewer, so that it loads at every swap, as it does when every champion is new."""


def swapped(made: World, server: Server) -> Figures:
    """At half of what the server can do, a window without swaps, then one with them, and so on."""
    versions = _versions(made)
    command = [sys.executable, "-m", "tests.benchmarks.swaps", str(made.workspace.data), *map(str, versions)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as promoter:
        try:
            promoter.stdout.readline()  # type: ignore[union-attr]
            capacity = asyncio.run(
                closed_loop(server.port, _asking(made, "before"), connections=CONNECTIONS, count=CAPACITY)
            )
            quiet, busy = asyncio.run(_windows(made, server, promoter, 0.5 * capacity.rate))
        finally:
            promoter.terminate()
    return _told(quiet, busy) | {"swap_requests_per_s": 0.5 * capacity.rate}


def _versions(made: World) -> list[int]:
    """The champion, and others as large of other weights."""
    registry, champion = Registry(made.workspace.data), PropensityModel.load(made.root / "fitted")
    about = Provenance("bench", champion.feature_names, "bench")
    others = [replace(champion, weights=(1.0 - 0.01 * n) * champion.weights) for n in range(1, MODELS)]
    return [1, *(registry.register(other.files(), "propensity", about) for other in others)]


def _asking(made: World, run: str):  # type: ignore[no-untyped-def]
    return lambda n: post(PATH, made.request(n, f"swap-{run}"))


async def _windows(
    made: World, server: Server, promoter: "subprocess.Popen[str]", per_second: float
) -> tuple[list[list[Answer]], list[list[Answer]]]:
    """The answers of the windows without swaps, and of those with them, in order of request."""
    found: tuple[list[list[Answer]], list[list[Answer]]] = ([], [])
    count = round(per_second * SWAPS_IN_ONE * EVERY_S)
    for n in range(2 * WINDOWS):
        if n % 2:
            promoter.stdin.write("\n")  # type: ignore[union-attr]
            promoter.stdin.flush()  # type: ignore[union-attr]
        load = await open_loop(server.port, _asking(made, str(n)), per_second=per_second, count=count)
        found[n % 2].append(sorted(load.answers, key=lambda a: a.number))
        if n % 2:
            await asyncio.to_thread(promoter.stdout.readline)  # type: ignore[union-attr]
            await asyncio.sleep(2 * EVERY_S)
    return found


def _told(quiet: list[list[Answer]], busy: list[list[Answer]]) -> Figures:
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


def _alone(made: World) -> Figures:
    made.server.start()
    try:
        return swapped(made, made.server)
    finally:
        made.server.stop()


def _promote(data: Path, versions: list[int]) -> None:
    """`SWAPS_IN_ONE` swaps for every line on standard input; in a process of its own, as people do it.

    It imports MLflow before it says that it is ready: seconds of work for one of two cores, and no part of a swap.
    """
    import time

    registry, swaps = Registry(data), 0
    registry.set_alias("propensity", "champion", versions[0])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        for _ in range(SWAPS_IN_ONE):
            swaps += 1
            began = time.monotonic()
            registry.set_alias("propensity", "champion", versions[swaps % len(versions)])
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
        sys.stdout.write("done\n")
        sys.stdout.flush()


LINES = (
    Line("champions swapped under load", "swaps"),
    Line("  requests not answered 200 meanwhile", "swap_failed", None, 0.0),
    Line("  median, to that between swaps", "swap_median_ms", "quiet_median_ms"),
    Line("  p99, to that between swaps", "swap_p99_ms", "quiet_p99_ms", 1.5),
)
SWAPS = Suite(world=world, measures=(Measure("100 swaps of the champion under load", _alone),), lines=LINES)

if __name__ == "__main__":
    _promote(Path(sys.argv[1]), [int(v) for v in sys.argv[2:]])
