"""The forms of answers and of signals, for the OpenAPI document and for programs. Tests hold the answers to them.

Routes write their answers in bytes, and signals are checked by the catalogue. A field that another release, audience or
request leaves out has a default here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from decisioning.catalogue.actions import Automation
from decisioning.facts.because import Use
from decisioning.facts.forms import Issue
from decisioning.facts.standing import ConsentStatus

Json = dict[str, Any]
Fact = bool | int | float | str | None
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Answer(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid")


class SignalIn(BaseModel):
    """What a customer did: a CloudEvent (1.0), whose `type` and `data` the catalogue declares.

    `subject`: `customer:ID`, `account:ID`, `visitor:ID`, or another identifier with its kind. `gpc`: the browser sent
    Global Privacy Control.
    """

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Moment | None = None
    data: Json | None = None
    gpc: bool | None = None


class ReasonText(Answer):
    """Why something is offered. The code is for programs, the text for people, in the locale of the request.

    Agents get of a reason about a feature where it may be used (null: told to the company alone), whether it speaks for
    the offer, and how much; the company gets the figure: what it adds to the log-odds, or multiplies the priority by.
    """

    code: str
    text: str
    use: Use | None = None
    direction: Literal["for", "against"] | None = None
    strength: Literal["weak", "moderate", "strong"] | None = None
    figure: float | None = None


class Hint(Answer):
    """A field of the request that keeps candidates out of its own answer, and how many."""

    field: Literal["account_id", "issues"]
    withheld: int
    text: str


class OfferAnswer(Answer):
    """What to do: an action in the form (treatment) that fits the channel and the placement.

    `propensity`: how likely the positive outcome is; `confidence`: how much evidence that rests on. `probability`: with
    what chance it was drawn for its slot. `automation`: whether it may be made without a person. The figures that a
    key may not see are left out.
    """

    offer_id: str
    action: str
    treatment: str
    issue: Issue
    tier: Literal["mandatory", "service", "commercial"]
    rank: int
    propensity: float | None = None
    uplift: float | None = None
    confidence: Literal["low", "medium", "high"] | None = None
    value_eur: float | None = None
    price_eur: float | None
    priority: float | None = None
    probability: float | None = None
    tone: str
    automation: Automation
    content: Json | None
    content_ref: str | None
    expires_at: Moment
    reasons: list[ReasonText]
    contest: str | None = None
    human: str | None = None


class Placement(Answer):
    """What to show in one placement; `empty_reason`: why nothing."""

    name: str
    empty_reason: str | None
    offers: list[OfferAnswer]


class Handover(Answer):
    """That a person should take over; why is left out for keys that may not see it."""

    reason: str | None


class DecisionAnswer(Answer):
    """What to do next for a customer, in each placement of the request.

    `withheld`: how many candidates were not permitted. `supersedes`: the decision of the same request that this one
    replaces. `degraded`: what it had to do without. `hints`: what the request itself keeps out. `disclosure`: the text
    that tells that a machine is talking.
    """

    decision_id: str
    customer_id: str | None = None
    visitor_id: str | None = None
    decided_at: Moment
    arm: str
    mode: Literal["live", "preview"]
    environment: str
    placements: list[Placement]
    handover: Handover | None
    withheld: int
    model: str
    release: str
    supersedes: str | None
    degraded: list[str]
    disclosure: str | None = None
    hints: list[Hint] | None = None


class Candidate(Answer):
    """What was considered: permitted, with what its priority is made of, or stopped, with the first gate that did.

    `text`: locale -> why it was not chosen.
    """

    treatment: str
    passed: bool
    cites: dict[str, str] | None = None
    propensity: float | None = None
    evidence: float | None = None
    value_eur: float | None = None
    cost_eur: float | None = None
    context_weight: float | None = None
    lever: float | None = None
    uplift: float | None = None
    priority: float | None = None
    chosen: bool | None = None
    probability: float | None = None
    contributions: Json | None = None
    gate: str | None = None
    why: str | None = None
    facts: dict[str, Fact] | None = None
    text: dict[str, str] | None = None


class Explanation(DecisionAnswer):
    """A decision with everything that it was made from, every candidate, and what would change it."""

    request: Json
    facts: dict[str, Fact]
    read: Json
    permissions: dict[str, str]
    paused: list[str]
    picks: list[Json]
    candidates: list[Candidate]
    asserted: list[dict[str, str]]
    counterfactual: Json
    text: Any


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
    """The profile and the standing of a customer."""

    customer_id: str
    facts: dict[str, Fact]


class Account(StandingAnswer):
    """The standing of an account, for actions of account scope."""

    account_id: str


class LookTold(Answer):
    """When somebody looked at the subject, in which role and for which purpose."""

    subject: str
    at: Moment
    role: str
    what: Literal["glance", "explanation", "export"]
    purpose: str


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
    next: str | None


class DeadLetter(Answer):
    """A delivery that was given up."""

    id: str
    moment: str
    attempts: int
    error: str


class DeadLetters(Answer):
    """A page of deliveries that were given up; `next` as in an export."""

    dead: list[DeadLetter]
    next: int | None


class WithheldDelivery(Answer):
    """A delivery that is not sent, and the gates that stopped it."""

    id: str
    moment: str
    route: str
    gates: list[str]


class WithheldDeliveries(Answer):
    """A page of deliveries that are not sent; `next` as in an export."""

    withheld: list[WithheldDelivery]
    next: int | None


class LookAnswer(LookTold):
    """A look at a subject, and who took it: `key:ID`, `person:ID` or `user:NAME` of the operating system."""

    who: str
    case: str | None = None
    customer_id: str | None = None
    account_id: str | None = None
    visitor_id: str | None = None


class LooksAnswer(Answer):
    """A page of looks at subjects; `next` as in an export."""

    looks: list[LookAnswer]
    next: int | None


class SecurityEventAnswer(Answer):
    """Requests of one kind that were refused, `n` of them, without personal data."""

    at: Moment
    kind: str
    key_id: str | None
    route: str
    n: int


class SecurityEventsAnswer(Answer):
    """A page of what was refused for want of a right; `next` as in an export."""

    events: list[SecurityEventAnswer]
    next: int | None


class Alive(Answer):
    """That the process runs."""

    status: Literal["ok"]


class WithoutApproval(Answer):
    """What was let serve without the approval of a second person, when and why."""

    what: Literal["release", "model", "resume"]
    item: str
    hash: str
    at: Moment
    reason: str


class Ready(Answer):
    """That decisions can be committed, by which release and model, and what serves `prod` without approval."""

    status: Literal["ready"]
    release: str
    model: str
    without_approval: list[WithoutApproval] = []


class ProblemKind(Answer):
    """A kind of problem document."""

    name: str
    status: int
    title: str
    about: str


class NamedAction(Answer):
    """An action that may be named in outcomes and pauses, and its treatments."""

    action: str
    issue: Issue
    group: str
    tier: str
    scope: Literal["person", "account"]
    outcomes: list[str]
    treatments: list[str]


class Actions(Answer):
    """The actions of the release that serves."""

    release: str
    actions: list[NamedAction]


class NamedChannel(Answer):
    """A channel and its placements."""

    channel: str
    direction: Literal["inbound", "outbound"]
    purposes: list[str]
    placements: list[str]


class Channels(Answer):
    """The channels of the release that serves, and the purposes that consents may be about."""

    release: str
    channels: list[NamedChannel]
    purposes: list[str]


class Approved(Answer):
    """What a person approved."""

    approved: str
    what: Literal["release", "model", "resume"]
    item: str
    environment: str


class ServedRelease(Answer):
    """When a release began to serve, who made it serve, and who approved it or why nobody did."""

    release: str
    environment: str
    at: Moment
    author: str
    current: bool
    approved_by: str | None = None
    without_approval: str | None = None


class Releases(Answer):
    """The latest activations, newest first."""

    releases: list[ServedRelease]
