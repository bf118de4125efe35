"""Speed of signals: acknowledged over HTTP, recorded after a long history, and replayed in bulk."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from features.ledger import Ledger, now_us
from features.signals import Event
from features.signals.log import AddEvents
from features.signals.store import MAX_EVENTS
from serving.brain.runtime import Brain
from tests.benchmarks.measures import Figures, Line, Measure, quantile
from tests.benchmarks.world import N_CUSTOMERS, World, customer_id
from tests.serving.load import closed_loop, post
from tests.serving.server import Server

PATH = "/v1/signals"
WARM, ACKNOWLEDGED = 300, 1000
PAST = (10, 1_000, 100_000)
"""Numbers of earlier events of a customer."""
ARRIVALS = 400
REPLAYED, REPLAYED_CUSTOMERS = 200_000, 10_000
_DAY_US = 86_400_000_000
_PAGES = ("home", "paid-tv", "help", "contract")


def measure_acknowledgements(world: World, server: Server) -> Figures:
    """Send one page view at a time on one connection; each is durable and visible to decisions when it is answered."""

    def request(run: str, n: int) -> bytes:
        envelope = {"specversion": "1.0", "id": f"{run}-{n}", "source": "/bench", "type": "page-view"}
        data = {"page": _PAGES[n % len(_PAGES)], "seconds": 4.5}
        return post(PATH, to_json({**envelope, "subject": f"customer:{customer_id(n % N_CUSTOMERS)}", "data": data}))

    asyncio.run(closed_loop(server.port, lambda n: request("warm", n), connections=1, count=WARM))
    load = asyncio.run(closed_loop(server.port, lambda n: request("told", n), connections=1, count=ACKNOWLEDGED))
    assert set(load.statuses) == {200}, load.statuses
    return {"signal_median_ms": load.quantile_ms(0.5), "signal_p99_ms": load.quantile_ms(0.99)}


def _histories(world: World) -> Figures:
    """Record events in turn for customers with short and long histories, without HTTP."""
    brain = Brain(world.workspace)
    try:
        streams = {past: brain.ledger.stream_of("person", f"history-{past}") for past in PAST}
        for past, stream in streams.items():
            _live_through(brain, stream, past)
        times: dict[int, list[float]] = {past: [] for past in PAST}
        for n in range(ARRIVALS):
            for past, stream in streams.items():
                event = _event(brain.ledger, stream, f"now-{n}", now_us(), n)
                start_s = time.perf_counter()
                brain.snapshot.signals.record([event])
                times[past].append(time.perf_counter() - start_s)
    finally:
        brain.close()
    return {f"arrival_{past}_median_ms": 1000 * quantile(times[past], 0.5) for past in PAST}


def _live_through(brain: Brain, stream: str, past: int) -> None:
    """Add `past` events, evenly over the last seven days, which is the longest window."""
    until_us = now_us()
    events = [
        _event(brain.ledger, stream, f"past-{n}", until_us - 7 * _DAY_US * (past - n) // past, n) for n in range(past)
    ]
    for at in range(0, past, MAX_EVENTS):
        brain.ledger.transact(AddEvents(events[at : at + MAX_EVENTS], brain.snapshot.signals.rules)).result()


def _event(ledger: Ledger, stream: str, id_: str, at_us: int, n: int) -> Event:
    fields = {"page": _PAGES[n % len(_PAGES)], "seconds": 0.5 * (n % 60)}
    return Event(ledger.names.key_of(f"{stream}.{id_}"), stream, "page-view", at_us, at_us, fields)


def _replay(world: World) -> Figures:
    """Run `brain import-signals` on JSON lines about many customers, in order of time."""
    file = world.root / "past.jsonl"
    with file.open("wb") as lines:
        lines.writelines(to_json(row) + b"\n" for row in _rows())
    result = world.server.brain("import-signals", str(file))
    assert (result["accepted"], result["refused"]) == (REPLAYED, 0)
    return {"replay_s": result["seconds"], "replay_events_per_s": REPLAYED / result["seconds"]}


def _rows() -> Iterator[dict[str, Any]]:
    rng, until_us = random.Random(4), now_us()
    for n in range(REPLAYED):
        at_s = (until_us - 20 * _DAY_US + 20 * _DAY_US * n // REPLAYED) / 1e6
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
        envelope = {"id": f"r-{n}", "source": "/web", "subject": f"customer:r-{rng.randrange(REPLAYED_CUSTOMERS)}"}
        data = {"page": rng.choice(_PAGES), "seconds": round(90 * rng.random(), 2)}
        yield {"specversion": "1.0", **envelope, "type": "page-view", "time": when, "data": data}


MEASURES = (
    Measure("signals after short and long pasts", _histories),
    Measure(f"{REPLAYED:,} past signals replayed", _replay),
)
LINES = (
    Line("signal acknowledged, one connection, median, to empty", "signal_median_ms", "empty_closed_median_ms", 6.0),
    Line("signal acknowledged, p99", "signal_p99_ms"),
    Line("signal arriving after 10 events, in process, median", "arrival_10_median_ms"),
    Line("  after 1,000 events", "arrival_1000_median_ms", "arrival_10_median_ms", 1.5),
    Line("  after 100,000 events", "arrival_100000_median_ms", "arrival_10_median_ms", 1.5),
    Line(f"{REPLAYED:,} past signals replayed", "replay_s", None, REPLAYED / 20_000),
    Line("  a second", "replay_events_per_s"),
)
