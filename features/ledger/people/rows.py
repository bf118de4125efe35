"""The rows of the table of handovers, which the plan of a transaction keeps: each handover by its last record."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection

from decisioning.facts.handovers import WAITS
from features.ledger.driver import execute_many, insert_into
from features.ledger.tables import HANDOVERS

HANDOVER = "handover"
"""The kind of records that make up the life of a handover."""
_ADD = insert_into(
    HANDOVERS, "id", "stream", "conversation", "state", "step", "agent", "opened_us", "waits_us", "due_us", "body"
)
_MOVE = (
    f"UPDATE {HANDOVERS.name} SET state = ?, step = ?, agent = ?, due_us = ?,"  # noqa: S608 (names of our own)
    " waits_us = coalesce(cast(? AS bigint), CASE WHEN state = 'accepted' THEN cast(? AS bigint) END, waits_us)"
    " WHERE id = ?"
)


def step_key(handover_id: str, step: int) -> str:
    """Return the key of the record of a step, the first of which is 0."""
    return f"handover:{handover_id}#{step}"


class HandoverChange(NamedTuple):
    """A record of a handover: its stream, its body and when it was recorded."""

    stream: str
    body: Mapping[str, Any]
    at_us: int


def write_handovers(connection: Connection, changes: Sequence[HandoverChange]) -> None:
    """Write the rows of new handovers, then move those that went on."""
    new = [change for change in changes if change.body["step"] == 0]
    moved = [change for change in changes if change.body["step"]]
    if new:
        execute_many(connection, _ADD, [_row(change) for change in new])
    if moved:
        execute_many(connection, _MOVE, [_moved(change) for change in moved])


def _row(change: HandoverChange) -> tuple[Any, ...]:
    body, at_us = change.body, change.at_us
    return (
        body["handover_id"],
        bytes.fromhex(change.stream),
        bytes.fromhex(body["conversation_key"]),
        body["state"],
        0,
        body.get("agent"),
        at_us,
        at_us,
        body.get("due_us"),
        to_json(body),
    )


def _moved(change: HandoverChange) -> tuple[Any, ...]:
    """Return the values of a step. Whom an agent gives back or on waits anew from then."""
    body, state = change.body, change.body["state"]
    anew_us = change.at_us if state in WAITS else None
    about = body["step"], body.get("agent"), body.get("due_us"), body.get("waits_us")
    return state, *about, anew_us, body["handover_id"]
