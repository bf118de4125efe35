"""The forms of what was recorded, and of what is held about a subject."""

from typing import Literal

from pydantic import BaseModel

from decisioning.facts.standing import ConsentStatus
from serving.answers.form import Answer, Fact, Json, Moment


class ItemAnswer(Answer):
    """What became of one item of an array, by its index."""

    index: int
    status: str
    type: str | None = None
    field: str | None = None
    detail: str | None = None


class Recorded(Answer):
    """How many statements were recorded, repeated (told before), corrected or refused; of an array, each one's end."""

    recorded: int
    repeated: int | None = None
    corrected: int | None = None
    refused: int | None = None
    results: list[ItemAnswer] | None = None


class SignalsRecorded(Answer):
    """How many events were accepted, were duplicates, corrected an earlier one or were refused, and each one's end."""

    accepted: int
    duplicate: int
    refused: int
    corrected: int | None = None
    results: list[Json]


class Linked(Answer):
    """The link as it now is: of a visitor, or of another customer, each named by a keyed hash."""

    customer_id: str
    visitor: str | None = None
    customer: str | None = None
    status: Literal["linked", "unlinked"]


class Updated(Answer):
    """The facts that were set."""

    customer_id: str
    updated: list[str]


class Restricted(Answer):
    """Whether the subject's data may only be kept now, and not used."""

    customer_id: str | None = None
    visitor_id: str | None = None
    account_id: str | None = None
    restricted: bool


class ErasedAnswer(Answer):
    """That everything about the subject is erased; files follow within the stated time."""

    customer_id: str | None = None
    visitor_id: str | None = None
    account_id: str | None = None
    erased: Literal[True]


class LinkMade(Answer):
    """A link to the customer's own page: it opens the page once, until it expires or is revoked."""

    customer_id: str
    url: str
    expires_at: Moment


class LinksRevoked(Answer):
    """How many links and codes of a customer, which were still valid, are not any more."""

    customer_id: str
    revoked: int


class CodeMade(Answer):
    """A one-time code for the customer to type at their own page; it revokes earlier ones."""

    customer_id: str
    code: str
    expires_at: Moment


class CustomerRequest(Answer):
    """What a customer asks of a person, by when it is to be answered, and the answer; `text` is in their words."""

    number: str
    about: Literal["contest", "access", "erasure", "person", "complaint"]
    state: Literal["open", "in_review", "answered"]
    customer_id: str
    opened_at: Moment
    due_at: Moment
    decision_id: str | None
    text: str | None
    reviewer: str | None
    answer: str | None
    changed: bool | None
    reason: str | None
    offered: str | None
    excluded: str | None


class CustomerRequests(Answer):
    """A page of requests; `next` as in an export."""

    requests: list[CustomerRequest]
    next: str | None


class ConsentHeld(Answer):
    """A consent as it was last stated."""

    purpose: str
    channel: str
    status: ConsentStatus
    source: str
    notice_version: str
    occurred_at: Moment
    expires_at: Moment | None


class LinkHeld(Answer):
    """An identifier that is or was linked."""

    visitor: str
    kind: str
    status: Literal["linked", "unlinked"]
    source: str
    occurred_at: Moment


class ContactHeld(Answer):
    """An offer that was made, and how far it got."""

    offer_id: str
    action: str
    channel: str
    at: Moment
    state: str


class OutcomeHeld(Answer):
    """What the customer did with an action."""

    action: str
    outcome: str
    at: Moment


class StandingAnswer(Answer):
    """What is held of a subject: consents, links, the latest contacts and the latest outcomes."""

    erased: bool
    restricted: bool
    consents: list[ConsentHeld]
    links: list[LinkHeld]
    contacts: list[ContactHeld]
    outcomes: list[OutcomeHeld]


class Customer(StandingAnswer):
    """The profile and the standing of a customer.

    `not_shown`: features that the customer did not permit the company to read.
    """

    customer_id: str
    facts: dict[str, Fact]
    not_shown: list[str] | None = None


class Account(StandingAnswer):
    """The standing of an account, for actions of account scope."""

    account_id: str


class LookTold(Answer):
    """When somebody looked at the subject, in which role and for which purpose."""

    subject: str
    at: Moment
    role: str
    what: Literal["glance", "handover", "package", "explanation", "export"]
    purpose: str


class WordsTold(Answer):
    """What was said in a conversation that a person helps with. `until`: when it is deleted, once that is known."""

    subject: str
    speaker: Literal["customer", "agent", "bot"]
    at: Moment
    text: str
    until: Moment | None


class Export(BaseModel):
    """A page of everything that is held about a subject; the first page has the profile and the standings as well.

    `next`: what to send as `after` for the page after this one; null on the last.
    """

    customer_id: str | None = None
    visitor_id: str | None = None
    account_id: str | None = None
    records: list[Json]
    events: list[Json]
    looks: list[LookTold]
    words: list[WordsTold]
    next: str | None
