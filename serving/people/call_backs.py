"""Appointments at which customers are called back: offered, booked exactly, and never forgotten.

A slot of a calendar is a stream of its own, which says who has it. An appointment is appended to the slot's and the
customer's stream in one transaction, at the versions that were read, so no slot holds more than it has room for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.catalogue.calendars import Calendar
from decisioning.catalogue.release import Release
from decisioning.errors import Conflict, NotFound, RequestError, Unavailable, WrongState
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.appointments import disturbs, offered, slots
from decisioning.routing.opening import step_body
from decisioning.times import iso, microseconds
from features.handovers.slots import last_step, slot_released, slot_stream, step_entry
from features.ledger import Entry, Ledger, now_us
from features.ledger.tables import HANDOVERS
from serving.brain.runtime import ATTEMPTS, Brain
from serving.people.handover_forms import AppointmentIn, CallTriedIn
from serving.people.handovers import Json, as_json, assignments, opened, row_of, show

MAX_SLOTS: Final = 50
_LOOKED_AT: Final = 2000
"""How many slots are looked at for those that are free."""
_AGAIN_US: Final = 900_000_000
"""When a customer who did not answer is called again, unless another time is told."""
_NO_APPOINTMENT: Final = "it gets no appointment"
ALERT_US: Final = 300_000_000
"""How long before a slot the lead is told that nobody has it."""
_OF_PERSON: Final = select(HANDOVERS).where(
    HANDOVERS.c.stream == bindparam("stream"), HANDOVERS.c.state == "call_back", HANDOVERS.c.id != bindparam("id")
)
_DUE: Final = (
    select(HANDOVERS)
    .where(HANDOVERS.c.state == "call_back", HANDOVERS.c.agent.is_(None), HANDOVERS.c.due_us < bindparam("before"))
    .order_by(HANDOVERS.c.due_us)
    .limit(200)
)


@dataclass(frozen=True, slots=True)
class CalendarSlot:
    """A slot of a calendar, and the stream that says who has it."""

    calendar: Calendar
    starts_us: int
    stream: str


def slot_of(ledger: Ledger, calendar: Calendar, starts_us: int) -> CalendarSlot:
    """Return the slot of a calendar that begins at a time."""
    return CalendarSlot(calendar, starts_us, slot_stream(ledger, calendar.id, starts_us))


def calendar_of(release: Release, name: str) -> Calendar:
    """Return a calendar; raises RequestError if the release has none of this name."""
    for calendar in release.catalogue.calendars:
        if calendar.id == name:
            return calendar
    known = ", ".join(c.id for c in release.catalogue.calendars) or "none"
    raise RequestError("calendar", f"no such calendar; known are {known}")


def free_slots(brain: Brain, handover_id: str, name: str) -> Json:
    """Return slots that the customer of a handover may take: not full, and not in quiet hours where they are."""
    calendar = calendar_of(brain.snapshot.release, name)
    listed = [
        {"starts_at": iso(at), "left": left} for at, left in islice(_free(brain, handover_id, calendar), MAX_SLOTS)
    ]
    return {"calendar": calendar.id, "minutes": calendar.slot_minutes, "slots": listed}


def first_free(brain: Brain, handover_id: str, calendars: Sequence[str]) -> tuple[str, int] | None:
    """Return the calendar and the time of the first free slot among these calendars; None if there is none."""
    begins: list[tuple[int, str]] = []
    for name in calendars:
        free = _free(brain, handover_id, calendar_of(brain.snapshot.release, name))
        begins += [(at, name) for at, _ in islice(free, 1)]
    if not begins:
        return None
    at, name = min(begins)
    return name, at


def _free(brain: Brain, handover_id: str, calendar: Calendar) -> Iterator[tuple[int, int]]:
    """Yield the slots that the customer of a handover may take, and how much room each has left."""
    release, row = brain.snapshot.release, row_of(brain, handover_id)
    zone, hours = _zone_of(brain, release, row.stream), release.channels[calendar.channel].quiet_hours
    begins = offered(calendar, _calendar_zone(release, calendar), now_us())
    yield from _left(brain, calendar, (at for at in begins if not disturbs(calendar, hours, zone, at)))


def _left(brain: Brain, calendar: Calendar, begins: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield slots with room, and how much; those of a page are read in one statement."""
    looked_at = islice(begins, _LOOKED_AT)
    while page := list(islice(looked_at, MAX_SLOTS)):
        streams = [slot_of(brain.ledger, calendar, at).stream for at in page]
        for at, fold in zip(page, brain.ledger.read(*streams, rules=NO_PAST), strict=True):
            left = calendar.capacity - len(fold.booked)
            if left > 0:
                yield at, left


def _calendar_zone(release: Release, calendar: Calendar) -> str:
    return calendar.zone or release.catalogue.settings.time_zone


def _zone_of(brain: Brain, release: Release, stream: str) -> str | None:
    """Return the time zone of a customer; None if it is not known."""
    settings = release.catalogue.settings
    if settings.time_zone_feature is None:
        return settings.time_zone
    (stored,) = brain.snapshot.profiles.read([stream], now_us=now_us())
    zone = stored.facts.get(settings.time_zone_feature)
    return zone if isinstance(zone, str) else None


