"""The records of a handover's life: what it is about when it is opened, and each step after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from decisioning.errors import WrongState
from decisioning.facts.handovers import FOLLOWS, HandoverState, OpenHandover

MAX_TRANSFERS: Final = 2
"""How often a handover may be given on to another agent."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a handover is about.

    `customer_id` or `visitor_id`: whose conversation it is. `reason`: why a person is called, for that person. `skill`:
    what the agent has to be proficient in; None: anything. `helps`: it is about help rather than a sale. `needs`: what
    the agent must be trained for. `first`: it goes before all others. `knows`: the agent who knows the customer. `by`:
    who opened it. `due_us`: by when the law or the company asks for an answer. `decision_id`: the decision that called
    a person.
    """

    conversation_id: str
    reason: str
    channel: str
    by: str
    customer_id: str | None = None
    visitor_id: str | None = None
    kind: str | None = None
    skill: str | None = None
    issue: str | None = None
    language: str | None = None
    helps: bool = True
    upset: bool = False
    first: bool = False
    needs: Sequence[str] = ()
    knows: str | None = None
    due_us: int | None = None
    decision_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def body(self, handover_id: str, conversation_key: str) -> dict[str, Any]:
        """Return the body of the first record."""
        about = {
            "customer_id": self.customer_id,
            "visitor_id": self.visitor_id,
            "reason": self.reason,
            "channel": self.channel,
            "by": self.by,
            "kind": self.kind,
            "skill": self.skill,
            "issue": self.issue,
            "language": self.language,
            "helps": self.helps,
            "upset": self.upset,
            "first": self.first,
            "needs": sorted(self.needs),
            "knows": self.knows,
            "due_us": self.due_us,
            "decision_id": self.decision_id,
            **self.more,
        }
        stated = {name: value for name, value in about.items() if value not in (None, [], False)}
        key = {"conversation_id": self.conversation_id, "conversation_key": conversation_key}
        return {"handover_id": handover_id, "step": 0, "state": "opened", **key, **stated}


def step_body(
    handover: OpenHandover, state: HandoverState, by: str, agent: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return the body of the record by which a handover goes on to another state.

    :param by: who does it
    :param agent: who is offered it or has it; None: nobody
    :raises WrongState: it cannot go on to that state from where it is now, or was given on as often as it may be
    """
    if state not in FOLLOWS[handover.state]:
        raise WrongState("state", f"the handover is {handover.state}: it cannot become {state}")
    if state == "accepted" and handover.state == "offered" and agent != handover.agent:
        raise WrongState("agent_id", "it was offered to somebody else")
    if state == "transferred" and handover.state == "accepted" and handover.transfers >= MAX_TRANSFERS:
        raise WrongState("state", f"it was given on {MAX_TRANSFERS} times already; resolve it, or call back")
    stated = {name: value for name, value in {"agent": agent, "by": by, **more}.items() if value is not None}
    return {
        "handover_id": handover.id,
        "step": handover.step + 1,
        "state": state,
        "conversation_id": handover.conversation,
        **stated,
    }
