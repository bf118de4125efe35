"""The context package: all that an agent needs who takes over a conversation, so that nobody has to repeat themselves.

A pure function of what is known and permitted. Whoever calls it leaves out what was collected for a purpose that is not
permitted; nothing here reads anything else. Every part says what the agent may do with it (`use`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from decisioning.catalogue.actions import CARE_KINDS
from decisioning.catalogue.people.package import USES, FactsHeading, ShownFeature
from decisioning.catalogue.policies import reason_in
from decisioning.catalogue.release import Release
from decisioning.facts.schema import Facts, Feature, worded
from decisioning.facts.signals import UNKNOWN_INTENT
from decisioning.records.wording_2 import filled
from decisioning.routing.package_words import TEXTS, spoken_in, words_that_help
from decisioning.times import iso

Json = dict[str, Any]
MAX_EVENTS: Final = 20
"""How many interactions are shown, the newest."""
MAX_REFUSALS: Final = 20
"""Of how many actions the package says why they must not be offered."""
_TREND_FROM: Final = 0.2
"""From which change of the sentiment on the messages count as more or less negative."""
_LIKELY: Final = 0.5
"""From which certainty an intent is told of somebody whose need goes before all else."""
_SURE: Final = ((0.8, "high"), (_LIKELY, "medium"), (0.0, "low"))
_NEGATIVE_FROM: Final = 0.5
_ASKED: Final = ("wants_person", "complaint", "repetition")
_FIGURES: Final = ("issue", "tier", "automation", "price_eur", "confidence")


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something that happened between the customer and the company.

    `what`: a record's kind. `about`: an action, or a signal's type. `state`: how far a contact got, an outcome, or a
    state of a handover. `said`: what an agent wrote about it.
    """

    at_us: int
    what: Literal["shown", "answer", "handover", "signal", "judged"]
    channel: str | None = None
    about: str | None = None
    state: str | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the package is made of.

    `handover`: the handover as it is shown. `facts`: as served, with nothing whose purpose is not permitted.
    `messages`: the fields of the customer's messages in this conversation, oldest first. `mood_read`: whether moods may
    be read. `suggested`: the answer of a preview on the agent's channel, as an agent gets it. `refusals`: action -> why
    it must not be offered. `words`: what was said, as JSON; `words_url`: where the company's chat keeps it.
    """

    release: Release
    locale: str
    handover: Mapping[str, Any]
    facts: Facts
    mood_read: bool
    messages: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Interaction] = ()
    suggested: Mapping[str, Any] | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[Json] = ()
    words_url: str | None = None

    def text(self, name: str) -> str:
        """Return one of our own texts in the language of the package."""
        return TEXTS[spoken_in(self.locale)][name]

    def title(self, action: str) -> str:
        """Return the first line of an action that names no fact, or its name if none of its texts begins with one."""
        declared = self.release.actions.get(action)
        texts = (t.content.get(self.locale, {}) for t in declared.treatments) if declared is not None else ()
        lines = (next(iter(text.values()), "") for text in texts)
        return next((line for line in lines if line and "{" not in line), action.replace("-", " "))


def package_of(situation: Situation) -> Json:
    """Return the package as JSON types."""
    handover, said = situation.handover, words_that_help(situation.release.catalogue.settings, situation.locale)
    return {
        **{name: handover[name] for name in ("handover_id", "customer_id", "visitor_id") if name in handover},
        "locale": situation.locale,
        "who": _who(handover),
        "wants": _wants(situation),
        "mood": _mood(situation),
        "interactions": [_interaction(situation, event) for event in _newest(situation.events)],
        "tried": _tried(situation),
        "facts": list(_headings(situation)),
        "suggestions": list(_suggestions(situation)),
        "not_to_offer": [
            {"action": name, "title": situation.title(name), "why": why, "use": "act_on"}
            for name, why in list(situation.refusals.items())[:MAX_REFUSALS]
        ],
        "help": {"acknowledge": list(said.acknowledge), "way_out": list(said.way_out), "use": "aloud"},
        "words": list(situation.words),
        "words_url": situation.words_url,
    }


def outside_package(situation: Situation) -> Json:
    """Return what of the package may leave for the company's other systems, which no agent reads alone.

    The words stay with who helps, and so does what agents wrote. If care is needed, nothing leaves from which one could
    tell for what: neither the reason, nor how the company answered, nor what is suggested or must not be offered.
    """
    package = package_of(situation)
    package |= {"words": [], "interactions": [{**event, "said": None} for event in package["interactions"]]}
    if not _needs_care(situation.handover):
        return package
    wants = {**package["wants"], "reason": situation.text("care"), "approved_text": None}
    return {**package, "wants": wants, "suggestions": [], "not_to_offer": []}


def _needs_care(handover: Mapping[str, Any]) -> bool:
    return bool(handover.get("kind") in CARE_KINDS or handover.get("first") or handover.get("needs"))


def _who(handover: Mapping[str, Any]) -> Json:
    names = ("reference", "conversation_id", "channel", "language", "state", "agent_id", "opened_at", "waits_since")
    return {**{name: handover.get(name) for name in names}, "use": "aloud"}


def _wants(situation: Situation) -> Json:
    """Return what the customer wants and how sure that is, from the newest message that has an intent.

    `approved_text`: how the company answered meanwhile. What was inferred of the customer has no other name here.
    """
    heard: Mapping[str, Any] = next(
        (m for m in reversed(situation.messages) if m.get("intent", UNKNOWN_INTENT) != UNKNOWN_INTENT), {}
    )
    intent = next((i for i in situation.release.catalogue.intents if i.id == heard.get("intent")), None)
    sure = heard.get("intent_confidence") if intent else None
    if situation.handover.get("first") and (sure or 0.0) < _LIKELY:
        intent, sure = None, None
    return {
        "reason": reason_in(situation.release.catalogue.emotion, situation.handover["reason"], situation.locale),
        "approved_text": situation.handover.get("text"),
        "intent": None if intent is None else intent.id,
        "title": None if intent is None else worded(intent.title, situation.locale),
        "sure": sure,
        "confidence": None if sure is None else next(word for least, word in _SURE if sure >= least),
        "asks": [situation.text(name) for name in _ASKED if any(m.get(name) for m in situation.messages)],
        "use": "act_on",
    }


def _mood(situation: Situation) -> Json:
    """Return the course of the messages in words, with what shows it; never a name of a feeling or a diagnosis."""
    if not situation.mood_read:
        return {"shown": False, "text": situation.text("asked so"), "use": "never"}
    scored = [m for m in situation.messages if "sentiment" in m]
    if not scored:
        return {"shown": False, "text": situation.text("nothing heard"), "use": "never"}
    trend = _trend([m["sentiment"] for m in scored])
    cues = [situation.text(name) for name in ("shouting", "punctuation") if any(m.get(name) for m in scored)]
    if any(m.get("negative", 0.0) >= _NEGATIVE_FROM for m in scored):
        cues.append(situation.text("negative"))
    text = situation.text(trend or "single")
    return {"shown": True, "trend": trend, "text": text, "cues": cues, "messages": len(scored), "use": "act_on"}


def _trend(sentiments: Sequence[float]) -> Literal["worse", "better", "same"] | None:
    """Return how the sentiment went from the first message to the last; None of a single message."""
    if len(sentiments) < 2:
        return None
    change = sentiments[-1] - sentiments[0]
    return "worse" if change <= -_TREND_FROM else "better" if change >= _TREND_FROM else "same"


def _newest(events: Iterable[Interaction]) -> list[Interaction]:
    return sorted(events, key=lambda event: event.at_us, reverse=True)[:MAX_EVENTS]


def _interaction(situation: Situation, event: Interaction) -> Json:
    title = None if event.about is None or event.what == "signal" else situation.title(event.about)
    return {"at": iso(event.at_us), **_stated(event), "title": title, "use": "act_on" if event.said else "aloud"}


def _stated(event: Interaction) -> Json:
    return {name: getattr(event, name) for name in ("what", "channel", "about", "state", "said")}


def _tried(situation: Situation) -> Json:
    """Return which actions were shown and answered, and which of the answers was a no, newest first."""
    events = sorted(situation.events, key=lambda event: event.at_us, reverse=True)
    shown = dict.fromkeys(e.about for e in events if e.what == "shown" and e.about)
    answered = {e.about: e.state for e in reversed(events) if e.what == "answer" and e.about}
    refused = [name for name, state in answered.items() if state in _negative(situation.release, name)]
    parts = {"shown": shown, "answered": answered, "refused": refused}
    return {
        **{part: [{"action": n, "title": situation.title(n)} for n in names if n] for part, names in parts.items()},
        "use": "act_on",
    }


def _negative(release: Release, action: str) -> tuple[str, ...]:
    declared = release.actions.get(action)
    return () if declared is None else tuple(declared.outcomes.negative)


def _headings(situation: Situation) -> Iterator[Json]:
    """Yield the facts under each heading of the catalogue, or those that it lets be told if it lists none."""
    catalogue = situation.release.catalogue
    for heading in catalogue.package or _usual(situation):
        shown = [_fact(situation, one) for one in heading.features if one.name in situation.facts]
        if shown:
            yield {"id": heading.id, "title": worded(heading.title, situation.locale), "facts": shown}


def _usual(situation: Situation) -> tuple[FactsHeading, ...]:
    features = tuple(
        ShownFeature(name=feature.name)
        for feature in situation.release.schema.of_source("profile")
        if feature.because is not None and feature.because.use != "never" and feature.may_sell
    )
    title = {situation.locale: situation.text("known")}
    return (FactsHeading.model_construct(id="known", title=title, features=features),)


def _fact(situation: Situation, shown: ShownFeature) -> Json:
    feature, value = situation.release.schema[shown.name], situation.facts[shown.name]
    reason = "on_request" if feature.because is None else feature.because.use
    return {
        "name": shown.name,
        "label": worded(feature.description, situation.locale) or shown.name.replace("_", " "),
        "value": value,
        "text": _read(feature, situation),
        "use": shown.use or USES[reason],
    }


def _read(feature: Feature, situation: Situation) -> str:
    """Return how a value reads: a time as its date, a bool as yes or no."""
    value = situation.facts[feature.name]
    if isinstance(value, bool):
        return situation.text("yes" if value else "no")
    if feature.dtype == "timestamp" and isinstance(value, int):
        return iso(value)[:10]
    return "" if value is None else filled("{value}", value, feature, situation.locale)


def _suggestions(situation: Situation) -> Iterator[Json]:
    """Yield the next best actions with their reasons, the best first."""
    if situation.suggested is None:
        return
    for offer in (offer for placed in situation.suggested["placements"] for offer in placed["offers"]):
        content = offer["content"] or {}
        yield {
            "action": offer["action"],
            "treatment": offer["treatment"],
            "title": next(iter(content.values()), offer["action"].replace("-", " ")),
            **{name: offer.get(name) for name in _FIGURES},
            "reasons": [_reason(reason) for reason in offer["reasons"]],
            "use": "aloud",
        }


def _reason(reason: Mapping[str, Any]) -> Json:
    return {"text": reason["text"], "use": USES[reason["use"]] if reason.get("use") else "act_on"}
