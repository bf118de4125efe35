"""Handovers that decisions open: a live decision within a conversation that calls a person opens one."""

from collections.abc import Mapping
from typing import Any

from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known
from decisioning.routing.opening import Opening
from features.ledger import Entry, Ledger

BRAIN = "brain"
"""Who opens the handovers that decisions open."""


def entries_of(ledger: Ledger, ask: Ask, known: Known, decision: Decision) -> list[Entry]:
    """Return the record that opens a handover; none if no person is called, or one is open in the conversation."""
    reason, conversation, decision_id = decision.kept.handover, ask.conversation_id, decision.kept.decision_id
    if reason is None or conversation is None or known.person.handover_in(conversation) is not None:
        return []
    opening = Opening(
        conversation,
        reason,
        ask.channel,
        BRAIN,
        customer_id=ask.customer_id,
        visitor_id=ask.visitor_id,
        language=ask.locale,
        decision_id=decision_id,
    )
    name = name_of(decision_id)
    body = opening.body(name, conversation_key(ledger, conversation))
    return [Entry(known.person.stream, "handover", body, None, key=f"handover:{name}#0")]


def name_of(decision_id: str) -> str:
    """Return the id of the handover that a decision opens."""
    return f"h-{decision_id.removeprefix('d-')}"


def conversation_key(ledger: Ledger, conversation_id: str) -> str:
    """Return the keyed hash under which tables know a conversation."""
    return ledger.key_of(f"conversation:{conversation_id}")


def with_handover(ledger: Ledger, ask: Ask, known: Known, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer that calls a person with the id of the handover: of the one it opened, or that was open."""
    if answer["handover"] is None or ask.conversation_id is None:
        return dict(answer)
    name = name_of(answer["decision_id"])
    if ledger.lookup(f"handover:{name}#0") is None:
        before = known.person.handover_in(ask.conversation_id)
        name = "" if before is None else before.id
    return {**answer, "handover": {**answer["handover"], **({"handover_id": name} if name else {})}}
