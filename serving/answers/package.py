"""The form of the context package: what an agent is shown who has a handover."""

from typing import Literal

from decisioning.facts.forms import Issue
from decisioning.facts.handovers import HandoverState
from serving.answers.form import Answer, Fact, Moment


class ForAgent(Answer):
    """A part of what an agent is shown.

    `use`: say it (`aloud`), let it guide what you do without saying it (`act_on`), or neither (`never`).
    """

    use: Literal["aloud", "act_on", "never"]


class PackageWho(ForAgent):
    """Whose conversation it is, and where it stands."""

    reference: str
    conversation_id: str
    channel: str
    language: str | None
    state: HandoverState
    agent_id: str | None
    opened_at: Moment
    waits_since: Moment


class PackageWants(ForAgent):
    """What the customer wants: the reason of the handover, and the intent that was heard last, if one was.

    `sure`: how sure the intent is. `approved_text`: what the customer was answered meanwhile. `asks`:
    what else was heard, in words.
    """

    reason: str
    approved_text: str | None
    intent: str | None
    title: str | None
    sure: float | None
    confidence: Literal["high", "medium", "low"] | None
    asks: list[str]


class PackageMood(ForAgent):
    """The course of the messages in words. Where moods may not be read, `text` says that it is not shown."""

    shown: bool
    text: str
    trend: Literal["worse", "better", "same"] | None = None
    cues: list[str] = []
    messages: int | None = None


class PackageInteraction(ForAgent):
    """Something that happened before, on any channel."""

    at: Moment
    what: Literal["shown", "answer", "handover", "signal", "judged"]
    channel: str | None
    about: str | None
    title: str | None
    state: str | None
    said: str | None


class TriedAction(Answer):
    """An action, and how it reads."""

    action: str
    title: str


class PackageTried(ForAgent):
    """Which actions were shown, which were answered, and which of the answers was a no."""

    shown: list[TriedAction]
    answered: list[TriedAction]
    refused: list[TriedAction]


class PackageFact(ForAgent):
    """A fact; `text` is how its value reads."""

    name: str
    label: str
    value: Fact
    text: str


class PackageHeading(Answer):
    """Facts under a heading of the catalogue."""

    id: str
    title: str
    facts: list[PackageFact]


class PackageReason(ForAgent):
    """Why something is suggested."""

    text: str


class PackageSuggestion(ForAgent):
    """What to do next."""

    action: str
    treatment: str
    title: str
    issue: Issue
    tier: Literal["mandatory", "service", "commercial"]
    automation: Literal["automatic", "suggest", "human_only"]
    price_eur: float | None
    confidence: Literal["low", "medium", "high"] | None
    reasons: list[PackageReason]


class PackageRefusal(ForAgent):
    """What must not be offered, and why."""

    action: str
    title: str
    why: str


class PackageHelp(ForAgent):
    """Words that help: to acknowledge, and to offer a way out."""

    acknowledge: list[str]
    way_out: list[str]


class SaidWords(Answer):
    """What somebody said in this conversation."""

    speaker: Literal["customer", "agent", "bot"]
    at: Moment
    text: str


class PackageAnswer(Answer):
    """All that the agent needs who has a handover. `words_url`: where the company's own chat keeps what was said."""

    handover_id: str
    customer_id: str | None = None
    visitor_id: str | None = None
    locale: str
    who: PackageWho
    wants: PackageWants
    mood: PackageMood
    interactions: list[PackageInteraction]
    tried: PackageTried
    facts: list[PackageHeading]
    suggestions: list[PackageSuggestion]
    not_to_offer: list[PackageRefusal]
    help: PackageHelp
    words: list[SaidWords]
    words_url: str | None
