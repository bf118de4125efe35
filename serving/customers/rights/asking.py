"""What customers ask of people: to look at a decision again, to be called, and what else they have a right to.

A request has a number, a date by which it is answered, and a reviewer who had no part in the decision that it is about.
"""

import base64
import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import bindparam, select, tuple_

from decisioning.errors import Erased, NotFound, Refused, RequestError, TooOften
from decisioning.times import iso, microseconds
from features.ledger import Duplicate, Entry, Record
from features.ledger.standing import REQUEST
from features.ledger.tables import RECORDS, REQUESTS
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.customers.looking import Subject
from serving.customers.rights.entering import THE_CUSTOMER
from serving.problems import ERASED

About = Literal["contest", "access", "erasure", "person", "complaint"]
"""What is asked for: another look at a decision, the data, their erasure, a call by a person, or a complaint."""
State = Literal["open", "in_review", "answered"]
STATES: Final[tuple[State, ...]] = get_args(State)
MAX_TEXT: Final = 2_000
MAX_LISTED: Final = 50
MAX_OPEN: Final = 20
"""So many requests of one customer may wait for an answer."""
_DIGITS: Final = 12
_CURSOR: Final = re.compile(r"([0-9]{1,18})-([A-Z0-9-]{1,16})")
_OWN: Final = frozenset((REQUEST, "opinion"))
"""The kinds of records in which customers speak themselves."""
_PARTS: Final = ("who", "agent", "reviewer", "by", "author")
"""The fields of records that name who did what."""
_OF_STREAM = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind.in_(sorted(_OWN)))
    .order_by(RECORDS.c.version.desc())
    .limit(500)
)
_BY_NUMBER = (
    select(RECORDS).join(REQUESTS, REQUESTS.c.record == RECORDS.c.seq).where(REQUESTS.c.number == bindparam("number"))
)
_SHOWN: Final = ("number", "about", "state", "decision_id", "text", "reviewer", "answer", "changed")


def open_request(
    brain: Brain, customer_id: str, about: About, once: str, *, text: str = "", decision_id: str | None = None
) -> str:
    """Record what a customer asks for, and return its number; the same `once` again has the number of the first.

    Raises RequestError for a text that is too long, NotFound for a decision that is not theirs, TooOften while MAX_OPEN
    wait for an answer, Erased.
    """
    if len(text) > MAX_TEXT:
        raise RequestError("text", f"a text may have {MAX_TEXT} characters")
    stream = brain.subject_stream(customer_id)
    if decision_id is not None:
        decision_of(brain, stream, decision_id)
        once = f"decision:{decision_id}"
    number = _number(brain, f"{stream}:{about}:{once}")
    waiting = {body["number"] for body in requests_of(brain, stream) if body["state"] != "answered"}
    if len(waiting - {number}) >= MAX_OPEN:
        raise TooOften("so many of your questions wait for an answer that no more are taken")
    more = {**({"text": text} if text else {}), **({"decision_id": decision_id} if decision_id else {})}
    _open(brain, customer_id, number, about, state="open", **more)
    return number


def note_erasure(brain: Brain, customer_id: str) -> None:
    """Record that a customer erases themself; the record's hash stays behind, and says no more."""
    number = _number(brain, f"{brain.subject_stream(customer_id)}:erased:{brain.ledger.clock()}")
    _open(brain, customer_id, number, "erasure", state="answered")


def give_opinion(brain: Brain, stream: str, decision_id: str, *, right: bool) -> None:
    """Record whether a customer finds a decision right; saying the same again adds nothing. Raises NotFound, Erased."""
    decision_of(brain, stream, decision_id)
    said = opinions(brain, stream)
    if said.get(decision_id) is not right:
        body = {"decision_id": decision_id, "right": right, **THE_CUSTOMER.fields}
        _append(brain, stream, "opinion", body, None)


def decision_of(brain: Brain, stream: str, decision_id: str) -> Record:
    """Return a decision that was made for the subject of a stream; raises NotFound for any other."""
    record = brain.ledger.lookup(f"decision:{decision_id}")
    if record is None or record.stream != stream or record.body is None:
        raise NotFound("decision_id", "no such decision was made for this customer")
    return record


def requests_of(brain: Brain, stream: str) -> list[dict[str, Any]]:
    """Return what a customer asked for, as it stands now, the newest first."""
    newest: dict[str, dict[str, Any]] = {}
    for body in _said(brain, stream, REQUEST):
        newest.setdefault(body["number"], body)
    return sorted(newest.values(), key=lambda body: int(body["opened_us"]), reverse=True)


