"""Verify that the table of requests says of each what its newest record says, and lists no other."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Row, bindparam, exists, select

from features.ledger.checking.verification import Flaw
from features.ledger.database import Database
from features.ledger.records import Bodies
from features.ledger.standing import REQUEST
from features.ledger.tables import ERASURES, RECORDS, REQUESTS

_PAGE: Final = 500
_LISTED = (
    select(REQUESTS, RECORDS.c.stream.label("record_stream"), RECORDS.c.kind, RECORDS.c.body)
    .outerjoin(RECORDS, RECORDS.c.seq == REQUESTS.c.record)
    .where(REQUESTS.c.number > bindparam("after"))
    .order_by(REQUESTS.c.number)
    .limit(_PAGE)
)
_RECORDED = (
    select(RECORDS.c.seq, RECORDS.c.stream, RECORDS.c.version, RECORDS.c.body)
    .where(RECORDS.c.kind == REQUEST, RECORDS.c.body.is_not(None), RECORDS.c.seq > bindparam("after"))
    .order_by(RECORDS.c.seq)
    .limit(_PAGE)
)
_NEWEST = select(REQUESTS.c.record).where(REQUESTS.c.number == bindparam("number"))
_LEFT = select(REQUESTS.c.number).where(
    REQUESTS.c.number == bindparam("number"),
    ~exists().where(ERASURES.c.stream == REQUESTS.c.stream, ERASURES.c.emptied.is_(False)),
)
"""Finds the row again, unless its subject is being erased."""


def request_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows that say something else than their record, and requests that have a newer record than their row."""
    after: Any = ""
    while rows := database.fetch(_LISTED, {"after": after}):
        for row in rows:
            if message := _problem(database, bodies, row):
                yield Flaw(REQUESTS.name, row.record, message)
        after = rows[-1].number
    after = -(2**62)
    while rows := database.fetch(_RECORDED, {"after": after}):
        for row in rows:
            if row.body is not None and not _is_listed(database, bodies, row):
                yield Flaw(row.stream, row.version, "the request is recorded, and its table does not say so")
        after = rows[-1].seq


def _problem(database: Database, bodies: Bodies, row: Row[Any]) -> str:
    """Return what is wrong with a row; empty if nothing is."""
    if row.kind != REQUEST or row.record_stream != row.stream:
        return "there is no record of this request"
    if row.body is None:
        left = database.fetch(_LEFT, {"number": row.number})
        return "the subject was erased, and a request is listed" if left else ""
    try:
        body = bodies.read(row.body)
        said = body["number"], body["state"], body["due_us"]
    except (ValueError, KeyError, TypeError):
        return "its record cannot be read"
    return "" if said == (row.number, row.state, row.due_us) else "it is not the request that is recorded"


def _is_listed(database: Database, bodies: Bodies, row: Row[Any]) -> bool:
    """Tell whether a request's row names this record or a newer one."""
    try:
        number = bodies.read(row.body)["number"]
    except (ValueError, KeyError, TypeError):
        return True  # `verify` tells of a record that cannot be read
    newest = database.fetch(_NEWEST, {"number": number})
    return bool(newest) and newest[0].record >= row.seq
