"""The forms of what operators, auditors and those who name things read."""

from typing import Literal

from decisioning.facts.forms import Issue
from serving.answers.form import Answer, Moment
from serving.answers.held import LookTold


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
    """A look at a subject, and who took it: `key:ID`, `person:ID` or `user:NAME` of the operating system.

    `decision_id`: the decision that was explained; looks before it was recorded do not have it.
    """

    who: str
    case: str | None = None
    customer_id: str | None = None
    account_id: str | None = None
    visitor_id: str | None = None
    decision_id: str | None = None


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


class CheckedRelease(Answer):
    """The release that files make, and what it holds. `removes`: the gates and caps of what serves that it lacks.

    `proposed`: whether it waits for approval; `waits_for` says what is to be done until it serves, and is null if
    somebody approved it before or nobody is asked here. `superseded_and_gone` and `advice` are as `brain check` says.
    """

    release: str
    environment: str
    proposed: bool
    waits_for: str | None = None
    actions: int
    treatments: int
    features: int
    policies: int
    personas: int
    removes: list[str] | None = None
    superseded_and_gone: list[str] | None = None
    advice: list[str] | None = None


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
