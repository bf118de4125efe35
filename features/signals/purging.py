"""Signals that are deleted: after their retention, and of subjects who are erased."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy import Row as SqlRow
from sqlalchemy.sql import Executable

from features.ledger.tables import SIGNAL_STATES, SIGNALS

Fetch = Callable[[Executable, Mapping[str, Any]], Sequence[SqlRow[Any]]]
_MAX_PURGED: Final = 500
_EXPIRED = (
    select(SIGNALS.c.seq)
    .where(SIGNALS.c.expires_us <= bindparam("now_us"))
    .order_by(SIGNALS.c.expires_us)
    .limit(_MAX_PURGED)
)
_PURGE = delete(SIGNALS).where(SIGNALS.c.seq.in_(_EXPIRED.scalar_subquery()))
_ERASED = select(SIGNAL_STATES.c.stream).where(
    SIGNAL_STATES.c.body.is_(None), SIGNAL_STATES.c.at_us >= bindparam("since_us")
)


def purge_some(connection: Connection, now_us: int) -> int:
    """Delete some of the events whose retention is over, and return how many. States keep counting them."""
    return connection.execute(_PURGE, {"now_us": now_us}).rowcount


def erased_since(fetch: Fetch, since_us: int) -> list[str]:
    """Return the streams that were erased at or after a time."""
    return [row.stream for row in fetch(_ERASED, {"since_us": since_us})]
