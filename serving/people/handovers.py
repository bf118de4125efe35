"""Handovers of conversations to people: opened once, taken by one agent, and never lost.

A handover's records are in its customer's stream. An agent's stream says what the agent holds. What concerns both is
appended to both in one transaction, at the versions that were read: so nobody takes what another has, or more than they
have room for, and nothing is in one stream alone.
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.errors import (
    Conflict,
    Erased,
    NotFound,
    OutOfScope,
    RequestError,
    RequestReused,
    Unavailable,
    WrongState,
)
from decisioning.facts.handovers import ENDED, WITH_AGENT, OpenHandover
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.routing.opening import Opening, step_body
from decisioning.routing.people import missing
from decisioning.routing.staffing import agent_of, room_beside, waiting_of
from decisioning.routing.work import AgentWork
from decisioning.times import SECOND_US, datetime_at, iso, microseconds
from features.conversations.words import LINK
from features.handovers.agents import find_agent
from features.handovers.calls import conversation_key, reference
from features.handovers.slots import agent_stream, last_step, slot_released, step_entry
from features.ledger import Duplicate, Entry, Fold, Ledger, now_us
from features.ledger.links import visitors_now, with_identities
from features.ledger.people.rows import step_key
from features.ledger.tables import HANDOVERS, RECORDS
from serving.access.callers import Caller
from serving.brain.runtime import ATTEMPTS, Brain
from serving.people.handover_forms import HandoverIn, HandoverStepIn
from serving.problems import ERASED

Json = dict[str, Any]
MAX_LISTED: Final = 200
UNSTATED_CAPACITY: Final = 3
"""How many conversations an agent may hold of whom nothing is stated."""
REQUIREMENTS: Final = {
    "skill": "they are not proficient in its skill",
    "language": "they do not speak its language",
    "training": "they were not trained for what the customer needs",
    "channel": "they do not work on its channel",
    "cannot_phone": "the customer cannot hear or phone, and its channel is spoken",
    "proficiency": "their proficiency is below what is asked for now",
    "shift": "their shift has not begun, or ends soon",
    "room": "they have no room, or are not available",
    "upset_in_a_row": "they had as many upset customers in a row as they may",
    "known_agent": "the customer waits for the agent who knows them",
}
"""Why an agent does not get somebody, in words."""
_NO_ROOM: Final = "this agent has no room for another conversation"
_WRAPS_UP: Final = frozenset(("resolved", "transferred", "call_back", "ticket"))
ENDS_APPOINTMENT: Final = frozenset(("call_back", "ticket", "resolved", "cancelled"))
"""States in which a handover no longer has the slot that it had."""
_MOST_WAITING: Final = 10_000
MAX_NOTE: Final = 2000
_NOTES: Final = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind.in_(("handover", "handover_note")))
    .order_by(RECORDS.c.version)
)
_BY_ID: Final = select(HANDOVERS).where(HANDOVERS.c.id == bindparam("id"))
_OPEN_IN: Final = (
    select(HANDOVERS)
    .where(HANDOVERS.c.conversation == bindparam("conversation"), HANDOVERS.c.state.not_in(ENDED))
    .order_by(HANDOVERS.c.opened_us.desc())
)
_SHOWN: Final = (
    *("customer_id", "visitor_id", "account_id", "reason", "kind", "skill", "issue", "language", "channel"),
    *("upset", "helps", "needs", "first", "knows", "text"),
)


def open_handover(brain: Brain, asked: HandoverIn, by: str) -> Json:
    """Open a handover of a conversation, and return it; if one is open there already, return that one.

    :raises RequestReused: the request_id came with another body
    :raises Erased: the customer was erased
    """
    key = f"handover-request:{asked.request_id}"
    if (recorded := brain.ledger.lookup(key)) is not None:
        return _repeated(brain, asked, recorded.body)
    for _ in range(ATTEMPTS):
        standing = _standing(brain, asked.customer_id, asked.visitor_id)
        if (known := standing.handover_in(asked.conversation_id)) is not None:
            return {**show(brain, known.id), "status": "already_open"}
        name = f"h-{uuid.uuid4().hex}"
        body = _opening(asked, by).body(name, conversation_key(brain.ledger, asked.conversation_id))
        entry = Entry(standing.stream, "handover", body, None, standing.version, key, (step_key(name, 0),))
        try:
            brain.ledger.append([entry], _guards(standing))
        except Duplicate as duplicate:
            return _repeated(brain, asked, duplicate.record.body)
        except Conflict:
            continue
        except Erased:
            raise Erased("customer_id" if asked.customer_id else "visitor_id", ERASED.about) from None
        brain.news.ring()
        brain.routed.ring()
        return {**show(brain, name), "status": "opened"}
    raise Unavailable("other requests for this customer kept coming first; try again")


def _opening(asked: HandoverIn, by: str) -> Opening:
    return Opening(
        conversation_id=asked.conversation_id,
        reason=asked.reason,
        channel=asked.channel,
        by=by,
        customer_id=asked.customer_id,
        visitor_id=asked.visitor_id,
        skill=asked.skill,
        language=asked.language,
        helps=asked.helps,
        upset=asked.upset,
        needs=asked.needs,
        knows=asked.knows,
        more={
            **({} if asked.account_id is None else {"account_id": asked.account_id}),
            **({} if asked.call else {"no_voice": True}),
            **({} if asked.words_url is None else {LINK: asked.words_url}),
            "request": asked.model_dump_json(exclude_defaults=True),
        },
    )


def _repeated(brain: Brain, asked: HandoverIn, recorded: Mapping[str, Any] | None) -> Json:
    if recorded is None:
        raise Erased("request_id", "this request's customer was erased, and its handover with them")
    if recorded["request"] != asked.model_dump_json(exclude_defaults=True):
        raise RequestReused("request_id", "this request_id came before with another body; use a new one")
    return {**show(brain, recorded["handover_id"]), "status": "repeated"}


def _standing(brain: Brain, customer_id: str | None, visitor_id: str | None) -> Standing:
    """Return the standing of the whole person; of a visitor the stretch that takes what comes now."""
    stream, read = brain.subject_stream(customer_id, visitor_id), partial(brain.ledger.read, rules=NO_PAST)
    own = read(stream)[0] if visitor_id is None else visitors_now([stream], read)[0].stretch
    return with_identities([own], read)[0]


def _guards(standing: Standing) -> dict[str, int]:
    return {other.stream: other.version for other in standing.visitors or standing.elsewhere}


def row_of(brain: Brain, handover_id: str) -> Any:
    """Return the row of a handover; raises NotFound if there is none, or its customer was erased."""
    rows = brain.ledger.select(_BY_ID, {"id": handover_id})
    if not rows:
        raise NotFound("handover_id", "there is no such handover, or its customer was erased")
    return rows[0]


def show(brain: Brain, handover_id: str) -> Json:
    """Return a handover as JSON types; raises NotFound as `row_of` does."""
    return as_json(row_of(brain, handover_id))


def open_in(brain: Brain, conversation_id: str) -> Json | None:
    """Return the handover of a conversation that is open, the newest; None if there is none."""
    rows = brain.ledger.select(_OPEN_IN, {"conversation": conversation_key(brain.ledger, conversation_id)})
    return as_json(rows[0]) if rows else None


def as_json(row: Any) -> Json:
    """Return a row of the table of handovers as JSON types."""
    body = from_json(row.body)
    return {
        "handover_id": row.id,
        "reference": reference(row.id),
        "conversation_id": body["conversation_id"],
        "state": row.state,
        "agent_id": row.agent,
        "opened_at": iso(row.opened_us),
        "waits_since": iso(row.waits_us),
        "due_at": None if (due_us := row.due_us or body.get("due_us")) is None else iso(due_us),
        **{name: body[name] for name in _SHOWN if name in body},
    }


def listed(brain: Brain, after: str, states: Sequence[str] = ()) -> Json:
    """Return a page of handovers that have not ended, by id, or of those in these states."""
    asked = select(HANDOVERS).where(HANDOVERS.c.id > bindparam("after")).order_by(HANDOVERS.c.id).limit(MAX_LISTED)
    wanted = HANDOVERS.c.state.in_(states) if states else HANDOVERS.c.state.not_in(ENDED)
    rows = brain.ledger.select(asked.where(wanted), {"after": after})
    return {"handovers": [as_json(row) for row in rows], "next": rows[-1].id if len(rows) == MAX_LISTED else None}


def rows_in(brain: Brain, states: Sequence[str]) -> Sequence[Any]:
    """Return the rows of all handovers in some states."""
    return brain.ledger.select(select(HANDOVERS).where(HANDOVERS.c.state.in_(states)).limit(_MOST_WAITING))


def take_step(brain: Brain, handover_id: str, step: HandoverStepIn, caller: Caller | None) -> Json:
    """Let a handover go on to another state, and return it; the same step again changes nothing.

    :raises WrongState: it cannot go on to that state, or the agent has no room: somebody else came first
    :raises OutOfScope: a person accepts for somebody else
    """
    by = "unknown" if caller is None else caller.who
    if caller is not None and caller.kind == "person" and step.state == "accepted" and step.agent_id != caller.who:
        raise OutOfScope("agent_id", f"you accept for yourself alone: {caller.who}")
    for _ in range(ATTEMPTS):
        row = row_of(brain, handover_id)
        if (row.state, row.agent) == (step.state, step.agent_id or row.agent) and step.state != "call_back":
            return as_json(row)
        try:
            append_step(brain, row, step, by)
        except Conflict:  # Duplicate, too
            continue
        brain.news.ring()
        brain.routed.ring()
        return show(brain, handover_id)
    raise Unavailable("other requests for this handover kept coming first; try again")


def append_step(brain: Brain, row: Any, step: HandoverStepIn, by: str) -> None:
    """Append a step, and what it changes in streams of agents, at the versions that are read; raises Conflict.

    A deadline that was stated when the handover was opened stays, except while an offer or an appointment stands.
    """
    standing, handover = opened(brain, row, f"it cannot become {step.state}")
    stated = {"reason": step.reason, "note": step.note, "skill": step.skill, "knows": step.knows}
    about = about_now(brain.ledger, row)
    due_us = about.get("due_us") if step.due_at is None else microseconds(step.due_at)
    agent = step.agent_id if step.state in ("offered", "accepted", "ticket", "call_back") else None
    body = step_body(handover, step.state, by, agent, due_us=due_us, **stated)
    entries = [step_entry(row.stream, body, standing.version)]
    entries += assignments(brain, handover, about, step.state, agent)
    if step.state in ENDS_APPOINTMENT:
        entries += slot_released(brain.ledger, handover)
    brain.ledger.append(entries)


def opened(brain: Brain, row: Any, refusal: str) -> tuple[Standing, OpenHandover]:
    """Return the standing of a handover's customer, and the handover as that has it.

    :param refusal: what cannot be done if it is not open
    :raises WrongState: it has ended
    """
    (standing,) = brain.ledger.read(row.stream, rules=NO_PAST)
    for handover in standing.handovers:
        if handover.id == row.id:
            return standing, handover
    raise WrongState("state", f"the handover is {row.state}: {refusal}")


def offered_until(brain: Brain, now: int) -> datetime:
    """Return until when an offer stands that an agent gets now."""
    return datetime_at(now + round(brain.snapshot.release.catalogue.routing.offer_s * SECOND_US))


def assignments(
    brain: Brain, handover: OpenHandover, about: Mapping[str, Any], state: str, agent: str | None
) -> list[Entry]:
    """Return what a step changes in the streams of the agents concerned, at the versions that were read.

    :param about: the body of the handover's first record
    :raises WrongState: the agent has no room for it
    """
    entries: list[Entry] = []
    if handover.agent is not None and handover.state in WITH_AGENT and agent != handover.agent:
        fold = fold_of(brain.ledger, handover.agent)
        ended = {"handover_id": handover.id, "channel": about["channel"], "held": "ended"}
        entries.append(Entry(fold.stream, "assignment", ended, None, fold.version))
        if handover.state == "accepted" and state in _WRAPS_UP:
            entries += _wrap_up(brain, fold, handover.id, about)
    if agent is not None and state in WITH_AGENT:
        fold = fold_of(brain.ledger, agent)
        check_room(brain, agent, fold.work or AgentWork(), about, handover.id)
        held = {"handover_id": handover.id, "channel": about["channel"], "held": state}
        upset = {"upset": True} if about.get("upset") and state == "accepted" else {}
        entries.append(Entry(fold.stream, "assignment", {**held, **upset}, None, fold.version))
        if state == "accepted" and (fold.work or AgentWork()).state == "not_responding":
            entries.append(Entry(fold.stream, "presence", {"state": "available"}, None, fold.version))
    return entries


def _wrap_up(brain: Brain, fold: Fold, handover_id: str, about: Mapping[str, Any]) -> list[Entry]:
    """Return the record that gives an agent the time after a conversation that its skill has, if nothing else is held.

    It ends by itself. Who is on a break, away or off stays so.
    """
    work, now = fold.work or AgentWork(), now_us()
    skill = brain.snapshot.release.catalogue.routing.skill(about.get("skill"))
    others = [one for one in work.held if one.handover != handover_id]
    if skill is None or not skill.wrap_up_s or others or work.state_at(now) != "available":
        return []
    body = {"state": "wrap_up", "until_us": now + round(skill.wrap_up_s * 1_000_000)}
    return [Entry(fold.stream, "presence", body, None, fold.version)]


def fold_of(ledger: Ledger, agent: str) -> Fold:
    """Return what an agent's stream amounts to now."""
    (fold,) = ledger.read(agent_stream(ledger, agent), rules=NO_PAST)
    return fold


