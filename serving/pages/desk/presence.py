"""What an agent says of themselves at the desk: whether they are there, and that their screen is."""

from collections.abc import Mapping
from datetime import UTC, datetime

from decisioning.errors import RequestError
from features.handovers.agents import note_heartbeats
from features.ledger import now_us
from serving.access.callers import Caller
from serving.brain.runtime import Brain
from serving.people import agent_events
from serving.people.forms import AgentEventIn

STATES = ("available", "break", "away", "off")


def tell(brain: Brain, agent: str, caller: Caller | None, fields: Mapping[str, str]) -> None:
    """Record what an agent does now; raises RequestError if nothing is stated of them, or there is no such state."""
    state, once = fields.get("state", ""), fields.get("once", "")
    if state not in STATES:
        raise RequestError("state", f"choose one of {', '.join(STATES)}")
    if not 1 <= len(once) <= 64:
        raise RequestError("once", "this form is not whole; open the page again")
    event = AgentEventIn(
        specversion="1.0",
        id=once,
        source="desk",
        type="agent.state",
        subject=f"agent:{agent}",
        time=datetime.now(UTC),
        data={"state": state},
    )
    agent_events.record(brain, event, caller)


def beat(brain: Brain, agent: str) -> None:
    """Note that an agent's screen is there."""
    note_heartbeats(brain.ledger, [agent], now_us())
