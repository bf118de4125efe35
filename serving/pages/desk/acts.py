"""What an agent does by a form of the desk; each act returns the path of the page that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from decisioning.errors import RequestError
from features.ledger import now_us
from features.ledger.past.changes import RETRACTED
from serving.contract import ConsentIn, ConsentSource, HandoverStepIn, OutcomeIn, parse
from serving.customers import outcomes
from serving.customers.recording import record_consent
from serving.people import handovers

if TYPE_CHECKING:
    from serving.pages.desk.site import Desk, Visitor

DESK: Final = "/desk"
UNDO_US: Final = 10_000_000
"""For how long a click can be undone: nothing is learned of it before its window closes anyway."""
_SAID: Final = {"maybe": "pitched", "later": "seen"}
"""What a doubt says of how far a contact got, as no outcome has happened yet."""


def _once(fields: dict[str, str]) -> str:
    once = fields.get("once", "")
    if not once:
        raise RequestError("once", "this form is not whole; open the page again")
    return once


async def record_outcome(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record what the customer said to an offer."""
    said, once = fields.get("outcome", ""), _once(fields)
    about = {"outcome_id": f"desk-{once}", "offer_id": fields.get("offer_id"), "outcome": _SAID.get(said, said)}
    outcome = parse(OutcomeIn, to_json(about))
    await desk.brain.pools.short.run_async(outcomes.record_outcome, desk.brain, outcome)
    return f"{DESK}/{handover_id}?done=kept&what={said}&once={once}"


async def undo_outcome(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Take back what was recorded by a click, within ten seconds."""
    once = _once(fields)
    record = await desk.brain.pools.short.run(desk.brain.ledger.lookup, f"outcome:desk-{once}")
    if record is not None and now_us() - record.at_us > UNDO_US:
        return f"{DESK}/{handover_id}?done=too-late"
    about = {"outcome_id": f"desk-{once}", "offer_id": _offer_of(record), "outcome": RETRACTED}
    outcome = parse(OutcomeIn, to_json(about))
    await desk.brain.pools.short.run_async(outcomes.record_outcome, desk.brain, outcome)
    return f"{DESK}/{handover_id}?done=undone"


def _offer_of(record: object) -> str | None:
    body = getattr(record, "body", None) or {}
    offer = body.get("offer_id")
    return offer if isinstance(offer, str) else None


async def keep_note(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Keep a note with the conversation."""
    work = handovers.keep_note
    await desk.brain.pools.short.run(
        work, desk.brain, handover_id, fields.get("note", ""), visitor.agent, _once(fields)
    )
    return f"{DESK}/{handover_id}?done=noted"


async def stop_purpose(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that the customer withdraws a consent, as they said to the agent."""
    shown = await desk.brain.pools.short.run(handovers.show, desk.brain, handover_id)
    channel = fields.get("channel", "*")
    statement = ConsentIn(
        customer_id=shown.get("customer_id"),
        visitor_id=shown.get("visitor_id"),
        purpose=fields.get("purpose", ""),
        channel=None if channel == "*" else channel,
        status="withdrawn",
        source=ConsentSource(kind=f"conversation:{handover_id}"),
    )
    await desk.brain.pools.consents.run_async(record_consent, desk.brain, statement)
    return f"{DESK}/{handover_id}?done=stopped"


async def hand_over(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Let the conversation wait for another agent, with a note for them."""
    skill, note = fields.get("skill") or None, fields.get("note") or None
    if note is None:
        raise RequestError("note", "tell the next person what they must know")
    await desk.step(handover_id, HandoverStepIn(state="transferred", note=note, skill=skill), visitor)
    return f"{DESK}?done=handed"


async def give_back(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Let the conversation wait again."""
    await desk.step(handover_id, HandoverStepIn(state="opened", reason="given back at the desk"), visitor)
    return f"{DESK}?done=gave-back"


async def resolve(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Close the conversation."""
    await desk.step(handover_id, HandoverStepIn(state="resolved"), visitor)
    return f"{DESK}?done=closed"
