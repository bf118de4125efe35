"""No handover ends unanswered: what nobody takes in time is told to the customer, and then has an owner and a date.

Replicas take turns by a claim. Exactness does not rest on it: each step is appended at the versions that were read.
"""

from contextlib import suppress
from typing import Any, Final

from sqlalchemy import bindparam, or_, select

from decisioning.errors import Conflict, Erased, RequestError, Unavailable, WrongState
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.lapsing import (
    CHOOSES,
    after_promise,
    calendars_for,
    choices_in,
    choices_text,
    is_late,
    promise_us,
    ticket_due_us,
)
from decisioning.routing.opening import step_body
from decisioning.times import datetime_at
from features.handovers.calls import reference
from features.handovers.slots import last_step, slot_released, step_entry
from features.ledger.database import claim
from features.ledger.tables import HANDOVERS
from serving.brain.runtime import ATTEMPTS, Brain
from serving.people.call_backs import book, first_free
from serving.people.handover_forms import AppointmentIn, ChoiceIn
from serving.people.handovers import Json, about_now, as_json, assignments, opened, row_of

POLL_S: Final = 2.0
"""How often a replica looks for handovers whose time is over."""
BRAIN: Final = "brain"
_CLAIM: Final = "lapsing"
CLAIM_US: Final = 1_800_000
"""For how long one replica has the sweep for itself."""
_MOST: Final = 10_000
_WAITS: Final = ("opened", "transferred", "offered")
_LATE: Final = (
    select(HANDOVERS)
    .where(
        or_(
            HANDOVERS.c.state.in_(_WAITS) & (HANDOVERS.c.waits_us <= bindparam("waits")),
            (HANDOVERS.c.state == "lapsed") & (HANDOVERS.c.due_us <= bindparam("now")),
            (HANDOVERS.c.state == "call_back")
            & HANDOVERS.c.agent.is_(None)
            & (HANDOVERS.c.due_us <= bindparam("missed")),
        )
    )
    .order_by(HANDOVERS.c.waits_us)
    .limit(_MOST)
)


def tend(brain: Brain) -> int:
    """Let what nobody took in time go on, and return how many handovers did; every replica calls it often."""
    now = brain.ledger.clock()
    late = _late(brain, now)
    if not late or not brain.ledger.transact(lambda c: claim(c, _CLAIM, now, now + CLAIM_US)).result():
        return 0
    moved = 0
    for row in late:
        with suppress(Conflict, Erased, WrongState):  # another record came first: the next round sees it
            _lapse(brain, row, now)
            moved += 1
    if moved:
        brain.news.ring()
    return moved


def _late(brain: Brain, now: int) -> list[Any]:
    """Return the rows of handovers whose time is over."""
    catalogue = brain.snapshot.release.catalogue
    skills = (None, *(skill.id for skill in catalogue.routing.skills))
    shortest_us, stands_us = min(promise_us(catalogue, skill) for skill in skills), promise_us(catalogue, None)
    rows = brain.ledger.select(_LATE, {"now": now, "waits": now - shortest_us, "missed": now - stands_us})
    return [
        row
        for row in rows
        if row.state not in _WAITS or is_late(catalogue, about_now(brain.ledger, row), row.state, row.waits_us, now)
    ]


def _lapse(brain: Brain, row: Any, now: int) -> None:
    """Let a handover go on whose time is over."""
    catalogue, about = brain.snapshot.release.catalogue, about_now(brain.ledger, row)
    standing, handover = _open(brain, row)
    chose = last_step(brain.ledger, row.id, row.step).get("choice") is not None
    if row.state == "call_back" or after_promise(row.state, handover.lapses, chose=chose) == "ticket":
        _append(brain, row, standing, handover, _ticket(brain, handover, about, now, BRAIN, reason="nobody in time"))
    else:
        due_us = now + promise_us(catalogue, about.get("skill"))
        _append(brain, row, standing, handover, step_body(handover, "lapsed", BRAIN, due_us=due_us))


def _ticket(brain: Brain, handover: OpenHandover, about: Json, now: int, by: str, **more: Any) -> Json:
    catalogue = brain.snapshot.release.catalogue
    owner, due_us = catalogue.settings.handover.owner, ticket_due_us(catalogue, about, now)
    return step_body(handover, "ticket", by, owner, due_us=due_us, **more)


def _open(brain: Brain, row: Any) -> tuple[Standing, OpenHandover]:
    standing, handover = opened(brain, row, "it went on meanwhile")
    if handover.step != row.step:
        raise WrongState("state", f"the handover is {row.state}: it went on meanwhile")
    return standing, handover


def _append(brain: Brain, row: Any, standing: Standing, handover: OpenHandover, body: Json) -> None:
    entries = [step_entry(row.stream, body, standing.version)]
    entries += assignments(brain, handover, about_now(brain.ledger, row), body["state"], None)
    brain.ledger.append([*entries, *slot_released(brain.ledger, handover)])


