"""Moments: decisions that a signal opens without a request. They are decided like all others, then delivered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
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
from decisioning.records.audiences import Audience
from decisioning.times import DAY_US, HOUR_US
from features.ledger import now_us
from features.moments import Delivery, Moments, Watch
from serving.brain.active import open_ledger
from serving.brain.runtime import Brain
from serving.events.departures import Departures, try_again
from serving.events.webhooks import Sender, signing_secrets
from serving.settings import Workspace

POLL_S = 0.25
"""How often a replica checks for due moments and deliveries."""
STREAM_S = 25.0
"""How long a screen's stream is held open; browsers then ask again by themselves, from where they were."""
KEEP_ALIVE_S = 1.0
"""How often a stream sends something: a proxy cuts a connection on which nothing is sent, ours after 2 s at least."""
RETENTION_DAYS = 7
GPC_SOURCE = "gpc"
"""The `source` of a refusal that a browser made by Global Privacy Control: it binds every moment, on any channel."""
_PAGE = 500


class Watcher:
    """One replica's share of deciding due moments and sending their deliveries."""

    def __init__(self, brain: Brain) -> None:
        self._brain = brain
        self.moments = Moments(brain.ledger)
        self._departures = Departures(brain, self.moments)
        secrets = partial(signing_secrets, brain.workspace, brain.ledger)
        self._sender = Sender(
            brain.workspace.settings.moments, self.moments, secrets, self._departures.body, self._departures.give_up
        )

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

    def _asks_no_profiling(self, release: Release, moment: MomentRule, person: Standing, at_us: int) -> bool:
        """Tell whether Global Privacy Control holds for a moment, which no browser asks for itself.

        It holds if a signal that the moment goes by came with it, from the person or a linked visitor, or if one of
        them refused by it, on whichever channel.
        """
        everyone = (person, *person.visitors)
        refused = any(_refused_by_gpc(consent, release) for one in everyone for consent in one.consents)
        streams = [one.stream for one in everyone]
        return refused or self.moments.asks_no_profiling(streams, release.signals_of(moment), at_us)

    async def listen(
        self,
        channel: str,
        stream: str | None,
        after: int | None,
        *,
        gpc: bool = False,
        audience: Audience = "company",
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events for screens of a channel, and comments that keep the connection open.

        The stream begins with its cursor, an id without an event, so that a screen that got no event yet can come back
        to where it was, too.

        :param stream: the subject to show, or None for everybody who is handled on the channel
        :param after: the cursor of the last event that the screen has, or None to begin now
        :param gpc: whether the screen's browser asks for no profiling (Global Privacy Control)
        :param audience: for whom the screen is
        """
        run = self._brain.pools.short.run
        newest = await run(self.moments.newest)
        cursor = newest if after is None else min(after, newest)
        yield b"retry: 1000\nid: %d\n\n" % cursor
        for poll in range(round(STREAM_S / POLL_S)):
            for delivery in await run(self.moments.stream_page, cursor, channel, stream):
                cursor = delivery.seq
                body = await run(partial(self._departures.body, delivery, gpc=gpc, audience=audience))
                if body is not None:
                    await run(self.moments.show, delivery)
                    yield b"id: %d\nevent: moment\ndata: %s\n\n" % (delivery.seq, body)
            if poll % round(KEEP_ALIVE_S / POLL_S) == 0:
                yield b":\n\n"
            await asyncio.sleep(POLL_S)

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
