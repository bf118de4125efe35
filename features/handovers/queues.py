"""The queues of a telephone system as it told them last: who waits, for how long, and how many agents are free."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, select

from features.ledger import Ledger, driver
from features.ledger.tables import QUEUE_STATES

_TELL: Final = (
    f"{driver.insert_into(QUEUE_STATES, 'skill', 'channel', 'at_us', 'body')} ON CONFLICT (skill, channel) DO UPDATE"
    f" SET at_us = excluded.at_us, body = excluded.body WHERE excluded.at_us > {QUEUE_STATES.name}.at_us"
)
_SINCE: Final = select(QUEUE_STATES).where(QUEUE_STATES.c.at_us >= bindparam("since_us"))


class QueueState(NamedTuple):
    """A queue at a time. `skill`, `channel`: empty if it is for all of them. None: it was not told."""

    skill: str
    channel: str
    at_us: int
    waiting: int | None = None
    wait_s: float | None = None
    free_agents: int | None = None


def tell_queues(ledger: Ledger, states: Sequence[QueueState]) -> None:
    """Keep the states of queues; of the same queue the state of the latest time stays, in whichever order they come."""
    rows = [(one.skill, one.channel, one.at_us, to_json(one[3:])) for one in sorted(states)]
    ledger.transact(lambda connection: driver.execute_many(connection, _TELL, rows)).result()


def told_queues(ledger: Ledger, since_us: int) -> list[QueueState]:
    """Return the queues whose state was told of a time since then."""
    rows = ledger.select(_SINCE, {"since_us": since_us})
    return [QueueState(row.skill, row.channel, row.at_us, *from_json(row.body)) for row in rows]