def book(brain: Brain, handover_id: str, asked: AppointmentIn, by: str) -> Json:
    """Book a slot for a handover, in place of the one that it has; the same again changes nothing.

    :raises RequestError: the calendar has no such slot, or it lies in quiet hours and the customer did not ask for it
    :raises WrongState: the slot is full, or the customer has another appointment then
    """
    release = brain.snapshot.release
    calendar, starts_us = calendar_of(release, asked.calendar), microseconds(asked.starts_at)
    slot = slot_of(brain.ledger, calendar, starts_us)
    for _ in range(4 * ATTEMPTS):  # many may want one slot at once, and each of them is told whether they have it
        row = row_of(brain, handover_id)
        if row.state == "call_back" and row.due_us == starts_us:
            return as_json(row)
        _check_slot(brain, release, slot, row.stream, asked.asked_for)
        try:
            brain.ledger.append(_entries(brain, row, slot, by))
        except Conflict:
            continue
        return show(brain, handover_id)
    raise Unavailable("other requests for this slot kept coming first; try again")


def _check_slot(brain: Brain, release: Release, slot: CalendarSlot, stream: str, asked_for: bool) -> None:
    calendar, starts_us = slot.calendar, slot.starts_us
    zone = _calendar_zone(release, calendar)
    if starts_us not in set(slots(calendar, zone, starts_us - 1, starts_us + 1)):
        raise RequestError("starts_at", "the calendar has no slot that begins then; see the slots that it offers")
    if starts_us not in set(_near(calendar, zone, starts_us)):
        raise RequestError("starts_at", "it is too soon or too far ahead; see the slots that the calendar offers")
    hours = release.channels[calendar.channel].quiet_hours
    if not asked_for and disturbs(calendar, hours, _zone_of(brain, release, stream), starts_us):
        raise RequestError("starts_at", "it lies in the customer's quiet hours; `asked_for` says that they chose it")


def _near(calendar: Calendar, zone: str, starts_us: int) -> Iterator[int]:
    """Yield the slots at a time, if they may be taken now."""
    now = now_us()
    soonest, latest = now + calendar.notice_minutes * 60_000_000, now + calendar.ahead_days * 86_400_000_000
    if soonest < starts_us < latest:
        yield from slots(calendar, zone, starts_us - 1, starts_us + 1)


def _entries(brain: Brain, row: Any, slot: CalendarSlot, by: str) -> list[Entry]:
    """Return what books a slot for a handover and gives back the one before, at the versions that were read."""
    (booked,) = brain.ledger.read(slot.stream, rules=NO_PAST)
    customer, handover = opened(brain, row, _NO_APPOINTMENT)
    if any(
        other.due_us == slot.starts_us
        for other in brain.ledger.select(_OF_PERSON, {"stream": row.stream, "id": row.id})
    ):
        raise WrongState("starts_at", "the customer has another appointment then")
    if len({*booked.booked} - {handover.id}) >= slot.calendar.capacity:
        raise WrongState("starts_at", "this slot is full; see the slots that the calendar offers")
    about = {"calendar": slot.calendar.id, "starts_us": slot.starts_us}
    body = step_body(handover, "call_back", by, due_us=slot.starts_us, slot=about, tries=0)
    entries = [step_entry(row.stream, body, customer.version)]
    entries += assignments(brain, handover, from_json(row.body), "call_back", None)
    entries.append(Entry(slot.stream, "booking", {"handover_id": handover.id, "booked": True}, None, booked.version))
    return [*entries, *slot_released(brain.ledger, handover)]


def tried(brain: Brain, handover_id: str, missed: CallTriedIn, by: str) -> Json:
    """Record a call that nobody answered; after the last one the handover is a ticket, and the customer books anew.

    :raises WrongState: the handover is no call-back
    :raises NotFound: its calendar is gone, so nobody knows how often to try
    """
    for _ in range(ATTEMPTS):
        row = row_of(brain, handover_id)
        customer, handover = opened(brain, row, _NO_APPOINTMENT)
        if handover.state != "call_back":
            raise WrongState("state", f"the handover is {row.state}: nobody is called back")
        body = _after_try(brain, handover, last_step(brain.ledger, row.id, handover.step), missed, by)
        entries = [step_entry(row.stream, body, customer.version)]
        entries += slot_released(brain.ledger, handover) if body["state"] == "ticket" else []
        try:
            brain.ledger.append(entries)
        except Conflict:
            continue
        return {**show(brain, handover_id), "tries": body["tries"], "rebook": body["state"] == "ticket"}
    raise Unavailable("other requests for this handover kept coming first; try again")


def _after_try(brain: Brain, handover: OpenHandover, before: Mapping[str, Any], missed: CallTriedIn, by: str) -> Json:
    """Return the body of the step after a call that was not answered; `before` is that of the last step."""
    slot, tries = before["slot"], before.get("tries", 0) + 1
    calendar = next((c for c in brain.snapshot.release.catalogue.calendars if c.id == slot["calendar"]), None)
    if calendar is None:
        raise NotFound("handover_id", "the calendar of this call-back is gone; resolve it, or make it a ticket")
    if tries >= calendar.tries:
        return step_body(handover, "ticket", by, missed.agent_id, tries=tries, due_us=now_us(), reason="not answered")
    again_us = microseconds(missed.again_at) if missed.again_at else now_us() + _AGAIN_US
    return step_body(handover, "call_back", by, due_us=again_us, slot=slot, tries=tries)


def without_agent(brain: Brain) -> Json:
    """Return call-backs that are due within five minutes, or were, and that nobody has taken."""
    rows = brain.ledger.select(_DUE, {"before": now_us() + ALERT_US})
    return {"call_backs": [as_json(row) for row in rows]}