def check_room(brain: Brain, agent: str, work: AgentWork, about: Mapping[str, Any], handover_id: str) -> None:
    """Raise WrongState if an agent cannot hold one more conversation on this channel, or does not meet a requirement.

    Whoever takes it, it is looked at with the version of the agent's stream that the assignment follows.
    """
    others = [one.channel for one in work.held if one.handover != handover_id]
    others += [one.channel for one in work.elsewhere if not one.ended]
    stated = find_agent(brain.ledger, agent)
    if stated is None:
        if len(others) >= UNSTATED_CAPACITY:
            raise WrongState("agent_id", _NO_ROOM)
        return
    voice = brain.snapshot.release.catalogue.routing.voice
    known, waiting = agent_of(agent, stated.stated), waiting_of(handover_id, 0, about, voice)
    if (lacking := missing(waiting, known)) is not None:
        raise WrongState("agent_id", f"this agent may not take it: {REQUIREMENTS[lacking]}")
    if room_beside(known, others, about["channel"]) < 1:
        raise WrongState("agent_id", _NO_ROOM)


def about_now(ledger: Ledger, row: Any) -> Json:
    """Return what a handover is about: what was said when it was opened, as far as no transfer says otherwise."""
    about = dict(from_json(row.body))
    for step in range(1, row.step + 1):
        later = last_step(ledger, row.id, step)
        if later.get("state") == "transferred":
            about.update({name: later[name] for name in ("skill", "knows") if name in later})
    return about


