"""Handovers that decisions open: a live decision within a conversation that calls a person opens one."""

from collections.abc import Mapping
from typing import Any

from decisioning.catalogue.actions import HandoverKind
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.intents import Intent
from decisioning.catalogue.people.routing import HELPING
from decisioning.catalogue.policies import EmotionRule
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.schema import Facts
from decisioning.facts.signals import MESSAGE_TYPES
from decisioning.routing.lapsing import CHOOSES, choices_text
from decisioning.routing.opening import Opening
from decisioning.times import days_us
from features.handovers.slots import last_step, step_entry
from features.ledger import Entry, Ledger
from features.ledger.people.rows import step_key

BRAIN = "brain"
"""Who opens the handovers that decisions open."""
_WHATEVER_IT_IS_ABOUT: frozenset[HandoverKind] = frozenset(("objection", "access", "erasure"))
"""Kinds of handovers whose answer asks for no skill in what else the conversation is about; nor does what goes first,
which is for whoever is trained for it."""
_SURE = 0.5
"""How sure it must be what a conversation is about, so that only agents with this skill may help."""


def entries_of(ledger: Ledger, ask: Ask, known: Known, decision: Decision) -> list[Entry]:
    """Return the record that opens a handover; none if no person is called, or one is open in the conversation."""
    reason, conversation, decision_id = decision.kept.handover, ask.conversation_id, decision.kept.decision_id
    if reason is None or conversation is None or known.person.handover_in(conversation) is not None:
        return []
    opening = _opening(ask, decision, conversation, reason)
    name = name_of(decision_id)
    body = opening.body(name, conversation_key(ledger, conversation))
    return [step_entry(known.person.stream, body)]


def _opening(ask: Ask, decision: Decision, conversation: str, reason: str) -> Opening:
    release, rule, facts = decision.computed.release, decision.computed.mood.call, decision.computed.facts
    kind, first = (rule.kind, rule.first) if rule else (None, False)
    wanted = None if first or kind in _WHATEVER_IT_IS_ABOUT else _intent(release, facts)
    days = (rule.within_days if rule else None) or release.catalogue.settings.days_to_answer(kind)
    return Opening(
        conversation,
        reason,
        ask.channel,
        BRAIN,
        customer_id=ask.customer_id,
        visitor_id=ask.visitor_id,
        kind=kind,
        skill=wanted.needs_skill if wanted else None,
        issue=wanted.issue if wanted else None,
        language=_language(release, facts) or ask.locale,
        helps=wanted is None or wanted.issue in HELPING,
        upset=decision.computed.mood.upset,
        first=first,
        needs=rule.needs if rule else (),
        due_us=None if days is None else decision.kept.decided_us + days_us(days),
        decision_id=decision.kept.decision_id,
        more={
            **_text(rule, decision.computed.case.locale),
            **({} if ask.account_id is None else {"account_id": ask.account_id}),
        },
    )


def _text(rule: EmotionRule | None, locale: str) -> dict[str, str]:
    """Return what the company approved to tell the customer meanwhile, if there is such a text in their locale."""
    return {"text": rule.text[locale]} if rule and locale in rule.text else {}


def _intent(release: Release, facts: Facts) -> Intent | None:
    """Return what the conversation is about, if that is known, sure, and one of the release's intents."""
    signals = [(f.name, f.signal) for f in release.catalogue.features if f.signal is not None]
    sure = (facts.get(name) for name, s in signals if s.compute == "last" and s.field == "intent_confidence")
    if any(isinstance(value, float) and value < _SURE for value in sure):
        return None
    heard = {facts.get(name) for name, s in signals if s.holds_the_intent}
    return next((intent for intent in release.catalogue.intents if intent.id in heard), None)


def _language(release: Release, facts: Facts) -> str | None:
    """Return the language of the last message, if a feature holds it."""
    signals = ((f.name, f.signal) for f in release.catalogue.features if f.signal is not None)
    held = (
        name for name, s in signals if s.compute == "last" and s.field == "language" and {*s.of} <= {*MESSAGE_TYPES}
    )
    return next((spoken for name in held if isinstance(spoken := facts.get(name), str)), None)


def name_of(decision_id: str) -> str:
    """Return the id of the handover that a decision opens."""
    return f"h-{decision_id.removeprefix('d-')}"


def conversation_key(ledger: Ledger, conversation_id: str) -> str:
    """Return the keyed hash under which tables know a conversation."""
    return ledger.key_of(f"conversation:{conversation_id}")


def with_handover(
    ledger: Ledger, catalogue: Catalogue, ask: Ask, known: Known, answer: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an answer with the handover that it opened, or that is open: id, reference, text.

    Where the promised time of an open one is over, it says so whether or not this decision calls a person, with what
    the customer may choose.
    """
    if ask.conversation_id is None:
        return dict(answer)
    before = known.person.handover_in(ask.conversation_id)
    lapsed = before is not None and before.state in CHOOSES
    if answer["handover"] is None and not lapsed:
        return dict(answer)
    names = [name_of(answer["decision_id"]), *([] if before is None else [before.id])]
    records = (ledger.lookup(step_key(name, 0)) for name in names)
    opened = next((record.body for record in records if record is not None and record.body is not None), None)
    if opened is None:
        return dict(answer)
    about = _about(opened) | (_choices(ledger, catalogue, before, opened, known) if before and lapsed else {})
    return {**answer, "handover": {"reason": opened["reason"], **(answer["handover"] or {}), **about}}


def _about(opened: Mapping[str, Any]) -> dict[str, Any]:
    name = opened["handover_id"]
    return {
        "handover_id": name,
        "reference": reference(name),
        **({"text": opened["text"]} if "text" in opened else {}),
    }


def _choices(
    ledger: Ledger, catalogue: Catalogue, handover: OpenHandover, opened: Mapping[str, Any], known: Known
) -> dict[str, Any]:
    due_us = last_step(ledger, handover.id, handover.step).get("due_us")
    if due_us is None:
        return {}
    named = reference(handover.id)
    return choices_text(catalogue, handover.state, opened, due_us, named, known.person.consents)


def reference(handover_id: str) -> str:
    """Return what a customer is told to name a handover by: eight characters."""
    return handover_id.removeprefix("h-")[:8].upper()
