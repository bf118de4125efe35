"""What people answer to customers: a reviewer who had no part in a decision looks at it again, and may change it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import bindparam, select, tuple_

from decisioning.errors import NotFound, Refused, RequestError
from decisioning.nearest import did_you_mean
from decisioning.times import iso
from features.ledger import Record
from features.ledger.people.rows import HANDOVER
from features.ledger.standing import REQUEST
from features.ledger.tables import RECORDS, REQUESTS
from features.people import read_people
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.customers.looking import Subject
from serving.customers.rights.asking import OWN, State, append, decision_of

MAX_LISTED: Final = 50
_CURSOR: Final = re.compile(r"([0-9]{1,18})-([A-Z0-9-]{1,16})")
_PARTS: Final = ("who", "agent", "reviewer", "by", "author")
"""The fields of records that name who did what."""
_BY_NUMBER = (
    select(RECORDS).join(REQUESTS, REQUESTS.c.record == RECORDS.c.seq).where(REQUESTS.c.number == bindparam("number"))
)
_HANDOVERS = select(RECORDS).where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == HANDOVER)
_SHOWN: Final = (
    *("number", "about", "state", "decision_id", "text", "reviewer", "answer", "changed"),
    *("reason", "offered", "excluded"),
)


class Review(NamedTuple):
    """That a person looks at a request (`in_review`), or their answer.

    `reviewer`: the person, as the company calls them. `changed`: the decision that was contested does not stay; the
    answer says what holds in its place. `offered`: an action that the person offers the customer, `excluded`: one that
    nothing shows the customer from then on. `reason`: why, for the company and the customer's export.
    """

    state: Literal["in_review", "answered"]
    reviewer: str
    answer: str = ""
    changed: bool = False
    offered: str | None = None
    excluded: str | None = None
    reason: str = ""


def listed(brain: Brain, state: State | None, after: str) -> dict[str, Any]:
    """Return a page of requests, those that are due first before the others, with the cursor of the next page.

    Raises RequestError for what is no cursor.
    """
    cursor = _CURSOR.fullmatch(after)
    if after and cursor is None:
        raise RequestError("after", "expected the `next` of the page before")
    query = select(RECORDS, REQUESTS.c.due_us, REQUESTS.c.number).join(REQUESTS, REQUESTS.c.record == RECORDS.c.seq)
    if state is not None:
        query = query.where(REQUESTS.c.state == state)
    if cursor is not None:
        query = query.where(tuple_(REQUESTS.c.due_us, REQUESTS.c.number) > (int(cursor[1]), cursor[2]))
    rows = brain.ledger.select(query.order_by(REQUESTS.c.due_us, REQUESTS.c.number).limit(MAX_LISTED))
    records = [record for record in map(brain.ledger.record_of, rows) if record.body is not None]
    following = f"{rows[-1].due_us}-{rows[-1].number}" if len(rows) == MAX_LISTED else None
    return {"requests": [as_json(record.body or {}) for record in records], "next": following}


def seen_in_list(brain: Brain, content: Mapping[str, Any]) -> list[Subject]:
    """Return whom a page of requests shows."""
    ids = dict.fromkeys(one["customer_id"] for one in content["requests"])
    return [(brain.subject_stream(customer_id), {"customer_id": customer_id}) for customer_id in ids]


def as_json(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as it is listed."""
    times = {"opened_at": iso(body["opened_us"]), "due_at": iso(body["due_us"])}
    return {"customer_id": body["customer_id"], **{name: body.get(name) for name in _SHOWN}, **times}


