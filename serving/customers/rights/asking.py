"""What customers ask of people: to look at a decision again, to be called, and what else they have a right to.

A request has a number, a date by which it is answered, and a reviewer; `reviewing` is their part.
"""

import base64
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import bindparam, select

from decisioning.errors import Erased, NotFound, RequestError, TooOften
from decisioning.times import microseconds
from features.ledger import Duplicate, Entry, Record
from features.ledger.standing import REQUEST
from features.ledger.tables import RECORDS
from serving.brain.runtime import Brain
from serving.customers.rights.entering import THE_CUSTOMER
from serving.problems import ERASED

About = Literal["contest", "access", "erasure", "person", "complaint"]
"""What is asked for: another look at a decision, the data, their erasure, a call by a person, or a complaint."""
State = Literal["open", "in_review", "answered"]
STATES: Final[tuple[State, ...]] = get_args(State)
MAX_TEXT: Final = 2_000
MAX_OPEN: Final = 20
"""So many requests of one customer may wait for an answer."""
_DIGITS: Final = 12
OWN: Final = frozenset((REQUEST, "opinion"))
"""The kinds of records in which customers speak themselves."""
_OF_STREAM = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind.in_(sorted(OWN)))
    .order_by(RECORDS.c.version.desc())
    .limit(500)
)


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
        append(brain, stream, "opinion", body, None)


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
    append(brain, brain.subject_stream(customer_id), REQUEST, body, f"request:{number}")


def _said(brain: Brain, stream: str, kind: str) -> Iterator[dict[str, Any]]:
    records = map(brain.ledger.record_of, brain.ledger.select(_OF_STREAM, {"stream": stream}))
    return (record.body for record in records if record.kind == kind and record.body is not None)


def append(brain: Brain, stream: str, kind: str, body: Mapping[str, Any], key: str | None) -> bool:
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
