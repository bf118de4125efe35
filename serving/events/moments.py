"""Moments: decisions that a signal opens without anyone asking. Watched here, decided as all others, delivered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_core import to_json

from decisioning.catalogue.policies import MomentRule
from decisioning.deciding.screening import moment_happens
from decisioning.errors import BrainError, NotFound
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.times import DAY_US, HOUR_US
from features.ledger import Ledger, now_us
from features.moments import Delivery, Moments, Watch
from serving.brain.runtime import Brain
from serving.events.webhooks import Sender
from serving.settings import Workspace

LOOK_S = 0.25
"""How often a replica looks for what is due."""
LISTEN_S = 25.0
"""How long a screen's stream is held open; it then asks again from where it was, as every browser does by itself."""
KEPT_DAYS = 7
_PAGE = 500


class Watcher:
    """One replica's part of the looking and sending."""

    def __init__(self, brain: Brain) -> None:
        self._brain = brain
        self.moments = Moments(brain.ledger)
        self._sender = Sender(brain.workspace, self.moments)

    async def look(self) -> None:
        """Everything that is due now: looked at, decided, handed to its routes, sent."""
        for due in await asyncio.to_thread(self.moments.due, now_us()):
            await self._look_at(due)
        await self._sender.send_due()

    async def _look_at(self, due: Watch) -> None:
        """A watch whose release no longer knows the moment is dropped; what cannot be decided now is tried again."""
        try:
            moment = self._brain.snapshot.release.moment(due.moment)
        except NotFound:
            return await asyncio.to_thread(self.moments.settle, due)
        try:
            await self._decide(due, moment)
        except BrainError:
            return None  # the claim lapses, and it is looked at again
        return None

    async def _decide(self, due: Watch, moment: MomentRule) -> None:
        snapshot, at_us = self._brain.snapshot, now_us()
        ask = _ask(due, moment)
        fires = moment_happens(snapshot.release, ask, self._brain.known(ask, snapshot, at_us), at_us)
        if not fires or not self.moments.may_fire(due, round(moment.every_h * HOUR_US), at_us):
            return await asyncio.to_thread(self.moments.settle, due)
        answer = await self._brain.commit(ask)
        decided = any(p["offers"] for p in answer["placements"]) or answer["handover"] is not None
        body = to_json({"moment": moment.id, "decision": answer})
        letters = [
            Delivery.new(answer["decision_id"], route, due.stream, moment.id, moment.channel, at_us, body)
            for route in (moment.deliver if decided else ())
        ]
        return await asyncio.to_thread(self.moments.settle, due, letters, at_us)

    async def listen(self, channel: str, stream: str | None, after: int | None) -> AsyncIterator[bytes]:
        """Server-sent events for screens of a channel: of one subject, or of everybody who is handled there."""
        cursor = self.moments.newest() if after is None else after
        yield b"retry: 1000\n\n"
        for _ in range(round(LISTEN_S / LOOK_S)):
            for found in await asyncio.to_thread(self.moments.streamed, cursor, channel, stream):
                cursor = found.seq
                yield b"id: %d\nevent: moment\ndata: %s\n\n" % (found.seq, found.body)
            await asyncio.sleep(LOOK_S)

    def purge(self) -> None:
        """Forgets what was delivered a week ago."""
        self.moments.purge(now_us() - KEPT_DAYS * DAY_US)


def dead_letters(workspace: Workspace, retried: Sequence[str] = ()) -> dict[str, Any]:
    """Deliveries that were given up, all of them; those named, or `all`, wait to be sent again.

    Raises NotFound for one that is not among them.
    """
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        moments, dead = Moments(ledger), list[Delivery]()
        while page := moments.listed("dead", dead[-1].seq if dead else 0, _PAGE):
            dead.extend(page)
        ids = [d.id for d in dead] if "all" in retried else list(retried)
        if missing := set(ids) - {d.id for d in dead}:
            raise NotFound("retry", f"no dead letter is called {min(missing)}")
        again = moments.retry(ids, now_us())
    return {"retried": again, "dead": [letter(d) for d in dead if d.id not in ids]}


def letter(delivery: Delivery) -> dict[str, Any]:
    """A delivery that was given up, as it is told; what it would have said stays here."""
    return {"id": delivery.id, "moment": delivery.moment, "attempts": delivery.attempts, "error": delivery.error}


def _ask(due: Watch, moment: MomentRule) -> Ask:
    """The same request for the same cause, so that a moment decided twice is one decision."""
    return Ask(
        request_id=f"moment.{moment.id}.{due.cause}",
        customer_id=due.subject.get("customer_id"),
        visitor_id=due.subject.get("visitor_id"),
        channel=moment.channel,
        placements=tuple(PlacementAsk(name=name) for name in moment.placements),
        moment=moment.id,
    )
