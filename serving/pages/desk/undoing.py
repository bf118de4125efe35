"""How the last click at the desk is undone, for ten seconds."""

from functools import partial

from decisioning.errors import RequestError
from features.ledger import now_us
from features.ledger.past.changes import RETRACTED
from serving.contract import OutcomeIn
from serving.customers import outcomes
from serving.customers.corrections import undo_override
from serving.pages.desk.acts import UNDO_US, once_of, parsed
from serving.pages.desk.sales import steps
from serving.pages.desk.sales.steps import Click
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.people.helping import hearing


async def undo_click(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Take back what was recorded by a click, within ten seconds.

    :raises RequestError: nothing is recorded of it
    """
    once, short = once_of(fields), desk.brain.pools.short
    click = Click(handover_id, once, visitor.doer)
    undone = await short.run(hearing.undo, desk.brain, once, visitor.doer)
    if undone is None:
        undone = await short.run_async(steps.undo, desk.brain, click, UNDO_US)
    if undone is None:
        undone = await _undo_doubt(desk, visitor, handover_id, once)
    if undone is None:
        undone = await _undo_override(desk, visitor, handover_id, once)
    if undone is None:
        undone = await _undo_answer(desk, visitor, handover_id, once)
    if undone is None:
        raise RequestError("once", "nothing of this form is recorded, so nothing can be undone")
    return f"{DESK}/{handover_id}?done={'undone' if undone else 'too-late'}"


async def _undo_doubt(desk: Desk, visitor: Visitor, handover_id: str, once: str) -> bool | None:
    """Take back a maybe with its doubt; return whether there was time left, None if the click was no doubt."""
    key = f"handover-note:{handover_id}:{once}"
    record = await desk.brain.pools.short.run(desk.brain.ledger.lookup, key)
    if record is None or (record.body or {}).get("did") != "doubt":
        return None
    if now_us() - record.at_us > UNDO_US:
        return False
    await desk.note_doing(visitor, handover_id, "undone", f"undo-{once}", undoes=once)
    if record.body is not None and "answers" in record.body:
        await _retract(desk, visitor, handover_id, str(record.body["answers"]))
    return True


async def _undo_override(desk: Desk, visitor: Visitor, handover_id: str, once: str) -> bool | None:
    """Take back that the agent does something else; return whether there was time left, None if they do not."""
    work = partial(undo_override, by=visitor.doer, within_us=UNDO_US)
    undone = await desk.brain.pools.short.run_async(work, desk.brain, f"desk-{once}")
    if undone:
        await desk.note_doing(visitor, handover_id, "undone", f"undo-{once}", undoes=once)
    return undone


async def _undo_answer(desk: Desk, visitor: Visitor, handover_id: str, once: str) -> bool | None:
    """Take back an answer; return whether there was time left, None if the click was none."""
    record = await desk.brain.pools.short.run(desk.brain.ledger.lookup, f"outcome:desk-{once}")
    if record is not None and now_us() - record.at_us > UNDO_US:
        return False
    return await _retract(desk, visitor, handover_id, once)


async def _retract(desk: Desk, visitor: Visitor, handover_id: str, once: str) -> bool | None:
    record = await desk.brain.pools.short.run(desk.brain.ledger.lookup, f"outcome:desk-{once}")
    offer_id = (record.body or {}).get("offer_id") if record is not None else None
    if offer_id is None:
        return None
    outcome = parsed(OutcomeIn, outcome_id=f"desk-{once}", offer_id=offer_id, outcome=RETRACTED)
    await desk.brain.pools.short.run_async(outcomes.record_outcome, desk.brain, outcome)
    await desk.note_doing(visitor, handover_id, "undone", f"undo-{once}", undoes=once)
    return True
