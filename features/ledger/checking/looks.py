"""Verify that the table of looks lists every look that is recorded, and nothing else."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Row, bindparam, exists, select

from features.ledger.checking.verification import Flaw
from features.ledger.database import Database
from features.ledger.records import LOOK, Bodies, looks_of, reason_of
from features.ledger.tables import ERASURES, LOOKS, RECORDS

_PAGE: Final = 500
_LISTED = (
    select(
        *(LOOKS, RECORDS.c.kind, RECORDS.c.body),
        *(RECORDS.c.stream.label("record_stream"), RECORDS.c.at_us.label("record_us")),
    )
    .outerjoin(RECORDS, RECORDS.c.seq == LOOKS.c.seq)
    .where(LOOKS.c.seq > bindparam("after"))
    .order_by(LOOKS.c.seq)
    .limit(_PAGE)
)
_UNLISTED = (
    select(RECORDS.c.seq, RECORDS.c.stream, RECORDS.c.version, RECORDS.c.body)
    .outerjoin(LOOKS, RECORDS.c.seq == LOOKS.c.seq)
    .where(RECORDS.c.kind == LOOK, LOOKS.c.seq.is_(None), RECORDS.c.seq > bindparam("after"))
    .order_by(RECORDS.c.seq)
    .limit(_PAGE)
)
_LEFT = select(LOOKS.c.seq).where(
    LOOKS.c.seq == bindparam("seq"),
    ~exists().where(ERASURES.c.stream == LOOKS.c.stream, ERASURES.c.emptied.is_(False)),
)
"""Finds the row again, unless its subject is being erased."""


def look_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows without their record, and records without their row; an erasure deletes rows after bodies."""
    for row in _pages(database, _LISTED):
        if message := _problem(database, bodies, row):
            yield Flaw(LOOKS.name, row.seq, message)
    for row in _pages(database, _UNLISTED):
        if row.body is not None:
            yield Flaw(row.stream, row.version, "the look is recorded, and not in the table of looks")


def _pages(database: Database, statement: Any) -> Iterator[Row[Any]]:
    after = -(2**62)
    while rows := database.fetch(statement, {"after": after}):
        yield from rows
        after = rows[-1].seq


def _problem(database: Database, bodies: Bodies, row: Row[Any]) -> str:
    """Return what is wrong with a row; empty if nothing is."""
    if row.kind != LOOK or row.record_stream != looks_of(row.stream):
        return "there is no record of this look"
    if row.body is None:
        return "the subject was erased, and a look is listed" if database.fetch(_LEFT, {"seq": row.seq}) else ""
    try:
        body = bodies.read(row.body)
        recorded = body["subject"], body["who"], reason_of(body), row.record_us
        listed = row.stream, row.who, row.reason, row.at_us
        return "" if recorded == listed else "it is not the look that is recorded"
    except (ValueError, KeyError, TypeError):
        return "its record cannot be read"
