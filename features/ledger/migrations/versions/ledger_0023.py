"""Find what people said, complaints, and looks by their reason, by time, without reading all other records."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from pydantic_core import from_json

revision = "ledger_0023"
down_revision = "ledger_0022"

_PAGE = 1000
_LOOKS = sa.text(
    "SELECT r.seq, r.at_us, r.body FROM ledger_looks l JOIN ledger_records r ON r.seq = l.seq "
    "WHERE l.seq > :after AND r.kind = 'look' ORDER BY l.seq LIMIT :page"
)
_FILL = sa.text("UPDATE ledger_looks SET reason = :reason, at_us = :at_us WHERE seq = :seq")


def upgrade() -> None:
    """Add the indexes, and the reason and the time of each look."""
    said = sa.text("kind IN ('consent', 'correction', 'override')")
    op.create_index("records_said", "ledger_records", ["kind", "at_us"], sqlite_where=said, postgresql_where=said)
    complained = sa.text("outcome = 'complained'")
    op.create_index(
        "outcomes_complained", "ledger_outcomes", ["at_us"], sqlite_where=complained, postgresql_where=complained
    )
    op.add_column("ledger_looks", sa.Column("reason", sa.String(64)))
    op.add_column("ledger_looks", sa.Column("at_us", sa.BigInteger))
    for rows in _pages(op.get_bind()):
        if told := [one for row in rows if (one := _told(row)) is not None]:
            op.get_bind().execute(_FILL, told)
    op.create_index("looks_reason", "ledger_looks", ["reason", "at_us"])


def _pages(connection: sa.Connection) -> Iterator[list[Any]]:
    after = -(2**62)
    while rows := list(connection.execute(_LOOKS, {"after": after, "page": _PAGE})):
        yield rows
        after = rows[-1].seq


def _told(row: Any) -> dict[str, Any] | None:
    """Return what is filled in of a look; None for one that was erased, or cannot be read."""
    try:
        body = from_json(bytes(row.body or b""))
        return {"seq": row.seq, "at_us": row.at_us, "reason": f"{body['role']}:{body['purpose']}"}
    except (ValueError, KeyError, TypeError):
        return None
