"""Nothing counts as later than it was recorded, a refusal holds against a grant within seconds, and "for good" is kept.

Standings, outcomes and the times of contacts are made anew from the records of each stream, which stay as they were
written. Outcomes that `ledger_0005` left out as older than 800 days come back. Where the past of a stream has changed,
its standing names no release's rules; the next append to it selects what they read.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from alembic import op
from pydantic_core import from_json, to_json

from features.ledger.migrations.counted_0010 import KINDS, Made, Outcome, Told, is_erased, made_of

revision = "ledger_0010"
down_revision = "ledger_0009"

_PAGE = 200
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError)
_STANDINGS = sa.text(f"SELECT stream, body FROM ledger_standings WHERE stream > :after ORDER BY stream LIMIT {_PAGE}")  # noqa: S608 (a number)
_OF_STREAMS: sa.BindParameter[Any] = sa.bindparam("streams", expanding=True)
_LATEST = sa.text(
    "SELECT stream, max(CASE WHEN occurred_us > at_us THEN at_us ELSE occurred_us END) AS latest_us FROM ledger_records"
    " WHERE stream IN :streams GROUP BY stream"
).bindparams(_OF_STREAMS)
_RECORDS = sa.text(
    "SELECT stream, version, kind, occurred_us, at_us, body FROM ledger_records"
    " WHERE stream IN :streams AND kind IN :kinds ORDER BY stream, version"
).bindparams(_OF_STREAMS, sa.bindparam("kinds", expanding=True))
_OUTCOMES = sa.text(
    "SELECT stream, action, outcome, at_us, detail, times FROM ledger_outcomes WHERE stream IN :streams AND times <> 0"
).bindparams(_OF_STREAMS)
_MARKS = sa.text("SELECT stream, offers, marks FROM ledger_contacts WHERE stream IN :streams AND marks IS NOT NULL")
_MARKS = _MARKS.bindparams(_OF_STREAMS)
_SET_STANDING = sa.text("UPDATE ledger_standings SET body = :body WHERE stream = :stream")
_SET_MARKS = sa.text("UPDATE ledger_contacts SET marks = :marks WHERE stream = :stream AND offers = :offers")
_SET_TIME = sa.text("UPDATE ledger_contacts SET at_us = :at_us WHERE stream = :stream AND offers = :offers")
_FORGET_OUTCOMES = sa.text("DELETE FROM ledger_outcomes WHERE stream = :stream")
_ADD_OUTCOME = sa.text("INSERT INTO ledger_outcomes VALUES (:stream, :action, :outcome, :at_us, :detail, :times)")


def upgrade() -> None:
    """Make every stream anew that is not erased, and write what has changed."""
    connection, done, said_s = op.get_bind(), 0, time.monotonic()
    for standings in _pages(connection):
        _remake(connection, {s: body for s, body in standings.items() if not is_erased(body)})
        done += len(standings)
        if time.monotonic() > said_s + 2.0:
            said_s = time.monotonic()
            sys.stderr.write(f"bringing the ledger up to date: standing {done:,}\n")
            sys.stderr.flush()


def _pages(connection: sa.Connection) -> Iterator[dict[bytes, bytes]]:
    after = b""
    while rows := connection.execute(_STANDINGS, {"after": after}).all():
        yield {bytes(row.stream): bytes(row.body) for row in rows}
        after = bytes(rows[-1].stream)


def _remake(connection: sa.Connection, standings: Mapping[bytes, bytes]) -> None:
    if not standings:
        return
    streams = {"streams": list(standings)}
    latest = {bytes(row.stream): row.latest_us for row in connection.execute(_LATEST, streams)}
    records = connection.execute(_RECORDS, {**streams, "kinds": KINDS}).all()
    told = {bytes(stream): list(rows) for stream, rows in groupby(records, attrgetter("stream"))}
    outcomes: dict[bytes, dict[Outcome, int]] = {}
    for stream, *outcome, times in connection.execute(_OUTCOMES, streams):
        outcomes.setdefault(bytes(stream), {})[tuple(outcome)] = times
    marks: dict[bytes, list[Any]] = {}
    for row in connection.execute(_MARKS, streams):
        marks.setdefault(bytes(row.stream), []).append(row)
    for stream in sorted(latest.keys() & standings.keys()):
        before = outcomes.get(stream, {})
        made = _made(told.get(stream, ()), latest[stream], standings[stream], before)
        if made is not None:
            _write(connection, stream, made, standings[stream], before)
            _write_marks(connection, stream, made, marks.get(stream, ()))


def _made(rows: Sequence[Any], latest_us: int, standing: bytes, outcomes: Mapping[Outcome, int]) -> Made | None:
    """Return what a stream amounts to, or None if its records cannot be read: `brain verify` tells of them."""
    if any(row.body is None for row in rows):
        return None
    try:
        records = [
            Told(row.version, row.kind, row.occurred_us, row.at_us, from_json(bytes(row.body), cache_strings="keys"))
            for row in rows
        ]
        return made_of(records, latest_us, standing, outcomes)
    except _UNUSABLE:
        return None


def _write(
    connection: sa.Connection, stream: bytes, made: Made, standing: bytes, outcomes: Mapping[Outcome, int]
) -> None:
    if made.standing != standing:
        connection.execute(_SET_STANDING, {"stream": stream, "body": made.standing})
    if made.outcomes != outcomes:
        connection.execute(_FORGET_OUTCOMES, {"stream": stream})
        names = ("action", "outcome", "at_us", "detail")
        rows = [{"stream": stream, **dict(zip(names, o, strict=True)), "times": n} for o, n in made.outcomes.items()]
        if rows:
            connection.execute(_ADD_OUTCOME, rows)
    for offer_id, at_us in made.moved.items():
        connection.execute(_SET_TIME, {"stream": stream, "offers": b"o" + offer_id.encode(), "at_us": at_us})


def _write_marks(connection: sa.Connection, stream: bytes, made: Made, rows: Sequence[Any]) -> None:
    for row in rows:
        name, before = bytes(row.offers), from_json(row.marks)
        own = name[1:].decode() if name[:1] == b"o" else None
        after = {n: made.marks.get(own or f"d-{name[1:].hex()}.{n}", marks) for n, marks in before.items()}
        if (text := to_json(after).decode()) != row.marks:
            connection.execute(_SET_MARKS, {"stream": stream, "offers": name, "marks": text})