def keep_note(brain: Brain, handover_id: str, note: str, by: str, once: str) -> None:
    """Keep a note with a handover, once for each `once`.

    :raises RequestError: it is empty or too long
    """
    if not 1 <= len(note.strip()) <= MAX_NOTE:
        raise RequestError("note", f"write 1 to {MAX_NOTE} characters")
    row = row_of(brain, handover_id)
    body = {"handover_id": handover_id, "note": note.strip(), "by": by}
    key = f"handover-note:{handover_id}:{once}"
    with suppress(Duplicate):
        brain.ledger.append([Entry(row.stream, "handover_note", body, None, key=key)])


def note_doing(brain: Brain, handover_id: str, did: str, by: str, once: str, **about: str) -> None:
    """Record what an agent did in a conversation, such as an answer that they noted, once for each `once`."""
    with suppress(Duplicate):
        brain.ledger.append([note_entry(row_of(brain, handover_id), by, once, {"did": did, **about})])


def note_entry(row: Any, by: str, once: str, about: Mapping[str, str]) -> Entry:
    """Return the record of what an agent did in a conversation."""
    body = {"handover_id": row.id, "by": by, "once": once, **about}
    return Entry(row.stream, "handover_note", body, None, key=f"handover-note:{row.id}:{once}")


def doings_of_agents(brain: Brain, handover_id: str) -> list[Json]:
    """Return what agents did in a conversation as `note_doing` recorded it, without what was undone, oldest first."""
    every = [body for body in _note_bodies(brain, handover_id) if "did" in body]
    undone = {body.get("undoes") for body in every}
    return [body for body in every if body["once"] not in undone and body["did"] != "undone"]


def notes(brain: Brain, handover_id: str) -> list[str]:
    """Return the notes of a handover, of transfers too, oldest first."""
    return [str(body["note"]) for body in _note_bodies(brain, handover_id) if body.get("note")]


def _note_bodies(brain: Brain, handover_id: str) -> list[Json]:
    records = brain.ledger.select(_NOTES, {"stream": row_of(brain, handover_id).stream})
    bodies = (brain.ledger.record_of(record).body for record in records)
    return [dict(body) for body in bodies if body is not None and body["handover_id"] == handover_id]
