"""Everything that is held about a person or a visitor, as JSON, in pages.

The first page has everything but the logs. The records of the ledger, the signals, who looked at the subject, and the
words of their open conversations follow in pages in the order in which they were recorded: those of the subject, of the
stretches of visitors that are or were theirs, and of customers joined with them, who are the same person. Of a visitor
it is the stretch that takes what comes now.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pydantic_core import from_json
from sqlalchemy import BindParameter, ColumnElement, Table, bindparam, select
from sqlalchemy.sql import Select

from decisioning.errors import RequestError
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import iso
from features.conversations.words import words_of
from features.ledger import Record, SubjectKind, now_us
from features.ledger.links import streams_of
from features.ledger.people.rows import HANDOVER
from features.ledger.records import JUDGEMENTS
from features.ledger.standing import REQUEST, SALE
from features.ledger.tables import (
    CONVERSATION_WORDS,
    DELIVERIES,
    EMPTIED,
    FIRED,
    LOOKS,
    PRIVACY_CONTROLS,
    RECORDS,
    SIGNAL_STATES,
    SIGNALS,
    WATCHES,
)
from serving.brain.runtime import Brain
from serving.customers.erasing import ID_FIELDS
from serving.customers.receipts import receipts
from serving.customers.recording import standing_json

PAGE: Final = 200
_NAMES: Final = {
    **dict.fromkeys((*JUDGEMENTS, "access", REQUEST, SALE), frozenset(("who", "reviewer"))),
    "handover_note": frozenset(("by",)),
    HANDOVER: frozenset(("by", "agent", "knows", "conversation_key", "request")),
}
"""By kind of record, what names a person of the company, or is of use to nobody else."""
_OF_COMPANY: Final = ("person:", "key:")
"""How the names of those begin who record for the company what a customer says."""
_OF_LOOKS: Final = ("role", "what", "purpose")
_CURSOR = re.compile(r"([slw]?)([0-9]{1,18})")
_AMONG: BindParameter[Any] = bindparam("streams", expanding=True)


def _of_streams(table: Table, *conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(table)
        .where(table.c.stream.in_(_AMONG), table.c.seq > bindparam("after"), *conditions)
        .order_by(table.c.seq)
        .limit(PAGE + 1)
    )


_LOOKS = (
    select(RECORDS, LOOKS.c.stream.label("subject"))
    .join(LOOKS, LOOKS.c.seq == RECORDS.c.seq)
    .where(LOOKS.c.stream.in_(_AMONG), LOOKS.c.seq > bindparam("after"))
    .order_by(LOOKS.c.seq)
    .limit(PAGE + 1)
)
_CONSENTS = select(RECORDS).where(RECORDS.c.stream.in_(_AMONG), RECORDS.c.kind == "consent").order_by(RECORDS.c.seq)


def export(brain: Brain, kind: SubjectKind, subject_id: str, after: str = "") -> dict[str, Any]:
    """Return one page; `next` is the cursor of the next page, None on the last.

    :raises RequestError: `after` is not the cursor of a page
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    streams = streams_of(stream, partial(brain.ledger.read, rules=NO_PAST), brain.ledger.select)
    cursor = _CURSOR.fullmatch(after or "0")
    if cursor is None:
        raise RequestError("after", "expected the `next` of the page before")
    page: dict[str, Any] = {ID_FIELDS[kind]: subject_id}
    if not after or after == "0":
        page |= _overview(brain, streams)
    return {**page, **_logs(brain, streams, cursor[1], int(cursor[2]))}


def _logs(brain: Brain, streams: Sequence[str], prefix: str, after: int) -> dict[str, Any]:
    """Return up to PAGE entries of each log after a position in the log of this prefix, and the cursor of what follows.

    A log begins on the page on which the one before it ends.
    """
    page: dict[str, Any] = {log.name: [] for log in LOGS}
    begun = [log.prefix for log in LOGS].index(prefix)
    for log in LOGS[begun:]:
        rows = brain.ledger.select(log.rows, {"streams": streams, "after": after})
        page[log.name] = [log.entry(brain, row) for row in rows[:PAGE]]
        if len(rows) > PAGE:
            return {**page, "next": f"{log.prefix}{rows[PAGE - 1].seq}"}
        after = 0
    return {**page, "next": None}


