"""What one replica counts for Prometheus. Labels are words of the catalogue and of the contract, never an id."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from decisioning.deciding.record import Decision

NO_OFFER = "none"
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)


class Metrics:
    """Counters since the replica started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "brain_decision_seconds", "Time to decide and commit", buckets=_BUCKETS, registry=self.registry
        )
        self.failed = self._counter("brain_decisions_failed", "Requests answered with a fallback")
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

    def count_statuses(self, counter: Counter, counts: dict[str, Any]) -> None:
        """Add the counts of a batch by status, such as accepted, repeated or refused; other entries are ignored."""
        for status, n in counts.items():
            if isinstance(n, int):
                counter.labels(status).inc(n)
