"""Contacts and outcomes in tables of their own, and standings that hold only what decisions read.

The tables are filled from the standings, which hold all contacts and outcomes of the last 800 days: that takes one pass
over the standings, where the records would take one over every decision. `brain verify` compares the tables with the
records. Standings are made for no release's rules at first; the first append to a stream makes its standing for the
rules of the release that serves.
"""

from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op
from pydantic_core import from_json, to_json

revision = "ledger_0005"
down_revision = "ledger_0004"

_PAGE = 500
_STANDINGS = sa.text("SELECT stream, body FROM standings WHERE stream > :after ORDER BY stream LIMIT :most")
_CONTACT_COLUMNS = (
    "offer_id", "action", "treatment", "action_group", "issue", "channel", "at_us", "reserved_until_us", "counts_on",
    "state",
)  # fmt: skip


def upgrade() -> None:
    """Create and fill the tables, and write every standing anew."""
    contacts, outcomes = _create()
    connection, after = op.get_bind(), ""
    while rows := connection.execute(_STANDINGS, {"after": after, "most": _PAGE}).all():
        standings = [(row.stream, from_json(bytes(row.body))) for row in rows]
        _insert(connection, contacts, [row for s, body in standings for row in _contacts(s, body)])
        _insert(connection, outcomes, [row for s, body in standings for row in _outcomes(s, body)])
        update = sa.text("UPDATE standings SET body = :body WHERE stream = :stream")
        connection.execute(update, [{"stream": s, "body": _without_past(body)} for s, body in standings])
        after = rows[-1].stream


def _create() -> tuple[sa.Table, sa.Table]:
    contacts = op.create_table(
        "contacts",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("offer_id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("treatment", sa.Text, nullable=False),
        sa.Column("action_group", sa.Text, nullable=False),
        sa.Column("issue", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("reserved_until_us", sa.BigInteger, nullable=False),
        sa.Column("counts_on", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("marks", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("contacts_time", "contacts", ["stream", "at_us"])
    outcomes = op.create_table(
        "outcomes",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("action", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, primary_key=True),
        sa.Column("detail", sa.Text, primary_key=True),
        sa.Column("times", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "standing_rules",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    return contacts, outcomes


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _contacts(stream: str, body: list[Any]) -> list[dict[str, Any]]:
    columns, pending = body[2], body[8]
    rows = [dict(zip(_CONTACT_COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
    waiting = [_waiting(offer_id, marks) for offer_id, marks in pending.items()]
    name = bytes.fromhex(stream)
    return [{"stream": name, "marks": None, **row} for row in (*rows, *waiting)]


def _waiting(offer_id: str, marks: list[Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_CONTACT_COLUMNS, "")
    times = {"at_us": -(2**62), "reserved_until_us": 0}
    words = {"offer_id": offer_id, "counts_on": "decided", "state": "reserved", "marks": to_json(marks).decode()}
    return {**row, **times, **words}


def _outcomes(stream: str, body: list[Any]) -> list[dict[str, Any]]:
    """Return the rows: an outcome counts 1, and one whose name begins with `-`, a correction that waits, counts -1."""
    counts: Counter[tuple[str, str, int, str]] = Counter()
    for action, outcome, at_us, offer_id, value_eur in zip(*body[3], strict=True):
        eur = None if value_eur is None else float(value_eur) + 0.0
        detail = to_json([offer_id, eur]).decode()
        counts[action, outcome.removeprefix("-"), at_us, detail] += -1 if outcome.startswith("-") else 1
    names = ("action", "outcome", "at_us", "detail")
    return [
        {"stream": bytes.fromhex(stream), **dict(zip(names, key, strict=True)), "times": times}
        for key, times in counts.items()
        if times
    ]


def _without_past(body: list[Any]) -> bytes:
    """Return a standing of format 3 for no rules: number of the rules, the past, then what formats 1 and 2 had."""
    _, consents, _, _, erased, restricted, latest_us, restricted_us, _, *links = body
    links, holder = links or ([], None)
    return to_json([3, 0, [], {}, consents, erased, restricted, latest_us, restricted_us, links, holder])
