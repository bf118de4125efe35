"""What a handover holds besides its own record, a slot of a calendar or an agent's time, and how it is given back."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.facts.handovers import ENDED, WITH_AGENT, OpenHandover
from features.ledger import Entry, Ledger
from features.ledger.people.rows import HANDOVER, step_key
from features.ledger.tables import HANDOVERS

_OPEN_OF = select(HANDOVERS).where(HANDOVERS.c.stream == bindparam("stream"), HANDOVERS.c.state.not_in(ENDED))


def slot_stream(ledger: Ledger, calendar: str, starts_us: int) -> str:
    """Return the stream of a slot, which says who has it."""
    return ledger.names.stream_of("slot", f"{calendar}:{starts_us}")


def agent_stream(ledger: Ledger, agent_id: str) -> str:
    """Return the stream of an agent, which says what the agent holds."""
    return ledger.names.stream_of("agent", agent_id)


def last_step(ledger: Ledger, handover_id: str, step: int) -> Mapping[str, Any]:
    """Return the body of a step of a handover; empty if its customer was erased."""
    record = ledger.lookup(step_key(handover_id, step))
    return {} if record is None or record.body is None else record.body


def step_entry(stream: str, body: Mapping[str, Any], version: int | None = None) -> Entry:
    """Return the record of a step of a handover; `version`: that of the customer's stream that it follows."""
    return Entry(stream, HANDOVER, body, None, version, step_key(body["handover_id"], body["step"]))


def slot_released(ledger: Ledger, handover: OpenHandover) -> list[Entry]:
    """Return what gives back the slot that a call-back has; none if the handover has none."""
    if handover.state != "call_back":
        return []
    slot = last_step(ledger, handover.id, handover.step).get("slot")
    if slot is None:
        return []
    stream = slot_stream(ledger, slot["calendar"], slot["starts_us"])
    return [Entry(stream, "booking", {"handover_id": handover.id, "booked": False}, None)]


def all_released(ledger: Ledger, stream: str) -> list[Entry]:
    """Return what gives back all that the open handovers of a customer hold, before the customer is erased."""
    entries: list[Entry] = []
    for row in ledger.select(_OPEN_OF, {"stream": stream}):
        entries += slot_released(ledger, OpenHandover(row.id, "", row.state, row.step, row.agent))
        if row.agent is not None and row.state in WITH_AGENT:
            body = {"handover_id": row.id, "channel": from_json(row.body)["channel"], "held": "ended"}
            entries.append(Entry(agent_stream(ledger, row.agent), "assignment", body, None))
    return entries
