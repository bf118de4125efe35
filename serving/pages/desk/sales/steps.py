"""Sales by voice: a customer agrees after they were told what must be said, the sale is confirmed, they may withdraw.

Each step is a record of the customer's stream, with what came of the offer in the same commit: the outcome that counts,
and that models learn from, is always that of the last step, so that a sale that was withdrawn is no acceptance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select

from decisioning.catalogue.actions import Action
from decisioning.catalogue.people.selling import MustSay, SalesRules, to_say, version_of
from decisioning.catalogue.release import Release
from decisioning.errors import Erased, NotFound, RequestError, RequestReused, Unavailable, WrongState
from decisioning.facts.sales import UNDONE, Sale, SaleStep, sale_of
from decisioning.times import datetime_at, days_us, iso
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.past.changes import RETRACTED
from features.ledger.standing import SALE
from features.ledger.tables import RECORDS
from serving.access.looks import Doer
from serving.brain.repeats import decision_of_offer
from serving.brain.runtime import ATTEMPTS, Brain
from serving.contract import OutcomeIn, told_time
from serving.customers.items import ItemResult
from serving.customers.outcomes import record_outcome
from serving.people.handover_forms import SaleStepIn
from serving.people.handovers import note_entry, row_of
from serving.problems import ERASED

Json = dict[str, Any]
_MOST: Final = 200
_OF_STREAM: Final = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == SALE, RECORDS.c.body.is_not(None))
    .order_by(RECORDS.c.version.desc())
    .limit(_MOST)
)


@dataclass(frozen=True, slots=True)
class Ticks:
    """What an agent told before the customer agreed: the ids that they ticked, and the version of these texts."""

    said: tuple[str, ...] = ()
    texts: str = ""


@dataclass(frozen=True, slots=True)
class Click:
    """One click on a step of a sale: in which conversation, if in one, under which id of its own, and who made it."""

    handover_id: str | None
    once: str
    by: Doer


@dataclass(frozen=True, slots=True)
class _Move:
    """A step to append: what its record says, and the step that the sale has then; None if it is taken back whole.

    `at_us`: when it happened; None: now.
    """

    stream: str
    sale_id: str
    sale: Sale
    action: Action
    step: SaleStep | None
    body: Mapping[str, Any]
    click: Click
    at_us: int | None = None


def rules_of(release: Release) -> SalesRules | None:
    """Return what the country of the catalogue asks of sales by voice, None if it asks nothing."""
    country = release.catalogue.settings.country_rules
    return next((rules.sales for rules in release.catalogue.country_rules if rules.id == country), None)


def must_say(release: Release, action: str) -> tuple[MustSay, ...]:
    """Return what must be said before a customer agrees to an action by voice; empty if it sells nothing."""
    declared = release.actions.get(action)
    return to_say(rules_of(release), declared.must_say) if declared is not None and declared.commercial else ()


async def take_step(
    brain: Brain, sale_id: str, step: SaleStep, ticks: Ticks, click: Click, at_us: int | None = None
) -> bool:
    """Let a sale go on; return False if it was the same click again, or the step was taken already.

    :param sale_id: the offer that is sold
    :param at_us: when it happened, such as when a letter was sent by which the customer withdrew; None: now
    :raises RequestError: something that must be said was not, the texts are others now, or the sale was not so far then
    :raises WrongState: the step cannot follow, as when the time to withdraw is over
    :raises NotFound: it is no offer to the customer of this conversation
    """
    for _ in range(ATTEMPTS):
        if brain.ledger.lookup(_click_key(click.once)) is not None:
            return False
        stream, action = offered(brain, sale_id, click.handover_id)
        records = _records(brain, sale_id)
        sale, then_us = _sale_of(records), now_us() if at_us is None else at_us
        if sale.step == step:
            return False
        if misfit := sale.misfit(step, then_us):
            raise WrongState("step", _refused(misfit, sale))
        if records and then_us < records[-1].counted_us:
            raise RequestError("occurred_at", f"this is before the sale was {sale.step}")
        body = {**_about(brain, step, ticks, action, then_us), "step": step}
        if await _append(brain, _Move(stream, sale_id, sale, action, step=step, body=body, click=click, at_us=at_us)):
            return True
    raise Unavailable("other steps of this sale kept coming first; try again")


async def record_step(brain: Brain, stated: SaleStepIn, *, by: Doer) -> ItemResult:
    """Record that a sale was confirmed or withdrawn, as one of the company's systems tells it.

    :raises RequestReused: the id was sent with another step
    :raises WrongState, NotFound: as `take_step` does
    """
    once, at_us = f"told-{stated.step_id}", told_time(stated.occurred_at, "occurred_at")
    earlier = brain.ledger.lookup(_click_key(once))
    if earlier is not None and earlier.body is None:
        raise Erased("step_id", ERASED.about)
    if earlier is None:
        is_new = await take_step(brain, stated.offer_id, stated.step, Ticks(), Click(None, once, by), at_us)
        return ItemResult("recorded" if is_new else "repeated")
    said = earlier.body or {}
    is_same = (said.get("sale_id"), said.get("step")) == (stated.offer_id, stated.step)
    if not is_same or at_us not in (None, earlier.occurred_us):
        raise RequestReused("step_id", "it was sent before with another step or time; use a new id for each thing told")
    return ItemResult("repeated")


async def undo(brain: Brain, click: Click, within_us: int) -> bool | None:
    """Take back the step of a click; return whether there was time left, None if the click was no step of a sale."""
    record = brain.ledger.lookup(_click_key(click.once))
    if record is None or record.body is None:
        return None
    sale_id = str(record.body["sale_id"])
    sale = _sale(brain, sale_id)
    if _undone(sale, click.once):
        return True
    if record.at_us + within_us < now_us() or sale.steps[-1]["once"] != click.once:
        return False
    stream, action = offered(brain, sale_id, click.handover_id)
    before = sale.steps[-2]["step"] if len(sale.steps) > 1 else None
    again = Click(click.handover_id, f"undo-{click.once}", click.by)
    body = {"step": UNDONE, "undoes": click.once}
    if await _append(brain, _Move(stream, sale_id, sale, action, step=before, body=body, click=again)):
        return True
    return _undone(_sale(brain, sale_id), click.once)  # from another tab


def sales_of(brain: Brain, stream: str) -> list[Json]:
    """Return the sales of a customer that they agreed to, the newest first: which, of what, how far, and until when."""
    records = [brain.ledger.record_of(row) for row in brain.ledger.select(_OF_STREAM, {"stream": stream})]
    bodies = dict[str, list[Mapping[str, Any]]]()
    for record in reversed(records):
        if record.body is not None:
            bodies.setdefault(str(record.body["sale_id"]), []).append(record.body)
    each = [(sale_id, of_one[0]["action"], sale_of(of_one)) for sale_id, of_one in bodies.items()]
    return [_shown(sale_id, action, sale) for sale_id, action, sale in reversed(each) if sale.step is not None]


def _shown(sale_id: str, action: str, sale: Sale) -> Json:
    until = None if sale.until_us is None else iso(sale.until_us)
    return {"sale_id": sale_id, "action": action, "step": sale.step, "until": until, "over": _is_over(sale)}


def _is_over(sale: Sale) -> bool:
    return bool(sale.misfit("withdrawn", now_us()))


def _refused(misfit: str, sale: Sale) -> str:
    return f"{misfit}: it ended at {iso(sale.until_us)}" if sale.until_us is not None else misfit


def _about(brain: Brain, step: SaleStep, ticks: Ticks, action: Action, at_us: int) -> Json:
    """Return what the record of a step says beside which it is, checked against what must be said."""
    if step == "agreed":
        return _checked(must_say(brain.snapshot.release, action.id), ticks)
    rules = rules_of(brain.snapshot.release)
    if step == "confirmed" and rules is not None:
        return {"until_us": at_us + days_us(rules.cooling_off_days)}
    return {}


def _checked(texts: Sequence[MustSay], ticks: Ticks) -> Json:
    lacking = [one.id for one in texts if one.id not in ticks.said]
    if lacking or not texts:
        raise RequestError("said", f"tell the customer first, and tick that you did: {', '.join(lacking)}")
    if ticks.texts != version_of(texts):
        raise RequestError("texts", "what must be said has changed meanwhile; open the page again")
    return {"said": [one.id for one in texts], "texts": ticks.texts}


async def _append(brain: Brain, move: _Move) -> bool:
    """Append a step with what came of the offer; return whether no other step came first."""
    action, click, body = move.action, move.click, move.body
    about = {"sale_id": move.sale_id, "offer_id": move.sale_id, "action": action.id}
    here = {} if click.handover_id is None else {"handover_id": click.handover_id}
    said = {**body, **about, **here, "once": click.once, **click.by.fields}
    keys = (_key(move.sale_id, move.sale.records), (_click_key(click.once),))
    did = {"did": body["step"], "offer_id": move.sale_id, "action": action.id}
    undoes = {"undoes": body["undoes"]} if "undoes" in body else {}
    notes = [] if click.handover_id is None else [_note(brain, click.handover_id, click, {**did, **undoes})]
    together = [Entry(move.stream, SALE, said, move.at_us, None, *keys), *notes]
    outcome, before = _outcome(action, move.step), _outcome(action, move.sale.step)
    try:
        if outcome == before and move.sale.step is not None:
            await brain.ledger.commit(together)
        else:
            at, name = datetime_at(move.at_us or now_us()), f"sale-{move.sale_id}"
            stated = OutcomeIn(outcome_id=name, offer_id=move.sale_id, outcome=outcome, occurred_at=at)
            await record_outcome(brain, stated, within_budget=True, together=together)
    except Duplicate:
        return False
    return True


def _note(brain: Brain, handover_id: str, click: Click, about: Mapping[str, str]) -> Entry:
    return note_entry(row_of(brain, handover_id), click.by.who, click.once, about)


def _outcome(action: Action, step: SaleStep | None) -> str:
    """Return the outcome that a step amounts to: the one of its name if the action has it, else a yes or a no."""
    declared = action.outcomes
    usual = {"agreed": declared.positive, "confirmed": declared.positive, "withdrawn": declared.negative}
    names = (*((step,) if step in declared.all else ()), *usual.get(step or "", ()))
    return names[0] if names else RETRACTED


def offered(brain: Brain, sale_id: str, handover_id: str | None) -> tuple[str, Action]:
    """Return the stream and the action of an offer, which must be to the customer of a conversation if one is named."""
    record = decision_of_offer(brain.ledger, sale_id)
    if record is not None and record.raw is None:
        raise Erased("offer_id", ERASED.about)
    contacts = () if record is None else (record.folded or {"contacts": ()})["contacts"]
    action = next((one["action"] for one in contacts if one["offer_id"] == sale_id), None)
    is_theirs = record is not None and (handover_id is None or record.stream == row_of(brain, handover_id).stream)
    if record is None or action is None or not is_theirs:
        raise NotFound("offer_id", "nothing like this was offered to this customer")
    release = brain.snapshot.release
    declared = release.actions.get(action) or release.with_superseded.get(action)
    if declared is None:
        raise WrongState("offer_id", "the catalogue has no such action any more")
    return record.stream, declared


def _sale(brain: Brain, sale_id: str) -> Sale:
    return _sale_of(_records(brain, sale_id))


def _sale_of(records: Sequence[Record]) -> Sale:
    return sale_of(one.body for one in records if one.body is not None)


def _records(brain: Brain, sale_id: str) -> list[Record]:
    """Return the records of a sale, the oldest first."""
    records = list[Record]()
    while (record := brain.ledger.lookup(_key(sale_id, len(records)))) is not None:
        records.append(record)
    return records


def _undone(sale: Sale, once: str) -> bool:
    return once not in {step["once"] for step in sale.steps}


def _key(sale_id: str, number: int) -> str:
    return f"{SALE}:{number}:{sale_id}"


def _click_key(once: str) -> str:
    return f"{SALE}-click:{once}"
