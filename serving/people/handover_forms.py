"""The forms of requests about handovers: to open one, to let it go on, and to call a customer back."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from decisioning.catalogue.people.waiting import Choice
from decisioning.facts.ids import SubjectId
from serving.contract import Name, RequestBody, check_plausible

_OWNER = "agent_id: a ticket has an owner"


class HandoverIn(RequestBody):
    """A conversation that is to be handed to a person.

    A `request_id` means one request: the same again is answered as before. `skill`: what the agent must be proficient
    in. `needs`: what the agent must be trained for. `helps`: it is about help rather than a sale. `knows`: the agent
    who knows the customer. `call`: false for who cannot hear or phone, and is never given to a voice channel.
    `account_id`: the account that it is about. `words_url`: where the company's own chat keeps what was said, for the
    agent who helps; then nothing of it is held.
    """

    request_id: SubjectId
    customer_id: SubjectId | None = None
    visitor_id: SubjectId | None = None
    account_id: SubjectId | None = None
    conversation_id: SubjectId
    channel: Name
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    skill: Name | None = None
    language: Annotated[str, Field(min_length=2, max_length=16)] | None = None
    helps: bool = True
    upset: bool = False
    needs: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    knows: SubjectId | None = None
    call: bool = True
    words_url: Annotated[str, Field(max_length=2000, pattern=r"^https://[!-~]+$")] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.customer_id is None) == (self.visitor_id is None):
            raise ValueError("customer_id: name either a customer_id or a visitor_id")
        return self


class NegotiationIn(RequestBody):
    """A question for alternatives within what is left to give, or the action that the agent takes (`take`).

    A `request_id` means one request: the same again is answered as before while it holds.
    """

    request_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    take: Name | None = None
    locale: Annotated[str, Field(min_length=2, max_length=16)] | None = None


class HandoverStepIn(RequestBody):
    """What becomes of a handover.

    `offered` and `accepted` name the agent; a person who signed in accepts for themselves alone. `opened`: the agent
    declines or gives it back, with a `reason`. `transferred`: it waits for another `skill` or for the agent `knows`,
    with a `note`. `call_back` and `ticket` have a time `due_at`, and a ticket has an owner, `agent_id`.
    """

    state: Literal["opened", "offered", "accepted", "transferred", "call_back", "ticket", "resolved", "cancelled"]
    agent_id: SubjectId | None = None
    reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    note: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    skill: Name | None = None
    knows: SubjectId | None = None
    due_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        check_plausible("due_at", self.due_at)
        if self.state in ("offered", "accepted", "ticket") and self.agent_id is None:
            raise ValueError(f"agent_id: who is {self.state} must be named" if self.state != "ticket" else _OWNER)
        if self.state in ("call_back", "ticket") and self.due_at is None:
            raise ValueError("due_at: say by when")
        if self.state == "transferred" and self.note is None:
            raise ValueError("note: tell the next agent what was done, so that the customer need not repeat it")
        return self


class AppointmentIn(RequestBody):
    """A slot of a calendar at which the customer is called back. `asked_for`: the customer chose this very time."""

    calendar: Name
    starts_at: AwareDatetime
    asked_for: bool = False

    @model_validator(mode="after")
    def _times(self) -> Self:
        check_plausible("starts_at", self.starts_at)
        return self


class ChoiceIn(RequestBody):
    """What a customer chose whom nobody helped in time.

    `call_back`: the first free slot that does not disturb them, or the one that they chose (`calendar`, `starts_at`).
    `written`: a written answer. `wait`: they wait on.
    """

    choice: Choice
    calendar: Name | None = None
    starts_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _of_a_call_back(self) -> Self:
        check_plausible("starts_at", self.starts_at)
        if (self.calendar is None) != (self.starts_at is None):
            raise ValueError("starts_at: name both a calendar and when its slot begins, or neither")
        if self.choice != "call_back" and self.calendar is not None:
            raise ValueError("calendar: only a call-back has a slot")
        return self


class CallTriedIn(RequestBody):
    """A call that the customer did not answer. `agent_id`: who called, and owns the ticket after the last try."""

    agent_id: SubjectId
    again_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _times(self) -> Self:
        check_plausible("again_at", self.again_at)
        return self


class SaleStepIn(RequestBody):
    """What became of a sale by voice: it was confirmed, or the customer withdrew. `step_id` means one thing told.

    `offer_id`: the offer that the customer agreed to at the desk. `occurred_at`: when it happened, such as when the
    letter was sent by which they withdrew; by default now.
    """

    step_id: SubjectId
    offer_id: SubjectId
    step: Literal["confirmed", "withdrawn"]
    occurred_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        check_plausible("occurred_at", self.occurred_at)
        return self
