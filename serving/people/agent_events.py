"""What a telephone system or a desk tells of agents and its queues, in any order."""

from typing import Any, Final

from pydantic_core import to_json

from decisioning.errors import Erased, RequestError
from decisioning.routing.staffing import ANY
from decisioning.routing.work import KEPT_US
from decisioning.spec import Strict
from decisioning.times import TOLERANCE_US, microseconds
from features.handovers.agents import find_agent, note_heartbeats
from features.handovers.calls import conversation_key
from features.handovers.queues import QueueState, tell_queues
from features.handovers.slots import agent_stream
from features.ledger import Duplicate, Entry, now_us
from serving.access.callers import Caller
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.people.agents import check_own
from serving.people.forms import (
    DATA,
    QUEUE,
    AgentEventIn,
    ConversationData,
    ConversationsData,
    QueueData,
    StateData,
)

_OLDEST_US: Final = KEPT_US - TOLERANCE_US


def record(brain: Brain, event: AgentEventIn, caller: Caller | None) -> str:
    """Record an event and return what became of it: `recorded` or `repeated`.

    :raises OutOfScope: an agent tells it of another one, or of the queue
    :raises RequestError: it is about no agent, too old to be put in order, or its data have another form
    """
    check_own("" if event.subject == QUEUE else event.agent_id, caller)
    data = _data(event)
    at_us, now = microseconds(event.time), now_us()
    if isinstance(data, QueueData):
        return _record_queues(brain, data, at_us, now)
    if find_agent(brain.ledger, event.agent_id) is None:
        raise RequestError("subject", "there is no such agent; state them with PUT /v1/agents/{agent_id}")
    if at_us > now + TOLERANCE_US:
        raise RequestError("time", "it lies ahead")
    if not isinstance(data, StateData) and at_us < now - _OLDEST_US:
        raise RequestError("time", "it is older than ten minutes; tell `agent.conversations` as they are now")
    note_heartbeats(brain.ledger, [event.agent_id], min(at_us, now))
    body = _body(brain, event.type, data)
    if body is None:
        return "recorded"
    key = f"agent-event:{event.source} {event.id}"
    try:
        brain.ledger.append([Entry(agent_stream(brain.ledger, event.agent_id), "presence", body, at_us, key=key)])
    except Duplicate:
        return "repeated"
    except Erased:
        raise RequestError("subject", "this agent was erased") from None
    brain.routed.ring()
    return "recorded"


def _record_queues(brain: Brain, data: QueueData, at_us: int, now: int) -> str:
    if at_us > now + TOLERANCE_US:
        raise RequestError("time", "it lies ahead")
    at_us = min(at_us, now)
    states = [
        QueueState(q.skill or ANY, q.channel or ANY, at_us, q.waiting, q.wait_s, q.free_agents) for q in data.queues
    ]
    tell_queues(brain.ledger, states)
    return "recorded"


def _data(event: AgentEventIn) -> Strict:
    try:
        return parse(DATA[event.type], to_json(event.data))
    except RequestError as error:
        raise RequestError(f"data.{error.field}", str(error).partition(": ")[2]) from None


def _body(brain: Brain, kind: str, data: Any) -> dict[str, Any] | None:
    """Return the record of presence that an event makes; none for a heartbeat."""
    if isinstance(data, StateData):
        until = {} if data.until is None else {"until_us": microseconds(data.until)}
        return {"state": data.state, **until}
    if isinstance(data, ConversationsData):
        rows = [
            [conversation_key(brain.ledger, name), channel, False]
            for channel, names in sorted(data.held.items())
            for name in names
        ]
        return {"elsewhere": rows, "whole": True}
    if isinstance(data, ConversationData):
        row = [conversation_key(brain.ledger, data.conversation_id), data.channel, kind == "conversation.ended"]
        return {"elsewhere": [row], **({"upset": True} if data.upset else {})}
    return None