def answer_request(brain: Brain, number: str, doer: Doer, review: Review) -> dict[str, Any]:
    """Record that a request is being looked at, or its answer; return it as it then is. The same again adds nothing.

    What a contest changes binds every later decision. The earlier decision stays as it was recorded.

    :param doer: the caller who tells it
    :raises NotFound: there is no such request
    :raises RequestError: what is to change is no decision that was contested, or no action of the catalogue
    :raises Refused: the reviewer had a part in what it is about, or it was answered otherwise before
    """
    record = _newest(brain, number)
    body = record.body or {}
    _check_reviewer(brain, record.stream, body, review.reviewer)
    _check_change(brain, body, review)
    said = {**review._asdict(), **doer.fields}
    if all((body.get(name) or None) == (value or None) for name, value in said.items()):
        return as_json(body)
    if body["state"] == "answered":
        raise Refused("this request was answered before, and an answer that was given stays as it is")
    given = {name: value for name, value in said.items() if value not in (None, "")}
    statement = given if review.answer else {name: value for name, value in given.items() if name != "changed"}
    if not append(brain, record.stream, REQUEST, {**body, **statement}, f"request:{body['number']}:{record.version}"):
        raise Refused("another person told of this request at the same time: look at it again")
    return as_json(_newest(brain, number).body or {})


def _check_change(brain: Brain, body: Mapping[str, Any], review: Review) -> None:
    """Raise RequestError for a change of what no decision was, or by an action that the catalogue does not have."""
    actions = brain.snapshot.release.actions
    for field, action in (("offered", review.offered), ("excluded", review.excluded)):
        if action is not None and body["about"] != "contest":
            raise RequestError(field, "only a decision that was contested can be changed")
        if action is not None and action not in actions:
            raise RequestError(field, f"the catalogue has no such action{did_you_mean(action, actions)}")


def _newest(brain: Brain, number: str) -> Record:
    rows = brain.ledger.select(_BY_NUMBER, {"number": number.upper()})
    record = brain.ledger.record_of(rows[0]) if rows else None
    if record is None or record.body is None:
        raise NotFound("number", "there is no such request, or its customer was erased")
    return record


def _check_reviewer(brain: Brain, stream: str, body: Mapping[str, Any], reviewer: str) -> None:
    """Raise Refused if a reviewer had a part in the decision that a request is about."""
    decision_id = body.get("decision_id")
    if decision_id is None:
        return
    if had_part(brain, stream, decision_id, reviewer):
        raise Refused("the reviewer had a part in this decision: another person has to look at it")


def had_part(brain: Brain, stream: str, decision_id: str, who: str) -> bool:
    """Tell whether somebody had a part in a decision, under whichever of their names."""
    return not _names_of(brain, who).isdisjoint(_taking_part(brain, stream, decision_id))


def _names_of(brain: Brain, who: str) -> set[str]:
    """Return what somebody is called: as told, and by id and name of the person who signs in so."""
    bare = _bare(who)
    people = [{_bare(one.id), _bare(one.name), _bare(one.subject)} for one in read_people(brain.ledger)]
    return {bare}.union(*(names for names in people if bare in names))


def _taking_part(brain: Brain, stream: str, decision_id: str) -> Iterator[str]:
    """Yield who had a part in a decision: whom its request names, and who recorded what became of it.

    Whoever had the conversation in which it was made did, too.
    """
    record = decision_of(brain, stream, decision_id)
    request = (record.body or {})["request"]
    agent, conversation = request.get("context", {}).get("agent_id"), request.get("conversation_id")
    yield from () if agent is None else (_bare(str(agent)),)
    for row in brain.ledger.select(_HANDOVERS, {"stream": stream}) if conversation is not None else ():
        step = brain.ledger.record_of(row).body or {}
        if step.get("conversation_id") == conversation and step.get("agent"):
            yield _bare(str(step["agent"]))
    for later in brain.ledger.records(stream, after=record.version):
        body = later.folded or {}
        if later.kind not in OWN and _is_about(body, decision_id):
            yield from (_bare(str(body[name])) for name in _PARTS if body.get(name))


def _is_about(body: Mapping[str, Any], decision_id: str) -> bool:
    return body.get("decision_id") == decision_id or str(body.get("offer_id") or "").startswith(f"{decision_id}.")


def _bare(who: str) -> str:
    """Return the id of a caller without its kind, in lower case: `person:Jo` is `jo`."""
    return who.rpartition(":")[2].strip().casefold()
