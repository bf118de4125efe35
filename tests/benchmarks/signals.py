"""Speed of signals: acknowledged over HTTP, and recorded after a long history."""

import asyncio
import time

from pydantic_core import to_json

from features.ledger import Ledger, now_us
from features.signals import Event
from features.signals.log import AddEvents
from features.signals.store import MAX_EVENTS
from serving.brain.runtime import Brain
from tests.benchmarks.measures import Figures, Line, Measure, quantile
from tests.benchmarks.world import N_CUSTOMERS, World, customer_id
from tests.serving.load import closed_loop
from tests.serving.server import Server

PATH = "/v1/signals"
WARM, ACKNOWLEDGED = 300, 1000
PAST = (10, 1_000, 100_000)
"""Numbers of earlier events of a customer."""
ARRIVALS = 400
_DAY_US = 86_400_000_000
_PAGES = ("home", "paid-tv", "help", "contract")


def measure_acknowledgements(world: World, server: Server) -> Figures:
    """Send one page view at a time on one connection; each is durable and visible to decisions when it is answered."""

    def request(run: str, n: int) -> bytes:
        envelope = {"specversion": "1.0", "id": f"{run}-{n}", "source": "/bench", "type": "page-view"}
        data = {"page": _PAGES[n % len(_PAGES)], "seconds": 4.5}
        return server.post(
            PATH, to_json({**envelope, "subject": f"customer:{customer_id(n % N_CUSTOMERS)}", "data": data})
        )

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


MEASURES = (Measure("signals after short and long pasts", _histories),)
LINES = (
    Line("signal acknowledged, one connection, median, to empty", "signal_median_ms", "empty_closed_median_ms", 6.0),
    Line("signal acknowledged, p99", "signal_p99_ms"),
    Line("signal arriving after 10 events, in process, median", "arrival_10_median_ms"),
    Line("  after 1,000 events", "arrival_1000_median_ms", "arrival_10_median_ms", 1.5),
    Line("  after 100,000 events", "arrival_100000_median_ms", "arrival_10_median_ms", 1.5),
)
