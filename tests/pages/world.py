"""A generated telecom operator with a control group and twelve weeks of decisions, contacts and outcomes.

Decisions are the product's own: `decide()` with the release, and the world's true probabilities as scores.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from decisioning.times import DAY_US
from features.ledger import Entry, Ledger
from training.simulator import telecom
from training.simulator.telecom import CHANNELS, World

NOW_US = 1_796_000_000_000_000
WEEKS = 12
_PLACEMENT = {"web": "hero", "app": "card", "email": "mail", "agent": "suggestion"}
_SHARE = {"web": 0.42, "app": 0.25, "email": 0.18, "agent": 0.15}
_REASONS = ("bill", "fault", "upgrade", "payment", "other")
_PAGES = ("home", "internet", "mobile", "paid-tv", "bill", "help")
_HOUR_US = DAY_US // 24
_BY_ITSELF = 0.004
"""The probability that a customer buys something in a week without an offer."""


def catalogue_files(now_us: int) -> dict[str, str]:
    """Return the operator's catalogue with a control group that began with the decisions."""
    began = datetime.fromtimestamp((now_us - WEEKS * 7 * DAY_US) / 1e6, UTC).date().isoformat()
    return {**telecom.catalogue_files(), "arms.yaml": f"arms:\n  - {{id: holdout, share: 0.2, from: {began}}}\n"}


def release_of(files: dict[str, str]) -> Release:
    return Release.from_bytes(pack(files))


class Operator:
    """Decides for the customers of a world as they come, and lets them answer as they would."""

    def __init__(self, world: World, release: Release, ledger: Ledger, now_us: int, model: str = "prior@0") -> None:
        self.world, self.release, self.now_us, self.model = world, release, now_us, model
        self.rng = np.random.default_rng(world.seed)
        self.streams = [ledger.stream_of("person", c) for c in world.customer_ids]
        self.codes = [world.actions.index(action.id) for action, _ in release.candidates]
        self.consents: list[list[Consent]] = [[] for _ in range(len(world))]
        for c in world.consents:
            answer = (c.purpose, c.channel, c.status, c.source, c.notice_version, c.occurred_us)
            self.consents[c.customer].append(Consent(*answer, None, 1))

    def entries(self, a_week: float = 0.6) -> Iterator[Entry]:
        """Yield the entries of twelve weeks; a customer comes `a_week` times a week."""
        for customer in range(len(self.world)):
            facts = self.world.facts(customer)
            for at_us in sorted(self._times(self.rng.poisson(a_week * WEEKS))):
                channel = str(self.rng.choice(list(_SHARE), p=list(_SHARE.values())))
                yield from self.contact(customer, facts, channel, at_us)
            yield from self._unasked(customer)

    def _times(self, n: int) -> list[int]:
        """Return n moments, by day and not by night; the last hour is left to `rush`."""
        span_us = WEEKS * 7 * DAY_US
        return [int(self.now_us - _HOUR_US - self.rng.random() * (span_us - 2 * _HOUR_US)) for _ in range(n)]

    def rush(self, n: int, reason: str) -> Iterator[Entry]:
        """Yield that n customers call about the same thing in the last hour."""
        for customer in range(n):
            at_us = self.now_us - int(self.rng.integers(1, _HOUR_US))
            yield from self.contact(customer, self.world.facts(customer), "agent", at_us, reason)

    def contact(
        self, customer: int, facts: dict[str, Any], channel: str, at_us: int, reason: str = ""
    ) -> Iterator[Entry]:
        """Yield one decision, how far it got, and what the customer did."""
        rng = self.rng
        if channel == "agent":
            facts = {**facts, "contact_reason": reason or str(rng.choice(_REASONS, p=[0.3, 0.3, 0.1, 0.1, 0.2]))}
            facts |= {"asks_for_person_1h": int(rng.random() < 0.05)}
        elif channel in ("web", "app"):
            facts = {**facts, "page": str(rng.choice(_PAGES))}
        name = hashlib.sha256(f"{customer}/{at_us}/{channel}".encode()).hexdigest()[:32]
        ids = {"request_id": name, "customer_id": self.world.customer_ids[customer]}
        ask = Ask(channel=channel, placements=(PlacementAsk(name=_PLACEMENT[channel]),), **ids)
        standing = Standing(self.streams[customer], 1, tuple(self.consents[customer]))
        context = DecisionContext(assigned_model=self.model, now_us=at_us, decision_id=f"d-{name}")
        decision = decide(ask, Known(facts, standing), self.release, self._scorer(customer, channel), context)
        yield Entry(self.streams[customer], "decision", decision.record, at_us)
        for contact in decision.record["contacts"]:
            yield from self._answered(customer, contact, channel, at_us)
        if channel == "agent" and rng.random() < 0.18 and at_us + 3 * DAY_US < self.now_us:
            again_us = at_us + int(rng.integers(_HOUR_US * 2, 3 * DAY_US))
            yield from self.contact(customer, facts, channel, again_us, facts["contact_reason"])

    def _scorer(self, customer: int, channel: str) -> Callable[[object, Any], Scores]:
        codes, code = np.asarray(self.codes), CHANNELS.index(channel)

        def score(_: object, candidates: Any) -> Scores:
            rows = np.full(len(candidates), customer)
            truth = self.world.probabilities(rows, codes[candidates], np.full(len(candidates), code))
            return Scores(truth, np.full(len(candidates), 500.0), ((),) * len(candidates))

        return score

    def _answered(self, customer: int, contact: dict[str, Any], channel: str, at_us: int) -> Iterator[Entry]:
        stream, of = self.streams[customer], {"offer_id": contact["offer_id"], "action": contact["action"]}
        if self.rng.random() < 0.15:
            return
        state = "delivered" if channel == "email" else "seen"
        yield Entry(stream, "contact", {**of, "state": state}, at_us + 60_000_000)
        code = np.asarray([self.world.actions.index(contact["action"])])
        where, when = np.asarray([CHANNELS.index(channel)]), np.asarray([at_us])
        answer = self.world.respond(np.asarray([customer]), code, where, when, self.rng)
        outcome, told_us = str(answer.outcome[0]), int(answer.at_us[0])
        if self.rng.random() < (0.03 if contact["action"] == "tv-bundle" else 0.006):
            outcome, told_us = "complained", at_us + _HOUR_US
        if outcome and told_us < self.now_us:
            yield Entry(stream, "outcome", {**of, "outcome": outcome}, told_us)

    def _unasked(self, customer: int) -> Iterator[Entry]:
        """Yield what a customer buys without an offer."""
        for week in range(WEEKS):
            if self.rng.random() < _BY_ITSELF:
                at_us = self.now_us - week * 7 * DAY_US - DAY_US
                action = self.release.actions["unlimited-data"]
                body = {"action": action.id, "outcome": action.outcomes.positive[0]}
                yield Entry(self.streams[customer], "outcome", body, at_us)
