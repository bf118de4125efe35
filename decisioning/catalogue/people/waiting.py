"""What the settings state about conversations with people, and about handovers that no agent takes in time."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from decisioning.catalogue.people.package import HelpWords
from decisioning.facts.handovers import HandoverState
from decisioning.spec import Id, Locale, Strict

Choice = Literal["call_back", "written", "wait"]
"""What a customer may choose whom nobody helped in time: an appointment, a written answer, or to wait on."""
_Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class HandoverSettings(Strict):
    """Conversations with people. `text_hours`: how long the words of one are held after its handover ended.
    `text_before_h`: how long words are held that were said while no handover was open, so that whoever takes over reads
    them; 0: they are not.

    Of handovers that no agent takes in time, `promise_s`: within which time a person is promised where the skill states
    none. `owner`: who gets the tickets of those that nobody took. `ticket_h`: within how many hours a ticket is
    answered. `text`: locale -> what the customer is told, and `choices`: choice -> locale -> how it is put to them, in
    place of ours; `{reference}` stands for what they may name the handover by, and `{time}` for when they hear of it
    at the latest. `words`: locale -> words that help an agent, in place of ours. `deliver`: the states whose coming is
    told to the company's systems over the signed webhook, with the context package as it may leave then.
    `confirm_consents`: whether they are told of each consent that a customer gives in a conversation, with a text that
    confirms it, so that they send it in writing.
    """

    text_hours: float = Field(default=24.0, gt=0, le=720)
    text_before_h: float = Field(default=0.0, ge=0, le=24)
    promise_s: Annotated[float, Field(ge=30, le=86_400)] = 900.0
    owner: Id = "lead"
    ticket_h: Annotated[float, Field(gt=0, le=24 * 28)] = 24.0
    text: dict[Locale, _Text] = Field(default_factory=dict)
    choices: dict[Choice, dict[Locale, _Text]] = Field(default_factory=dict)
    words: dict[Locale, HelpWords] = Field(default_factory=dict)
    deliver: tuple[HandoverState, ...] = ()
    confirm_consents: bool = False
