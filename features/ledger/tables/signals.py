"""Tables of signals and of the moments that they make."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from features.ledger.tables.columns import METADATA, SEQ, Bytes, Name

EMPTIED = ""
"""The type of an event whose subject was erased: nothing is left of it but its key."""
SIGNALS = Table(
    "ledger_signals",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("key", Name(), nullable=False, unique=True),
    Column("stream", Name(), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("type", String(64), nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
    Column("content", Bytes()),
    Index("signals_stream", "stream", "version"),
    Index("signals_expiry", "expires_us"),
)
"""Each event once; `version` is that of the stream's first signal state that includes the event as it is.

`content`: a keyed hash of what was sent, of events that keep less than that (see `Event`)."""
SIGNAL_STATES = Table(
    "ledger_signal_states",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Bytes()),
)
"""The state of a stream's signals; without a body, the subject is erased and none of its signals is accepted again."""
Index(
    "signal_states_erased",
    SIGNAL_STATES.c.at_us,
    sqlite_where=SIGNAL_STATES.c.body.is_(None),
    postgresql_where=SIGNAL_STATES.c.body.is_(None),
)
WATCHES = Table(
    "ledger_watches",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("moment", String(64), primary_key=True),
    Column("due_us", BigInteger, nullable=False),
    Column("claimed_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
    Column("event_us", BigInteger, nullable=False, server_default="0"),
    Index("watches_due", "due_us"),
    sqlite_with_rowid=False,
)
"""When to check whether a moment happens; `claimed_us` is when a replica last began to check, 0 if nobody checks now.
`event_us` is when the latest event that leads to the moment happened."""
FIRED = Table(
    "ledger_fired",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("moment", String(64), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
PRIVACY_CONTROLS = Table(
    "ledger_privacy_controls",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("type", String(64), primary_key=True),
    Column("until_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Until when the newest signal of a type that came with Global Privacy Control is kept."""
DELIVERIES = Table(
    "ledger_deliveries",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("stream", Name(), nullable=False),
    Column("moment", String(64), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("route", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
    Column("error", Text, nullable=False),
    Index("deliveries_due", "route", "state", "due_us"),
    Index("deliveries_stream", "stream"),
)
"""Decisions opened by moments, to be delivered; `due_us` is when the next attempt is due."""
