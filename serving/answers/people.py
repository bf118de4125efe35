"""The forms of what is answered about handovers and the people who take them."""

from typing import Any, Literal

from decisioning.facts.forms import Issue
from decisioning.facts.handovers import HandoverState
from decisioning.routing.work import PresenceState
from serving.answers.decisions import HandoverChoice, OfferAnswer
from serving.answers.form import Answer, Moment


class HandoverAnswer(Answer):
    """A handover. `reference`: what the customer may name it by. `due_at`: when something has to happen next. `text`:
    what the company approved to tell the customer meanwhile. `choices_text`, `choices`: what a customer is told whom
    nobody helped in time, and what they may choose.

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
    account_id: str | None = None
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
    choices_text: str | None = None
    choices: list[HandoverChoice] = []
    status: Literal["opened", "repeated", "already_open"] | None = None


class AlternativeAnswer(OfferAnswer):
    """An alternative: what it gives away, in euros and as a share of what is left to give."""

    gives_eur: float
    share_of_left: float


class NegotiationAnswer(Answer):
    """What is on offer to a customer in a conversation, and what else may be, within what is left to give.

    `closed`: why nothing may be offered, or not what was taken, in the locale of the request. `is_new`: whether what is
    on offer was taken just now; a gate may have closed since it was shown.
    """

    handover_id: str
    decision_id: str | None
    closed: str | None
    left_eur: float
    on_offer: AlternativeAnswer | None
    alternatives: list[AlternativeAnswer]
    is_new: bool


class ChoiceAnswer(Answer):
    """What became of a handover by the customer's choice, and what they may choose now."""

    handover_id: str
    reference: str
    state: HandoverState
    due_at: Moment | None
    choices_text: str | None = None
    choices: list[HandoverChoice] = []


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


class AgentAnswer(Answer):
    """An agent: what is stated, and what they do now. `handovers`: those they were offered or have.

    `conversations`: by channel, also those of another system's queue. `heard_of`: when their screen last was.
    `why`: what decides whom they get, in words.
    """

    agent_id: str
    languages: list[str]
    proficiency: dict[str, float]
    trained: list[str]
    capacity: dict[str, int]
    shift_starts_at: Moment | None
    shift_ends_at: Moment | None
    state: PresenceState | Literal["offered", "busy"]
    since: Moment | None
    until: Moment | None
    conversations: dict[str, int]
    handovers: list[str]
    upset_in_a_row: int
    heard_of: Moment | None
    why: list[str] = []


class Agents(Answer):
    """A page of agents, by id; `next` is the `after` of the next page."""

    agents: list[AgentAnswer]
    next: str | None


class AgentRecord(Answer):
    """A record of what an agent did; without a body, it was overwritten when its time was over."""

    version: int
    kind: str
    recorded_at: Moment
    occurred_at: Moment
    body: dict[str, Any] | None


class AgentExport(AgentAnswer):
    """Everything that is held of an agent; `next_record` is the `after` of the next page."""

    records: list[AgentRecord]
    next_record: int | None


class AgentErased(Answer):
    """The agent was erased."""

    agent_id: str
    erased: Literal[True]


class RankedAgent(Answer):
    """An agent who may help now. `score_s`: what speaks for them, in seconds of waiting; `reasons`: its parts."""

    agent_id: str
    score_s: float
    reasons: list[str]


class FailedAgent(Answer):
    """An agent who may not help now, and which requirement fails."""

    agent_id: str
    requirement: str
    text: str


class Advice(Answer):
    """Agents who may help, best first. `in_time`: false if there is no advice, and the caller's own order holds.

    `relaxes_in_s`: in how many seconds less is asked for, null if it stays so. Of several who wait the one with the
    highest `score_s` of an agent goes first, to that agent. `urgency_s`: the highest score of this answer, or the wait
    in seconds if nobody is ranked; the wait counts for more where help is needed. `held_for`: the agent who knows the
    customer, and for whom they wait until then. `most_upset`: agents who get no upset customer now, as long as somebody
    else on shift may help; it also holds for those asked for next.
    """

    in_time: bool
    ranked: list[RankedAgent]
    failed: list[FailedAgent]
    relaxes_in_s: float | None
    urgency_s: float | None
    held_for: str | None
    most_upset: list[str]
