"""Verify tables that list records of one kind: looks by who took them, and requests of customers by their number."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Row, Select, Table, bindparam, exists, select

from features.ledger.checking.verification import Flaw
from features.ledger.database import Database
from features.ledger.records import LOOK, Bodies, looks_of, reason_of
from features.ledger.standing import REQUEST
from features.ledger.tables import ERASURES, LOOKS, RECORDS, REQUESTS

_PAGE: Final = 500
_FIRST: Final = -(2**62)
_UNREADABLE: Final = (ValueError, KeyError, TypeError)
Said = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Listing:
    """A table whose rows each name (`record`) the record of a `kind` that says what they list.

    `key`: what names a row, of a type whose least value is `least`. `stream_of`: the stream of a row -> that of its
    record. `recorded`: what body and time of a record say, and `listed`: what a row says. `unlisted`: the records that
    may have no row, and `is_listed`: whether the row of this body names this record or a newer one.
    """

    table: Table
    kind: str
    key: Column[Any]
    least: object
    record: Column[Any]
    stream_of: Callable[[str], str]
    recorded: Callable[[Mapping[str, Any], int], Said]
    listed: Callable[[Row[Any]], Said]
    unlisted: Select[Any]
    is_listed: Callable[[Database, Mapping[str, Any], int], bool]

    @property
    def rows(self) -> Select[Any]:
        """The rows after one, each with its record if there is one."""
        of_record = (RECORDS.c.stream.label("record_stream"), RECORDS.c.at_us.label("record_us"))
        joined = select(self.table, *of_record, RECORDS.c.kind, RECORDS.c.body)
        joined = joined.outerjoin(RECORDS, RECORDS.c.seq == self.record)
        return joined.where(self.key > bindparam("after")).order_by(self.key).limit(_PAGE)

    @property
    def left(self) -> Select[Any]:
        """A row again, unless its subject is being erased."""
        erasing = exists().where(ERASURES.c.stream == self.table.c.stream, ERASURES.c.emptied.is_(False))
        return select(self.key).where(self.key == bindparam("key"), ~erasing)


def look_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows without their look, and looks without their row; an erasure deletes rows after bodies."""
    return _flaws(database, bodies, _LOOKS)


def request_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows that say something else than their record, and requests that have a newer record than their row."""
    return _flaws(database, bodies, _REQUESTS)


def _flaws(database: Database, bodies: Bodies, listing: _Listing) -> Iterator[Flaw]:
    for row in _pages(database, listing.rows, listing.key.name, listing.least):
        if message := _problem(database, bodies, listing, row):
            yield Flaw(listing.table.name, getattr(row, listing.record.name), message)
    for row in _pages(database, listing.unlisted, "seq", _FIRST):
        if row.body is not None and not _is_listed(database, bodies, listing, row):
            yield Flaw(row.stream, row.version, f"the {listing.kind} is recorded, and its table does not say so")


def _pages(database: Database, statement: Select[Any], key: str, after: Any) -> Iterator[Row[Any]]:
    while rows := database.fetch(statement, {"after": after}):
        yield from rows
        after = getattr(rows[-1], key)


def _problem(database: Database, bodies: Bodies, listing: _Listing, row: Row[Any]) -> str:
    """Return what is wrong with a row; empty if nothing is."""
    if row.kind != listing.kind or row.record_stream != listing.stream_of(row.stream):
        return f"there is no record of this {listing.kind}"
    if row.body is None:
        left = database.fetch(listing.left, {"key": getattr(row, listing.key.name)})
        return f"the subject was erased, and a {listing.kind} is listed" if left else ""
    try:
        recorded = listing.recorded(bodies.read(row.body), row.record_us)
    except _UNREADABLE:
        return "its record cannot be read"
    return "" if recorded == listing.listed(row) else f"it is not the {listing.kind} that is recorded"


def _is_listed(database: Database, bodies: Bodies, listing: _Listing, row: Row[Any]) -> bool:
    try:
        return listing.is_listed(database, bodies.read(row.body), row.seq)
    except _UNREADABLE:
        return True  # `verify` tells of a record that cannot be read


def _recorded(kind: str) -> Select[Any]:
    columns = (RECORDS.c.seq, RECORDS.c.stream, RECORDS.c.version, RECORDS.c.body)
    of_kind = select(*columns).where(RECORDS.c.kind == kind, RECORDS.c.seq > bindparam("after"))
    return of_kind.order_by(RECORDS.c.seq).limit(_PAGE)


def _request_is_listed(database: Database, body: Mapping[str, Any], seq: int) -> bool:
    newest = database.fetch(select(REQUESTS.c.record).where(REQUESTS.c.number == body["number"]))
    return bool(newest) and newest[0].record >= seq


_LOOKS: Final = _Listing(
    table=LOOKS,
    kind=LOOK,
    key=LOOKS.c.seq,
    least=_FIRST,
    record=LOOKS.c.seq,
    stream_of=looks_of,
    recorded=lambda body, at_us: (body["subject"], body["who"], reason_of(body), at_us),
    listed=lambda row: (row.stream, row.who, row.reason, row.at_us),
    unlisted=_recorded(LOOK).outerjoin(LOOKS, RECORDS.c.seq == LOOKS.c.seq).where(LOOKS.c.seq.is_(None)),
    is_listed=lambda *_: False,
)
_REQUESTS: Final = _Listing(
    table=REQUESTS,
    kind=REQUEST,
    key=REQUESTS.c.number,
    least="",
    record=REQUESTS.c.record,
    stream_of=lambda stream: stream,
    recorded=lambda body, _: (body["number"], body["state"], body["due_us"]),
    listed=lambda row: (row.number, row.state, row.due_us),
    unlisted=_recorded(REQUEST),
    is_listed=_request_is_listed,
)
