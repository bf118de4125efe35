"""The forms of requests about agents and about routing."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from decisioning.facts.ids import SubjectId
from decisioning.routing.work import PresenceState
from decisioning.spec import Strict
from serving.contract import Name

_Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Many = Annotated[int, Field(ge=0, le=100)]
Handover = Annotated[str, Field(pattern=r"^h-[0-9a-f]{32}$")]
QUEUE: Final = "queue"
"""The subject of events about the caller's own queue."""
QUEUE_STATE: Final = "queue.state"
EventType = Literal[
    "agent.state", "agent.heartbeat", "agent.conversations", "conversation.started", "conversation.ended", "queue.state"
]


class AgentIn(Strict):
    """What an agent can do, in place of what was stated before.

    `proficiency`: by skill; a skill that is absent is not asked of them. `trained`: for what they were trained, such as
    `vulnerable`. `capacity`: by channel, how many conversations they hold at once if all are on it. The shift: from
    when until when they get something new; without it always.
    """

    languages: Annotated[tuple[_Language, ...], Field(min_length=1, max_length=50)]
    proficiency: Annotated[dict[Name, _Share], Field(max_length=500)] = {}
    trained: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    capacity: Annotated[dict[Name, _Many], Field(min_length=1, max_length=50)]
    shift_starts_at: AwareDatetime | None = None
    shift_ends_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if (self.shift_starts_at is None) != (self.shift_ends_at is None):
            raise ValueError("shift_ends_at: state when the shift begins and when it ends, or neither")
        if self.shift_starts_at and self.shift_ends_at and self.shift_ends_at <= self.shift_starts_at:
            raise ValueError("shift_ends_at: the shift ends before it begins")
        return self


class StateData(Strict):
    """What an agent does now; `until`: when it ends by itself, followed by `available`."""

    state: PresenceState
    until: AwareDatetime | None = None


class ConversationsData(Strict):
    """All that an agent holds in the system's own queue: ids of conversations by channel."""

    held: Annotated[dict[Name, Annotated[tuple[SubjectId, ...], Field(max_length=100)]], Field(max_length=50)]


class ConversationData(Strict):
    """A conversation of the system's own queue. `upset`: the customer was; only at its start."""

    conversation_id: SubjectId
    channel: Name
    upset: bool = False


class NoData(Strict):
    """Nothing."""


class QueueIn(Strict):
    """One of the caller's queues: of a skill or of all, of a channel or of all.

    `waiting`: how many wait. `wait_s`: for how long the one has waited who waits longest. `free_agents`: how many have
    room for one more. What is not stated is unknown.
    """

    skill: Name | None = None
    channel: Name | None = None
    waiting: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    wait_s: Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)] | None = None
    free_agents: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class QueueData(Strict):
    """The state of the caller's queues at the time of the event. A queue that is not named stays as it was told."""

    queues: Annotated[tuple[QueueIn, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len({(one.skill, one.channel) for one in self.queues}) < len(self.queues):
            raise ValueError("queues: name each skill and channel once")
        return self


DATA: dict[str, type[Strict]] = {
    "agent.state": StateData,
    "agent.heartbeat": NoData,
    "agent.conversations": ConversationsData,
    "conversation.started": ConversationData,
    "conversation.ended": ConversationData,
    QUEUE_STATE: QueueData,
}


class AgentEventIn(Strict):
    """A CloudEvent (1.0) about an agent: `subject` is `agent:` and their id. An id of a source means one event.

    The subject of `queue.state` is `queue`. Of one queue the state of the latest time counts.
    """

    specversion: Literal["1.0"]
    id: SubjectId
    source: Annotated[str, Field(min_length=1, max_length=200)]
    type: EventType
    subject: Annotated[str, Field(pattern=r"^(agent:[!-~ ]{1,128}|queue)$")]
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_about_its_subject(self) -> Self:
        if (self.subject == QUEUE) != (self.type == QUEUE_STATE):
            raise ValueError(f"subject: `{QUEUE}` for {QUEUE_STATE}, and `agent:ID` for all else")
        return self

    @property
    def agent_id(self) -> str:
        """The id of the agent."""
        return self.subject.removeprefix("agent:")


class WaitingIn(Strict):
    """A conversation that waits in the caller's own queue. The fields are those of a handover."""

    conversation_id: SubjectId
    channel: Name
    since: AwareDatetime | None = None
    skill: Name | None = None
    language: Annotated[str, Field(min_length=2, max_length=16)] | None = None
    helps: bool = True
    upset: bool = False
    first: bool = False
    needs: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    knows: SubjectId | None = None
    call: bool = True


class RoutingIn(Strict):
    """Who waits: a handover, or a conversation of the caller's own queue."""

    handover_id: Handover | None = None
    waiting: WaitingIn | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.handover_id is None) == (self.waiting is None):
            raise ValueError("handover_id: name either a handover_id or who is waiting")
        return self
