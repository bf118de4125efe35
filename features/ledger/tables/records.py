"""Tables of records, what streams amount to, and how both are kept whole."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    select,
    text,
)

from features.ledger.tables.columns import METADATA, SEQ, Bytes, Erasable, Name

RECORDS = Table(
    "ledger_records",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("stream", Name(), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("body", Erasable()),
    Column("salt", Erasable()),
    Column("body_hash", Bytes(), nullable=False),
    Column("hash", Bytes(), nullable=False),
    Column("own_keys", Bytes()),
    UniqueConstraint("stream", "version", name="records_stream_version"),
)
"""`own_keys`: 20 bytes for each row in the keys table; null in records written before the chain covered keys."""
SAID_BY_PEOPLE = text("kind IN ('consent', 'correction', 'override')")
"""Of which records an index has kind and time; a query that uses it states this, and the kind."""
Index("records_said", RECORDS.c.kind, RECORDS.c.at_us, sqlite_where=SAID_BY_PEOPLE, postgresql_where=SAID_BY_PEOPLE)
RECORDS_OF_STREAM = (
    select(RECORDS)
    .where(
        RECORDS.c.stream == bindparam("stream"),
        RECORDS.c.version > bindparam("after"),
        RECORDS.c.version <= bindparam("upto"),
    )
    .order_by(RECORDS.c.version)
    .limit(500)
)
"""The next page of a stream's records, after one version and up to another, inclusive."""
STANDINGS = Table(
    "ledger_standings",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("head_hash", Bytes(), nullable=False),
    Column("body", Bytes(), nullable=False),
)
CONTACTS = Table(
    "ledger_contacts",
    METADATA,
    Column("stream", Bytes(), primary_key=True),
    Column("offers", Bytes(), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
    Column("marks", Text),
    Index("contacts_time", "stream", "at_us"),
    sqlite_with_rowid=False,
)
"""Every contact of a stream, those of a decision in one row; `marks` wait for contacts. See `past.packing`."""
CONTACT_KINDS = Table(
    "contact_kinds",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Bytes(), nullable=False),
)
"""What contacts are about, by the numbers that rows of contacts and standings use; see `past.kinds`."""
OUTCOMES = Table(
    "ledger_outcomes",
    METADATA,
    Column("stream", Bytes(), primary_key=True),
    Column("action", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("detail", Text, primary_key=True),
    Column("times", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How often each outcome happened, with [offer_id, value_eur] as `detail`; below 0: only corrections are recorded."""
IS_COMPLAINT = text("outcome = 'complained'")
"""Of which outcomes an index has the time; a query that uses it states this."""
Index("outcomes_complained", OUTCOMES.c.at_us, sqlite_where=IS_COMPLAINT, postgresql_where=IS_COMPLAINT)
STANDING_RULES = Table(
    "standing_rules",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Bytes(), nullable=False),
)
"""The rules that standings are made for, by the number that a standing names."""
KEYS = Table(
    "ledger_keys",
    METADATA,
    Column("key", Name(), primary_key=True),
    Column("stream", Name(), nullable=False),
    Column("version", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("upto", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
    Column("signature", Bytes(), nullable=False),
)
"""Signed summaries of the records up to `upto` (a `seq`); see `features.ledger.checking.checkpoints`."""
CLAIMS = Table(
    "claims",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("until_us", BigInteger, nullable=False),
)
"""Work that one process does at a time: the process that advances `until_us` has it until then."""
ERASURES = Table(
    "ledger_erasures",
    METADATA,
    Column("stream", Name(), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("emptied", Boolean, nullable=False),
    Column("pass_us", BigInteger),
    sqlite_with_rowid=False,
)
"""Erased subjects of whom something may be left in a file; see `features.ledger.erasing`."""
REWRITES = Table(
    "rewrites",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("pass_us", BigInteger, nullable=False),
    Column("after", Text),
)
"""How far SQLite's tables are rewritten; see `features.remains`."""
LOOKS = Table(
    "ledger_looks",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("stream", Name(), nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", String(64)),
    Column("at_us", BigInteger),
    Index("looks_stream", "stream", "seq"),
    Index("looks_who", "who", "seq"),
    Index("looks_reason", "reason", "at_us"),
)
"""Where the record of each look is (`seq`), by whom it was taken and at which subject (`stream`).

`reason` is `reason_of` the look: as what it was taken, and for which purpose.
"""
