"""The forms of what is answered about handovers and the people who take them."""

from typing import Literal

from decisioning.facts.forms import Issue
from decisioning.facts.handovers import HandoverState
from serving.answers.form import Answer, Moment


class HandoverAnswer(Answer):
    """A handover. `reference`: what the customer may name it by. `due_at`: when something has to happen next. `text`:
    what the company approved to tell the customer meanwhile.

    `status`, of a request to open one: whether it was opened by it, by the same request before, or was open already.
    """

    handover_id: str
    reference: str
    conversation_id: str
    state: HandoverState
    agent_id: str | None
    opened_at: Moment
    waits_since: Moment
    due_at: Moment | None
    customer_id: str | None = None
    visitor_id: str | None = None
    reason: str
    channel: str
    kind: str | None = None
    skill: str | None = None
    issue: Issue | None = None
    language: str | None = None
    upset: bool = False
    helps: bool = False
    first: bool = False
    needs: list[str] = []
    knows: str | None = None
    text: str | None = None
    status: Literal["opened", "repeated", "already_open"] | None = None


class Handovers(Answer):
    """A page of handovers; `next` as in an export."""

    handovers: list[HandoverAnswer]
    next: str | None


class FreeSlot(Answer):
    """A slot that may be taken, and how many still may."""

    starts_at: Moment
    left: int


class FreeSlots(Answer):
    """Slots of a calendar, each of so many minutes, in order of time."""

    calendar: str
    minutes: int
    slots: list[FreeSlot]


class CallTried(HandoverAnswer):
    """A handover after a call that was not answered; `rebook`: it was the last, and the customer is to be written."""

    tries: int
    rebook: bool


class CallBacks(Answer):
    """Call-backs that no agent has taken."""

    call_backs: list[HandoverAnswer]
