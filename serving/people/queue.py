"""The queue of the mode `own`: whoever waits is offered to an agent, and what nobody takes goes on to others.

Replicas take turns by a claim, so that they do not do the same twice. Exactness does not rest on it: each offer is
appended at the versions that were read, and another replica's record makes it fail.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import bindparam, or_, select

from decisioning.catalogue.people.routing import Routing
from decisioning.errors import Conflict, Erased, NotFound, WrongState
from decisioning.facts.handovers import WAITS, WITH_AGENT
from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.matching import assign
from decisioning.routing.staffing import waiting_of
from decisioning.routing.work import AgentWork
from features.handovers.agents import StatedAgent, read_agents
from features.ledger import now_us
from features.ledger.database import claim
from features.ledger.tables import HANDOVERS
from serving.brain.runtime import Brain
from serving.people.agents import free
from serving.people.handover_forms import HandoverStepIn
from serving.people.handovers import about_now, append_step, offered_until
from serving.people.routing import staff_of

POLL_S: Final = 0.25
"""How often a replica looks for somebody who waits; what happens in its own process wakes it."""
BRAIN: Final = "brain"
_CLAIM: Final = "routing"
_CLAIM_US: Final = 200_000
_SWEEP_US: Final = 2_000_000
"""How often silent agents, and those who hold what is not theirs any more, are looked for."""
_REST: Final = 4
"""How many times longer the pause after a round is than the round, so that a long queue takes no whole core."""
_MOST: Final = 10_000
_US: Final = 1_000_000
_WAITING: Final = (
    select(HANDOVERS).where(HANDOVERS.c.state.in_(sorted(WAITS))).order_by(HANDOVERS.c.waits_us).limit(_MOST)
)
_LAPSED: Final = select(HANDOVERS).where(HANDOVERS.c.state == "offered", HANDOVERS.c.due_us <= bindparam("now"))
_TO_DO: Final = (
    select(HANDOVERS.c.id)
    .where(
        or_(
            HANDOVERS.c.state.in_(sorted(WAITS)),
            (HANDOVERS.c.state == "offered") & (HANDOVERS.c.due_us <= bindparam("now")),
        )
    )
    .limit(1)
)
_STATES: Final = select(HANDOVERS.c.id, HANDOVERS.c.state, HANDOVERS.c.agent).where(
    HANDOVERS.c.id.in_(bindparam("ids", expanding=True))
)


class Queue:
    """The queue as one replica works at it."""

    def __init__(self, brain: Brain) -> None:
        self._brain = brain
        self._swept_us = 0
        self._rests_until_s = 0.0
        self._about: dict[tuple[str, int], Mapping[str, Any]] = {}

    def work(self) -> None:
        """End offers that nobody answered, then offer whoever waits; does nothing in the mode `advise`."""
        brain, now = self._brain, now_us()
        routing = brain.snapshot.release.catalogue.routing
        if routing.mode != "own":
            return
        if time.perf_counter() < self._rests_until_s:
            return
        sweeps = now - self._swept_us >= _SWEEP_US and bool(read_agents(brain.ledger, limit=1))
        if not sweeps and not brain.ledger.select(_TO_DO, {"now": now}):
            return
        if not brain.ledger.transact(lambda c: claim(c, _CLAIM, now, now + _CLAIM_US)).result():
            return
        began_s = time.perf_counter()
        self._end_lapsed(now)
        if sweeps:
            self._swept_us = now
            self._sweep(routing, now)
        self._offer(routing, now)
        ended_s = time.perf_counter()
        self._rests_until_s = ended_s + _REST * (ended_s - began_s)

    def _end_lapsed(self, now: int) -> None:
        """Give back what was offered and not answered in time; the agent counts as not responding until they say so."""
        for row in self._brain.ledger.select(_LAPSED, {"now": now}):
            with suppress(Conflict):  # somebody answered meanwhile
                free(self._brain, row.agent, row.id, "not answered in time", BRAIN, "not_responding")
                self._brain.news.ring()

    def _offer(self, routing: Routing, now: int) -> None:
        """Offer those who wait to agents with room, all at once."""
        staff = staff_of(self._brain, now, own=True)
        if not any(presence.available for presence in staff.presences):
            return
        rows = {row.id: row for row in self._brain.ledger.select(_WAITING)}
        self._about = {key: about for key, about in self._about.items() if key[0] in rows}
        waiting = [waiting_of(row.id, row.waits_us, self._about_of(row), routing.voice) for row in rows.values()]
        due_at = offered_until(self._brain, now)
        for who, presence in assign(waiting, staff):
            step = HandoverStepIn(state="offered", agent_id=presence.agent.id, due_at=due_at)
            with suppress(Conflict, Erased, NotFound, WrongState):  # another record came first: the next round sees it
                append_step(self._brain, rows[who.id], step, BRAIN)
                self._brain.news.ring()

    def _about_of(self, row: Any) -> Mapping[str, Any]:
        key = (row.id, row.step)
        if key not in self._about:
            self._about[key] = about_now(self._brain.ledger, row)
        return self._about[key]

    def _sweep(self, routing: Routing, now: int) -> None:
        """Free what silent agents were offered and their chats after the grace, and what is not theirs any more."""
        agents = read_agents(self._brain.ledger)
        folds = self._brain.ledger.read(*(agent.stream for agent in agents), rules=NO_PAST)
        works = [fold.work or AgentWork() for fold in folds]
        ids = sorted({one.handover for work in works for one in work.held})
        rows = {row.id: row for row in self._brain.ledger.select(_STATES, {"ids": ids})} if ids else {}
        for agent, work in zip(agents, works, strict=True):
            for handover, reason in self._to_free(routing, agent, work, rows, now):
                with suppress(Conflict):
                    free(self._brain, agent.id, handover, reason, BRAIN)

    @staticmethod
    def _to_free(
        routing: Routing, agent: StatedAgent, work: AgentWork, rows: Mapping[str, Any], now: int
    ) -> Iterator[tuple[str, str]]:
        """Yield the handovers that an agent does not keep, and why. Who was never heard of has no screen to lose."""
        silent_s = (now - agent.heartbeat_us) / _US
        for one in work.held:
            row = rows.get(one.handover)
            if row is None or row.agent != agent.id or row.state not in WITH_AGENT:
                yield one.handover, "it is over"
            elif agent.heartbeat_us and silent_s > _patience_s(routing, one.channel, accepted=one.accepted):
                yield one.handover, "the agent's screen is gone"


def _patience_s(routing: Routing, channel: str, *, accepted: bool) -> float:
    """Return after which silence of their agent a conversation goes on to others: never one that is spoken."""
    if not accepted:
        return routing.heartbeat_s
    return math.inf if channel in routing.voice else routing.heartbeat_s + routing.chat_grace_s
