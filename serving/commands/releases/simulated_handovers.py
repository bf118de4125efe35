"""How many conversations a day two releases would hand to people, beside how many the agents can hold."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select

from decisioning.catalogue.release import Release
from decisioning.review.simulated.handovers import calls_a_person
from decisioning.times import DAY_US
from features.handovers.agents import read_agents
from features.ledger.tables import RECORDS
from serving.brain.runtime import Brain

DAYS = 7
_MOST = 20_000
"""How many decisions are read at most, the newest first."""
_PAGE = (
    select(RECORDS)
    .where(RECORDS.c.kind == "decision", RECORDS.c.seq < bindparam("before"), RECORDS.c.at_us <= bindparam("until"))
    .order_by(RECORDS.c.seq.desc())
    .limit(500)
)
PerDay = Callable[[NDArray[np.float64], float], dict[str, Any]]
Called = dict[str, list[set[str]]]
"""Customer -> of each release, the conversations in which it calls a person."""


def handovers_of(brain: Brain, releases: Sequence[Release], at_us: int, per_day: PerDay) -> dict[str, Any]:
    """Return how many handovers a day each release would open, in the conversations of the last days.

    :param per_day: returns the figures of counts per customer (n, 2) and a number of days
    :raises Unavailable: the ledger cannot be read
    """
    called: Called = defaultdict(lambda: [set() for _ in releases])
    conversations, oldest_us = set[tuple[str, str]](), at_us
    for stream, decided_us, body in _decisions(brain, at_us):
        conversation = body["request"].get("conversation_id")
        oldest_us = min(oldest_us, decided_us)
        if conversation is None:
            continue
        conversations.add((stream, conversation))
        for own, release in zip(called[stream], releases, strict=True):
            if conversation not in own and calls_a_person(release, body):
                own.add(conversation)
    days = max(1.0, (at_us - oldest_us) / DAY_US)
    counts = np.array([[len(own) for own in both] for both in called.values()], dtype=np.float64)
    agents = read_agents(brain.ledger)
    return {
        "days": round(days, 2),
        "conversations": len(conversations),
        **per_day(counts.reshape(-1, len(releases)), days),
        "agents": len(agents),
        "at_once": sum(max(agent.stated.get("capacity", {}).values(), default=0) for agent in agents),
    }


def _decisions(brain: Brain, at_us: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield stream, time and body of the live decisions of the last DAYS days, the newest first."""
    before, since_us, read = 2**62, at_us - DAYS * DAY_US, 0
    while read < _MOST and (rows := brain.ledger.select(_PAGE, {"before": before, "until": at_us})):
        for row in rows:
            if row.at_us < since_us:
                return
            body = brain.ledger.record_of(row).body
            if body is not None:
                yield row.stream, row.at_us, body
        before, read = rows[-1].seq, read + len(rows)