def show(brain: Brain, handover_id: str) -> Json:
    """Return a handover as `with_choices` does; raises NotFound if there is none, or its customer was erased."""
    return with_choices(brain, row_of(brain, handover_id))


def with_choices(brain: Brain, row: Any) -> Json:
    """Return a handover as JSON types, with what its customer is told and may choose if nobody helped them in time."""
    shown = as_json(row)
    if row.state not in CHOOSES or row.due_us is None:
        return shown
    (standing,) = brain.ledger.read(row.stream, rules=NO_PAST)
    about = about_now(brain.ledger, row)
    named = reference(row.id)
    return shown | choices_text(
        brain.snapshot.release.catalogue, row.state, about, row.due_us, named, standing.consents
    )


def choose(brain: Brain, handover_id: str, asked: ChoiceIn, by: str) -> Json:
    """Let a handover go on as its customer chose; the same choice again changes nothing.

    :raises WrongState: there is nothing to choose, or not this
    """
    for _ in range(ATTEMPTS):
        row = row_of(brain, handover_id)
        if asked.choice == _chosen(brain, row):
            return _answer(brain, row)
        try:
            _choose(brain, row, asked, by)
        except Conflict:
            continue
        brain.news.ring()
        brain.routed.ring()
        return _answer(brain, row_of(brain, handover_id))
    raise Unavailable("other requests for this handover kept coming first; try again")


def _chosen(brain: Brain, row: Any) -> str | None:
    """Return what the customer chose last, if that stands."""
    if row.state == "call_back":
        return "call_back"
    chosen = last_step(brain.ledger, row.id, row.step).get("choice")
    return str(chosen) if chosen else None


def _choose(brain: Brain, row: Any, asked: ChoiceIn, by: str) -> None:
    standing, handover = _open(brain, row)
    catalogue, about, now = brain.snapshot.release.catalogue, about_now(brain.ledger, row), brain.ledger.clock()
    calendars = calendars_for(catalogue, about, standing.consents)
    offered = choices_in(row.state, may_be_called=bool(calendars))
    if asked.choice not in offered:
        may = ", ".join(offered) or "nothing"
        raise WrongState("choice", f"the customer of this handover, which is {row.state}, may choose: {may}")
    if asked.choice == "call_back":
        _book(brain, row.id, asked, [calendar.id for calendar in calendars], by)
    elif asked.choice == "written":
        _append(brain, row, standing, handover, _ticket(brain, handover, about, now, by, choice="written"))
    else:
        due_us = now + promise_us(catalogue, about.get("skill"))
        _append(brain, row, standing, handover, step_body(handover, "lapsed", by, due_us=due_us, choice="wait"))


def _book(brain: Brain, handover_id: str, asked: ChoiceIn, calendars: list[str], by: str) -> None:
    """Book the slot that the customer chose, or the first that is free and does not disturb them."""
    if asked.calendar is not None and asked.calendar not in calendars:
        raise RequestError("calendar", f"the customer may be called back in: {', '.join(calendars)}")
    if asked.calendar is not None and asked.starts_at is not None:
        appointment = AppointmentIn(calendar=asked.calendar, starts_at=asked.starts_at, asked_for=True)
        book(brain, handover_id, appointment, by)
        return
    for _ in range(ATTEMPTS):
        if (slot := first_free(brain, handover_id, calendars)) is None:
            raise WrongState("choice", "no slot is free; choose a written answer, or wait")
        with suppress(WrongState):  # somebody took it meanwhile
            book(brain, handover_id, AppointmentIn(calendar=slot[0], starts_at=datetime_at(slot[1])), by)
            return
    raise Unavailable("slots were taken as fast as they were found; try again")


def _answer(brain: Brain, row: Any) -> Json:
    shown = with_choices(brain, row)
    names = ("handover_id", "reference", "state", "due_at", "choices_text", "choices")
    return {name: shown[name] for name in names if name in shown}


def lapsed(brain: Brain, after: str, limit: int) -> Json:
    """Return a page of handovers whose time is over: not taken, answered or called back by the date."""
    wanted = select(HANDOVERS).where(
        HANDOVERS.c.id > bindparam("after"),
        (HANDOVERS.c.state == "lapsed")
        | (HANDOVERS.c.state.in_(("ticket", "call_back")) & (HANDOVERS.c.due_us <= bindparam("now"))),
    )
    rows = brain.ledger.select(
        wanted.order_by(HANDOVERS.c.id).limit(limit), {"after": after, "now": brain.ledger.clock()}
    )
    return {"handovers": [as_json(row) for row in rows], "next": rows[-1].id if len(rows) == limit else None}
