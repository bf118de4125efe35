"""Moments: decisions that a signal opens without a request. They are decided like all others, then delivered."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic_core import to_json

from decisioning.catalogue.policies import MomentRule
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import moment_happens
from decisioning.errors import BrainError, NotFound
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.identity import is_of
from decisioning.facts.standing import Consent, Standing
from decisioning.times import DAY_US, HOUR_US
from features.ledger import now_us
from features.moments import Delivery, Moments, Watch
from serving.brain.active import open_ledger
from serving.brain.runtime import Brain
from serving.events.departures import Departures, try_again
from serving.events.feed import (
    FOR_COMPANY,
    News,
    NewsFeed,
    NewsSource,
    Viewer,
    Wanted,
    channels_and_subjects,
    topic_of_channel,
    topic_of_subject,
)
from serving.events.streams import MOMENTS, moment_events
from serving.events.webhooks import Sender, signing_secrets
from serving.settings import Workspace

POLL_S = 0.25
"""How often a replica checks for due moments and deliveries, if no signal of its own wakes it."""
RETENTION_DAYS = 7
GPC_SOURCE = "gpc"
"""The `source` of a refusal that a browser made by Global Privacy Control: it binds every moment, on any channel."""
_PAGE = 500


class Watcher:
    """One replica's share of deciding due moments and sending their deliveries, and what its open streams are told.

    :param sources: what open streams are told beside the decisions that moments open
    :param package: returns what may leave now of a delivery that tells of a handover, None if nothing does
    """

    def __init__(
        self,
        brain: Brain,
        sources: Sequence[NewsSource] = (),
        package: Callable[[Moments, Delivery], bytes | None] = lambda _, __: None,
    ) -> None:
        self._brain = brain
        self.moments = Moments(brain.ledger)
        self._departures = Departures(brain, self.moments)
        secrets = partial(signing_secrets, brain.workspace, brain.ledger)
        self._package = package
        self._sender = Sender(
            brain.workspace.settings.moments, self.moments, secrets, self._body, self._departures.give_up
        )
        moments = NewsSource(MOMENTS, self.moments.newest, self._decided, self._shown)
        self.feed = NewsFeed((moments, *sources), brain.pools.news)
        brain.news.wakes(self.feed.wake)

    def decide_due(self) -> None:
        """Decide every moment that is due, and hand its decision to its routes; in a thread that serves no requests.

        A watch that the release has no moment for is dropped; one that cannot be decided now is due again later.
        """
        for due in self.moments.claim_due(now_us()):
            try:
                moment = self._brain.snapshot.release.moment(due.moment)
            except NotFound:
                self.moments.settle(due)
                continue
            with suppress(BrainError):  # the claim expires, and the watch is due again
                self._decide(due, moment)

    def send_due(self) -> None:
        """Send the deliveries that are due."""
        self._sender.send_due()

    def _body(self, delivery: Delivery) -> bytes | None:
        if delivery.of_handover:
            return self._package(self.moments, delivery)
        return self._departures.body(delivery)

    def _decide(self, due: Watch, moment: MomentRule) -> None:
        snapshot, at_us = self._brain.snapshot, now_us()
        ask = _ask(due, moment)
        known = self._brain.known(ask, snapshot, at_us)
        fires = is_of(known.person, due.stream) and moment_happens(snapshot.release, ask, known, at_us)
        if not fires or not self.moments.may_fire(due, round(moment.every_h * HOUR_US), at_us):
            self.moments.settle(due)
            return
        if self._asks_no_profiling(snapshot.release, moment, known.person, at_us):
            ask = _with_gpc(ask)
        answer = asyncio.run(self._brain.finish(ask, self._brain.make(ask)))
        has_content = any(p["offers"] for p in answer["placements"]) or answer["handover"] is not None
        body = to_json({"moment": moment.id, "decision": answer})
        deliveries = [
            Delivery.new(answer["decision_id"], route, due.stream, moment.id, moment.channel, at_us, body)
            for route in (moment.deliver if has_content else ())
        ]
        self.moments.settle(due, deliveries, at_us)
        self._brain.news.ring()

    def _asks_no_profiling(self, release: Release, moment: MomentRule, person: Standing, at_us: int) -> bool:
        """Tell whether Global Privacy Control holds for a moment, which no browser asks for itself.

        It holds if a signal that the moment goes by came with it, from the person or a linked visitor, or if one of
        them refused by it, on whichever channel.
        """
        everyone = (person, *person.visitors)
        refused = any(_refused_by_gpc(consent, release) for one in everyone for consent in one.consents)
        streams = [one.stream for one in everyone]
        return refused or self.moments.asks_no_profiling(streams, release.signals_of(moment), at_us)

    def listen(
        self,
        channel: str,
        stream: str | None,
        after: int | None,
        viewer: Viewer = FOR_COMPANY,
        may_listen: Callable[[], bool] = lambda: True,
    ) -> AsyncGenerator[bytes]:
        """Return server-sent events for screens of a channel, as `moment_events` does.

        :param stream: the subject to show, or None for everybody who is handled on the channel
        """
        topic = topic_of_channel(channel) if stream is None else topic_of_subject(stream)
        wanted = Wanted(frozenset({topic}), frozenset({channel}))
        return moment_events(self.feed, wanted, after, viewer, may_listen)

    def _decided(self, after: int, topics: frozenset[str] | None, limit: int) -> list[News]:
        """Return deliveries to screens as news about their channel and subject."""
        channels, streams = channels_and_subjects(topics or frozenset())
        if topics is not None and not channels and not streams:
            return []
        deliveries = self.moments.screen_page(after, channels, streams, limit)
        return [
            News(
                MOMENTS,
                d.seq,
                "moment",
                frozenset({topic_of_channel(d.channel), topic_of_subject(d.stream)}),
                d,
                d.channel,
            )
            for d in deliveries
        ]

    def _shown(self, news: News, viewer: Viewer) -> bytes | None:
        """Return what leaves of a delivery to a screen now, and record that a screen gets it."""
        body = self._departures.body(news.content, gpc=viewer.gpc, audience=viewer.audience)
        if body is not None:
            self.moments.show(news.content)
        return body

    def close(self) -> None:
        """Let the threads end that send deliveries."""
        self._sender.close()

    def purge(self) -> None:
        """Delete deliveries that were made more than RETENTION_DAYS ago."""
        self.moments.purge(now_us() - RETENTION_DAYS * DAY_US)


def dead_letters(workspace: Workspace, retry: Sequence[str] = ()) -> dict[str, Any]:
    """Return the deliveries that were given up, without those in `retry` (ids, or `all`), which are queued again.

    Raises NotFound for an id that is not among them.
    """
    with open_ledger(workspace) as ledger:
        moments, dead = Moments(ledger), list[Delivery]()
        while page := moments.page("dead", dead[-1].seq if dead else 0, _PAGE):
            dead.extend(page)
        ids = [d.id for d in dead] if "all" in retry else list(retry)
        if missing := set(ids) - {d.id for d in dead}:
            raise NotFound("retry", f"no dead letter is called {min(missing)}")
        for delivery in dead:
            if delivery.id in ids:
                try_again(ledger, delivery)
        retried = moments.retry(ids, now_us())
    return {"retried": retried, "dead": [dead_letter_json(d) for d in dead if d.id not in ids]}


def withheld_json(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery that is not sent any more as JSON types: the gates that stopped it, and not its body."""
    return {"id": delivery.id, "moment": delivery.moment, "route": delivery.route, "gates": delivery.error.split(", ")}


def dead_letter_json(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery that was given up as JSON types, without its body."""
    return {"id": delivery.id, "moment": delivery.moment, "attempts": delivery.attempts, "error": delivery.error}


def _refused_by_gpc(consent: Consent, release: Release) -> bool:
    withdraws = consent.purpose in release.catalogue.settings.gpc and consent.status != "granted"
    return withdraws and consent.source.casefold() == GPC_SOURCE


def _with_gpc(ask: Ask) -> Ask:
    """Return the request as a browser that asks for no profiling would make it, under an id of its own."""
    return ask.model_copy(update={"request_id": f"{ask.request_id}.gpc", "context": {**ask.context, "gpc": True}})


def _ask(due: Watch, moment: MomentRule) -> Ask:
    """Return the request of a watch: the same for the same cause, so that a moment decided twice is one decision."""
    return Ask(
        request_id=f"moment.{moment.id}.{due.cause}",
        customer_id=due.subject.get("customer_id"),
        visitor_id=due.subject.get("visitor_id"),
        channel=moment.channel,
        placements=tuple(PlacementAsk(name=name) for name in moment.placements),
        moment=moment.id,
    )
