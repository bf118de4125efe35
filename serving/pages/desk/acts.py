"""What an agent does by a form of the desk; each act returns the path of the page that follows."""

from functools import partial
from typing import Final

from pydantic_core import to_json

from decisioning.errors import RequestError
from serving.contract import Model, OutcomeIn, OverrideIn, parse
from serving.customers import outcomes
from serving.customers.corrections import record_override
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.people import call_backs, handovers
from serving.people.handover_forms import AppointmentIn, CallTriedIn, HandoverStepIn

UNDO_US: Final = 10_000_000
"""For how long a click can be undone: nothing is learned of it before its window closes anyway."""
_REACHED: Final = {"maybe": "pitched", "later": "seen", "said": "pitched"}
"""What an answer says of how far the contact got, where no outcome has happened."""
_ANSWERS: Final = frozenset(("accepted", "declined", *_REACHED))
DOUBTS: Final = ("price", "fit", "think", "ask-someone")
"""Why a customer says maybe; each has a text `doubt-NAME`."""


def once_of(fields: dict[str, str]) -> str:
    """Return the id of a form; raises RequestError if it has none."""
    once = fields.get("once", "")
    if not 1 <= len(once) <= 64:
        raise RequestError("once", "this form is not whole; open the page again")
    return once


def parsed(model: type[Model], **fields: object) -> Model:
    """Return a body made of fields of a form; raises RequestError as `parse` does."""
    return parse(model, to_json(fields))


async def record_answer(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that an offer was said, or what the customer answered."""
    said, once, offer_id = fields.get("outcome", ""), once_of(fields), fields.get("offer_id", "")
    if said not in _ANSWERS:
        raise RequestError("outcome", "choose one of the answers")
    outcome = parsed(OutcomeIn, outcome_id=f"desk-{once}", offer_id=offer_id, outcome=_REACHED.get(said, said))
    record = partial(outcomes.record_outcome, within_budget=True)
    await desk.brain.pools.short.run_async(record, desk.brain, outcome)
    about = {"offer_id": offer_id, "action": _action(desk, fields)}
    await desk.note_doing(visitor, handover_id, said, once, **about)
    return f"{DESK}/{handover_id}?done=kept&what={said}&once={once}"


def _action(desk: Desk, fields: dict[str, str]) -> str:
    action = fields.get("action", "")
    if action not in desk.brain.snapshot.release.actions:
        raise RequestError("action", "the catalogue has no such action; open the page again")
    return action


async def keep_doubt(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record why the customer says maybe."""
    doubt = fields.get("doubt", "")
    if doubt not in DOUBTS:
        raise RequestError("doubt", f"choose one of {', '.join(DOUBTS)}")
    once, maybe = once_of(fields), fields.get("answers", "")[:64]
    about = {"action": _action(desk, fields), "reason": doubt, **({"answers": maybe} if maybe else {})}
    await desk.note_doing(visitor, handover_id, "doubt", once, **about)
    return f"{DESK}/{handover_id}?done=doubted&once={once}"


async def do_instead(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that the agent does something else than was suggested, and why."""
    once, instead = once_of(fields), fields.get("instead") or None
    body = {
        "override_id": f"desk-{once}",
        "decision_id": fields.get("decision_id", ""),
        "offer_id": fields.get("offer_id", ""),
        "kind": "overridden",
        "reason": fields.get("reason", ""),
        **({"instead": instead} if instead else {}),
        **({"note": note} if (note := fields.get("note", "").strip()) else {}),
    }
    work = partial(record_override, by=visitor.doer)
    await desk.brain.pools.short.run_async(work, desk.brain, parsed(OverrideIn, **body))
    about = {"offer_id": fields["offer_id"], "action": _action(desk, fields), "reason": fields["reason"]}
    await desk.note_doing(
        visitor, handover_id, "overridden", once, **about, **({"instead": instead} if instead else {})
    )
    return f"{DESK}/{handover_id}?done=overridden&once={once}"


async def keep_note(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Keep a note with the conversation."""
    work, note = handovers.keep_note, fields.get("note", "")
    await desk.brain.pools.short.run(work, desk.brain, handover_id, note, visitor.agent, once_of(fields))
    return f"{DESK}/{handover_id}?done=noted"


async def hand_over(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Let the conversation wait for another agent, with a note for them."""
    skill, note = fields.get("skill") or None, fields.get("note") or None
    if note is None:
        raise RequestError("note", "tell the next person what they must know")
    await desk.step(handover_id, parsed(HandoverStepIn, state="transferred", note=note, skill=skill), visitor)
    return f"{DESK}?done=handed"


async def give_back(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Let the conversation wait again."""
    await desk.step(handover_id, HandoverStepIn(state="opened", reason="given back at the desk"), visitor)
    return f"{DESK}?done=gave-back"


async def resolve(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Close the conversation."""
    await desk.step(handover_id, HandoverStepIn(state="resolved"), visitor)
    return f"{DESK}?done=closed"


async def book(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Book the time at which the customer is called back; then the conversation waits for it."""
    asked = {"calendar": fields.get("calendar", ""), "starts_at": fields.get("starts_at", "")}
    appointment = parsed(AppointmentIn, **asked)
    await desk.brain.pools.short.run(call_backs.book, desk.brain, handover_id, appointment, visitor.agent)
    return f"{DESK}?done=booked"


async def not_answered(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that the customer did not answer a call-back."""
    missed = CallTriedIn(agent_id=visitor.agent)
    await desk.brain.pools.short.run(call_backs.tried, desk.brain, handover_id, missed, visitor.agent)
    return f"{DESK}?done=not-answered"