def subjects_of(export: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the streams of whom the first page of an export tells, the subject's own first."""
    visitors, customers = (
        (one["visitor"] for one in export["visitors"]),
        (one["customer"] for one in export["customers"]),
    )
    return (export["subject"], *visitors, *customers)


def _overview(brain: Brain, streams: Sequence[str]) -> dict[str, Any]:
    """Return everything but the logs; each identifier has the standing of its own stream.

    Linked visitors are in `visitors`, joined customers in `customers`.
    """
    at_us = now_us()
    own, *others = brain.ledger.read(*streams)
    consents = map(brain.ledger.record_of, brain.ledger.select(_CONSENTS, {"streams": streams}))
    settings = brain.workspace.settings
    return {
        "exported_at": iso(at_us),
        "subject": own.stream,
        "version": own.version,
        **_customer(brain, own, at_us),
        "signals": [_state(brain, row, at_us) for row in _rows(brain, SIGNAL_STATES, streams)],
        "moments": _moments(brain, streams),
        "visitors": [{"visitor": one.stream, **standing_json(one)} for one in others if one.holder is not None],
        "customers": [{"customer": one.stream, **_customer(brain, one, at_us)} for one in others if one.holder is None],
        "receipts": receipts(consents, settings.controller or brain.workspace.name, at_us),
    }


def _customer(brain: Brain, standing: Standing, at_us: int) -> dict[str, Any]:
    """Return the profile and the standing of one stream."""
    profiles, schema = brain.snapshot.profiles, brain.snapshot.release.schema
    stored = profiles.read([standing.stream], now_us=at_us)[0]
    # an erasure leaves the history files to a later pass; what they still hold is nobody's from the tombstone on
    statements = () if standing.erased else profiles.archive.statements_of(standing.stream)
    return {
        "facts": dict(sorted(stored.facts.items())),
        **standing_json(standing),
        "profile": [
            {"feature": name, "value": value, "source": schema[name].source, "as_of": iso(since_us)}
            for name, (value, since_us) in sorted(stored.raw.items())
        ],
        "history": [
            {"as_of": iso(stamp.event_us), "recorded_at": iso(stamp.created_us), "facts": dict(facts)}
            for stamp, facts in statements
        ],
    }


def _moments(brain: Brain, streams: Sequence[str]) -> dict[str, Any]:
    return {
        "watched": [_watch(row) for row in _rows(brain, WATCHES, streams)],
        "fired": [_firing(row) for row in _rows(brain, FIRED, streams)],
        "privacy_controls": [_control(row) for row in _rows(brain, PRIVACY_CONTROLS, streams)],
        "deliveries": [_delivery(row) for row in _rows(brain, DELIVERIES, streams)],
    }


def _rows(brain: Brain, table: Table, streams: Sequence[str]) -> Iterable[Any]:
    return brain.ledger.select(select(table).where(table.c.stream.in_(_AMONG)), {"streams": streams})


def _record(brain: Brain, row: Any) -> dict[str, Any]:
    record: Record = brain.ledger.record_of(row)
    return {
        "subject": record.stream,
        "version": record.version,
        "kind": record.kind,
        "recorded_at": iso(record.at_us),
        "occurred_at": iso(record.occurred_us),
        "body": _without_names(record),
    }


def _without_names(record: Record) -> dict[str, Any] | None:
    """Return the body; who did something is told as a role, as the customer is told no name."""
    body, untold = record.body, _NAMES.get(record.kind)
    if body and record.kind == "consent" and str(body.get("who", "")).startswith(_OF_COMPANY):
        return {**body, "who": "agent"}
    return {name: value for name, value in body.items() if name not in untold} if body and untold else body


def _event(_: Brain, row: Any) -> dict[str, Any]:
    return {
        "subject": row.stream,
        "type": row.type,
        "occurred_at": iso(row.occurred_us),
        "recorded_at": iso(row.recorded_us),
        "expires_at": iso(row.expires_us),
        "fields": from_json(row.body),
    }


def _look(brain: Brain, row: Any) -> dict[str, Any]:
    """Return who looked as a role: the customer is told no name."""
    record: Record = brain.ledger.record_of(row)
    body = record.body or {}
    about = {name: body.get(name) for name in _OF_LOOKS}
    return {"subject": row.subject, "at": iso(record.at_us), **about}


def _words(_: Brain, row: Any) -> dict[str, Any]:
    said = words_of(row)
    until = None if row.until_us is None else iso(row.until_us)
    return {"subject": row.stream, "speaker": said.speaker, "at": iso(said.at_us), "text": said.text, "until": until}


class ExportLog(NamedTuple):
    """A part of an export that may take several pages: its name, the prefix of its cursors, its rows and entries."""

    name: str
    prefix: str
    rows: Select[Any]
    entry: Callable[[Brain, Any], dict[str, Any]]


LOGS: Final = (
    ExportLog("records", "", _of_streams(RECORDS), _record),
    ExportLog("events", "s", _of_streams(SIGNALS, SIGNALS.c.type != EMPTIED), _event),
    ExportLog("looks", "l", _LOOKS, _look),
    ExportLog("words", "w", _of_streams(CONVERSATION_WORDS), _words),
)
"""In the order of the pages."""


def _state(brain: Brain, row: Any, at_us: int) -> dict[str, Any]:
    """Return the signal features that a decision would see, and the state they are computed from."""
    signals = brain.snapshot.signals.read([row.stream], at_us, keep=False)
    state = from_json(row.body) if row.body else None
    features = dict(sorted(signals.facts.items()))
    return {"subject": row.stream, "version": row.version, "features": features, "state": state}


def _watch(row: Any) -> dict[str, Any]:
    moment = {"subject": row.stream, "moment": row.moment, "due": iso(row.due_us)}
    return {**moment, "for": from_json(row.body)[0]}


def _firing(row: Any) -> dict[str, Any]:
    return {"subject": row.stream, "moment": row.moment, "at": iso(row.at_us)}


def _control(row: Any) -> dict[str, Any]:
    return {"subject": row.stream, "signal": row.type, "until": iso(row.until_us)}


def _delivery(row: Any) -> dict[str, Any]:
    names = ("moment", "channel", "route", "state", "attempts", "error")
    return {
        "subject": row.stream,
        "id": row.id,
        **{name: getattr(row, name) for name in names},
        "at": iso(row.at_us),
        "body": from_json(row.body),
    }
