"""People who help customers, as they are stated, and when they were last heard of."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, select, update

from features.handovers.slots import agent_stream
from features.ledger import Ledger
from features.ledger.database import upsert
from features.ledger.tables import AGENTS

_PAGE = (
    select(AGENTS)
    .where(AGENTS.c.id > bindparam("after"), AGENTS.c.removed_us.is_(None))
    .order_by(AGENTS.c.id)
    .limit(bindparam("limit"))
)
_ONE = select(AGENTS).where(AGENTS.c.id == bindparam("id"), AGENTS.c.removed_us.is_(None))
MOST_AGENTS = 10_000


class StatedAgent(NamedTuple):
    """An agent. `heartbeat_us`: when they were last heard of, 0 if never."""

    id: str
    stream: str
    stated: Mapping[str, Any]
    changed_us: int
    heartbeat_us: int


def put_agent(ledger: Ledger, agent_id: str, stated: Mapping[str, Any], now_us: int) -> None:
    """State what an agent can do, in place of what was stated before."""
    values = {"stream": agent_stream(ledger, agent_id), "body": to_json(stated), "changed_us": now_us}
    values["removed_us"] = None
    ledger.transact(
        lambda connection: upsert(connection, AGENTS, {"id": agent_id}, values, {"heartbeat_us": 0})
    ).result()


def find_agent(ledger: Ledger, agent_id: str) -> StatedAgent | None:
    """Return an agent; None if nothing is stated of them."""
    rows = ledger.select(_ONE, {"id": agent_id})
    return _agent(rows[0]) if rows else None


def read_agents(ledger: Ledger, after: str = "", limit: int = MOST_AGENTS) -> list[StatedAgent]:
    """Return agents whose id is after this one, by id."""
    return [_agent(row) for row in ledger.select(_PAGE, {"after": after, "limit": limit})]


def note_heartbeats(ledger: Ledger, ids: Collection[str], now_us: int) -> None:
    """Note that agents were heard of; a time that was noted later stays."""
    heard = update(AGENTS).where(AGENTS.c.id.in_(sorted(ids)), AGENTS.c.heartbeat_us < now_us)
    ledger.transact(lambda connection: connection.execute(heard.values(heartbeat_us=now_us)) and None).result()


def _agent(row: Any) -> StatedAgent:
    return StatedAgent(row.id, row.stream, from_json(row.body), row.changed_us, row.heartbeat_us)
