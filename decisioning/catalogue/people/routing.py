"""How customers who wait are routed to people, as the catalogue states it."""

from typing import Annotated, Literal

from pydantic import Field

from decisioning.facts.forms import Issue
from decisioning.spec import Id, Strict

HELPING: frozenset[Issue] = frozenset(("service", "hardship"))
"""The issues that are about help rather than a sale."""
RoutingMode = Literal["advise", "own"]
_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class SkillRing(Strict):
    """From `after_s` of waiting on, an agent needs at least this proficiency."""

    after_s: _Seconds
    min_proficiency: Annotated[float, Field(ge=0, le=1)]


class Skill(Strict):
    """What agents are proficient in, and what conversations ask for.

    `issue`: which it belongs to. `rings`: how much proficiency is asked for, less as a customer waits. `wrap_up_s`: how
    long an agent has after a conversation. `promise_s`: within which time the company promises a person.
    """

    id: Id
    issue: Issue
    rings: Annotated[tuple[SkillRing, ...], Field(max_length=10)] = ()
    wrap_up_s: _Seconds = 0.0
    promise_s: Annotated[float, Field(gt=0, le=86_400)] | None = None

    @property
    def helps(self) -> bool:
        """Whether it is about help rather than a sale."""
        return self.issue in HELPING


class Routing(Strict):
    """How conversations come to people.

    `mode`: `advise` ranks agents for a telephone system that has queue and presence, `own` offers conversations itself.
    `known_agent_s`: for how long a customer waits for the agent who knows them; `known_agent_help_s`: who needs help,
    if that is less. `last_new_s`: how long before the end of a shift an agent gets nothing new. `most_upset_in_a_row`:
    upset customers for one agent. `offer_s`: how long an offer stands. `heartbeat_s`: after which silence an agent's
    screen counts as gone. `chat_grace_s`: how long chats of such an agent wait for them. `presence_days`: how long it
    is kept what agents were doing. `voice`: the channels on which people speak; who cannot phone is never given to
    them.
    """

    mode: RoutingMode = "advise"
    known_agent_s: _Seconds = 320.0
    known_agent_help_s: _Seconds = 165.0
    last_new_s: _Seconds = 300.0
    most_upset_in_a_row: Annotated[int, Field(ge=1, le=100)] = 4
    offer_s: Annotated[float, Field(ge=5, le=3600)] = 20.0
    heartbeat_s: Annotated[float, Field(ge=5, le=3600)] = 30.0
    chat_grace_s: _Seconds = 60.0
    presence_days: Annotated[int, Field(ge=1, le=3650)] = 90
    voice: tuple[Id, ...] = ("phone", "voice")
    skills: Annotated[tuple[Skill, ...], Field(max_length=500)] = ()

    def skill(self, name: str | None) -> Skill | None:
        """Return the skill of this id; None if there is none."""
        return next((skill for skill in self.skills if skill.id == name), None)