def opinions(brain: Brain, stream: str) -> dict[str, bool]:
    """Return decision -> whether its customer found it right, as they said last."""
    said: dict[str, bool] = {}
    for body in _said(brain, stream, "opinion"):
        said.setdefault(body["decision_id"], body["right"])
    return said


def _open(brain: Brain, customer_id: str, number: str, about: About, **more: str) -> None:
    """Append the first record of a request."""
    opened_us = brain.ledger.clock()
    times = {"opened_us": opened_us, "due_us": _a_month_later(opened_us)}
    body = {"number": number, "about": about, "customer_id": customer_id, **THE_CUSTOMER.fields, **times, **more}
    _append(brain, brain.subject_stream(customer_id), REQUEST, body, f"request:{number}")


def _said(brain: Brain, stream: str, kind: str) -> Iterator[dict[str, Any]]:
    records = map(brain.ledger.record_of, brain.ledger.select(_OF_STREAM, {"stream": stream}))
    return (record.body for record in records if record.kind == kind and record.body is not None)


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


def answer_request(
    brain: Brain,
    number: str,
    doer: Doer,
    reviewer: str,
    state: Literal["in_review", "answered"],
    answer: str,
    *,
    changed: bool,
) -> dict[str, Any]:
    """Record that a request is being looked at, or its answer; return it as it then is. The same again adds nothing.

    :param doer: the caller who tells it
    :param reviewer: the person who looks at it, as the company calls them
    :raises NotFound: there is no such request
    :raises Refused: the reviewer had a part in what it is about, or it was answered otherwise before
    """
    record = _newest(brain, number)
    body = record.body or {}
    _check_reviewer(brain, record.stream, body, reviewer)
    said = {"answer": answer, "changed": changed} if answer else {}
    statement = {"state": state, "reviewer": reviewer, **doer.fields, **said}
    if all(body.get(name) == value for name, value in statement.items()):
        return as_json(body)
    if body["state"] == "answered":
        raise Refused("this request was answered before, and an answer that was given stays as it is")
    if not _append(brain, record.stream, REQUEST, {**body, **statement}, f"request:{body['number']}:{record.version}"):
        raise Refused("another person told of this request at the same time: look at it again")
    return as_json(_newest(brain, number).body or {})


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
    if _bare(reviewer) in set(taking_part(brain, stream, decision_id)):
        raise Refused("the reviewer had a part in this decision: another person has to look at it")


def taking_part(brain: Brain, stream: str, decision_id: str) -> Iterator[str]:
    """Yield who had a part in a decision: whom its request names, and who recorded what became of it."""
    record = decision_of(brain, stream, decision_id)
    agent = (record.body or {})["request"].get("context", {}).get("agent_id")
    yield from () if agent is None else (_bare(str(agent)),)
    for later in brain.ledger.records(stream, after=record.version):
        body = later.folded or {}
        if later.kind not in _OWN and _is_about(body, decision_id):
            yield from (_bare(str(body[name])) for name in _PARTS if body.get(name))


def _is_about(body: Mapping[str, Any], decision_id: str) -> bool:
    return body.get("decision_id") == decision_id or str(body.get("offer_id") or "").startswith(f"{decision_id}.")


def _bare(who: str) -> str:
    """Return the id of a caller without its kind: `person:jo` is `jo`."""
    return who.rpartition(":")[2]


def _append(brain: Brain, stream: str, kind: str, body: Mapping[str, Any], key: str | None) -> bool:
    """Append a record; return False if there is one of this key already."""
    try:
        brain.ledger.append([Entry(stream, kind, body, None, key=key)])
    except Duplicate:
        return False
    except Erased:
        raise Erased("customer_id", ERASED.about) from None
    return True


def _number(brain: Brain, text: str) -> str:
    """Return a number of twelve letters and digits for a request, in groups of four."""
    digits = base64.b32encode(bytes.fromhex(brain.ledger.key_of(f"number:{text}"))).decode()[:_DIGITS]
    return "-".join(digits[at : at + 4] for at in range(0, _DIGITS, 4))


def _a_month_later(at_us: int) -> int:
    """Return the same time a month later, or on the month's last day if it is shorter (Art. 12(3) GDPR)."""
    day = datetime.fromtimestamp(at_us / 1e6, UTC)
    year, month = day.year + day.month // 12, day.month % 12 + 1
    return microseconds(day.replace(year=year, month=month, day=min(day.day, monthrange(year, month)[1])))
