"""The forms of signals, which the catalogue checks, and of decisions and their explanations."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from decisioning.catalogue.actions import Automation
from decisioning.catalogue.people.waiting import Choice
from decisioning.facts.because import Use
from decisioning.facts.forms import Issue
from serving.answers.form import Answer, Fact, Json, Moment


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


class HandoverChoice(Answer):
    """What a customer may choose whom nobody helped in time, and how it is put to them."""

    choice: Choice
    text: str


class Handover(Answer):
    """That a person should take over; why is left out for keys that may not see it.

    Of a request that names its conversation: `handover_id`, what the customer may name it by (`reference`), and what
    the company approved to tell them meanwhile (`text`). Where nobody helped in time, `choices_text` and `choices` are
    what they are told and may choose.
    """

    reason: str | None
    handover_id: str | None = None
    reference: str | None = None
    text: str | None = None
    choices_text: str | None = None
    choices: list[HandoverChoice] = []


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

    `text`: locale -> why it was not chosen. `silenced`: it sells, and the customer's mood or words silence that.
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
    silenced: bool | None = None
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
    not_shown: list[str] | None = None
    counterfactual: Json
    text: Any
