"""What one replica counts for Prometheus. Labels are words of the catalogue and of the contract, never an id."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from decisioning.deciding.record import Decision
from features.threads import restarts

NO_OFFER = "none"
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_GAPS = (0.015, 0.02, 0.03, 0.05, 0.1, 0.5, 1.0)
TICK_S: Final = 0.01
"""How often the gaps of the event loop are measured."""
_MINUTE_S: Final = 60.0


class LoopGaps:
    """How long the event loop came to nothing else, apart from what decisions read and decide there.

    A timer measures the time between two of its ticks, so that no gap was longer than what is told, and none is told
    that is longer than it was by more than a tick.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "brain_loop_gap_seconds",
            "Time between two turns of the event loop, at least a timer's 10 ms, without decisions",
            buckets=_GAPS,
            registry=registry,
        )
        longest = Gauge(
            "brain_loop_longest_gap_seconds", "The longest of the last one or two minutes", registry=registry
        )
        longest.set_function(lambda: max(self._longest))
        self._longest = [0.0, 0.0]
        self._last_s = self._minute_s = self._decisions_s = 0.0

    def start(self) -> None:
        """Measure the running event loop from now on."""
        self._last_s = self._minute_s = time.perf_counter()
        self._tick_later(asyncio.get_running_loop())

    def add_decisions(self, seconds: float) -> None:
        """Take time that decisions took on the event loop out of the gap in which it falls."""
        self._decisions_s += seconds

    def _tick_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(TICK_S, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = time.perf_counter()
        gap_s = now_s - self._last_s - self._decisions_s
        self._last_s, self._decisions_s = now_s, 0.0
        self._seconds.observe(gap_s)
        if now_s - self._minute_s > _MINUTE_S:
            self._minute_s, self._longest = now_s, [self._longest[1], 0.0]
        self._longest[1] = max(self._longest[1], gap_s)
        self._tick_later(loop)


class _Restarts(Collector):
    """Tells how often threads of this process were run again after an error."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "brain_threads_restarted", "Background threads run again after an unexpected error", labels=["thread"]
        )
        for name, n in sorted(restarts.items()):
            family.add_metric([name], n)
        yield family


class Metrics:
    """Counters since the replica started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Restarts())
        self.loop = LoopGaps(self.registry)
        self.seconds = Histogram(
            "brain_decision_seconds", "Time to decide and commit", buckets=_BUCKETS, registry=self.registry
        )
        self.failed = self._counter("brain_decisions_failed", "Requests answered with a fallback")
        self.shed = self._counter("brain_requests_shed", "Requests refused so that others are in time, by kind", "kind")
        self._shed_before: dict[str, int] = {}
        self.decisions = self._counter("brain_decisions", "Decisions committed", "arm", "model")
        self.offers = self._counter("brain_offers", "Offers decided, by issue; `none` is an empty placement", "issue")
        self.explored = self._counter(
            "brain_immature_share", "Probability of slots given to what is immature, of its budget", "channel"
        )
        self.empty = self._counter("brain_placements_empty", "Placements left empty, by reason", "reason")
        self.withheld = self._counter("brain_candidates_withheld", "Candidates stopped, by the first gate", "gate")
        self.degraded = self._counter("brain_decisions_degraded", "Decisions made without something", "what")
        self.signals = self._counter("brain_signals", "Signals, by what became of them", "status")
        self.outcomes = self._counter("brain_outcomes", "Outcomes, by what became of them", "status")
        self.refused = self._counter("brain_refused_requests", "Requests that passed no door, by reason", "reason")

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def count_decision(self, decision: Decision) -> None:
        """Count one committed decision: its model, offers, empty placements, withheld candidates and degradations."""
        kept, view = decision.kept, decision.computed.view
        self.decisions.labels(kept.arm, decision.computed.scoring_model).inc()
        for pick in kept.offers:
            self.offers.labels(view.actions[pick.row].issue).inc()
        for why in kept.empty:
            if why is not None:
                self.offers.labels(NO_OFFER).inc()
                self.empty.labels(why).inc()
        for pick in kept.picks:
            if pick.extra:
                self.explored.labels(kept.request["channel"]).inc(pick.extra)
        for gate, n in decision.gates.items():
            self.withheld.labels(gate).inc(n)
        for what in kept.degraded:
            self.degraded.labels(what).inc()

    def count_shed(self, header: str) -> None:
        """Add what HAProxy refused since the last header: totals by kind since it started, as `decision=3,right=0`."""
        totals = {kind: int(n) for kind, _, n in (part.partition("=") for part in header.split(",")) if n.isdecimal()}
        for kind, total in totals.items():
            before = self._shed_before.get(kind, 0)
            self.shed.labels(kind).inc(total - before if total >= before else total)
        self._shed_before.update(totals)

    def count_statuses(self, counter: Counter, counts: dict[str, Any]) -> None:
        """Add the counts of a batch by status, such as accepted, repeated or refused; other entries are ignored."""
        for status, n in counts.items():
            if isinstance(n, int):
                counter.labels(status).inc(n)
