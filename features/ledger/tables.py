"""The ledger's tables, as the newest migration leaves them. Times are int microseconds since 1970 UTC.

The names of tables that name streams begin with `ledger_`. Code from before `ledger_0006`, when a stream was 40
characters, does not find them, and fails instead of taking a known customer for a new one.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    select,
    text,
)


class Bytes(LargeBinary):
    """Bytes without conversion: both drivers accept and return `bytes`, so SQLAlchemy need not wrap any value."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return no conversion of parameters."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return no conversion of results."""
        return None


class Name(Bytes):
    """The name of a stream or a key, a keyed hash: 20 bytes in the database, 40 hex characters in Python."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return the conversion of parameters."""
        return bytes.fromhex

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the conversion of results."""
        return bytes.hex


class Erasable(Bytes):
    """Bytes that read as None once an erasure has overwritten them with zeros, or has deleted them."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the conversion of results."""
        return _unless_zeros


def _unless_zeros(value: bytes | None) -> bytes | None:
    return value if value is not None and any(value) else None


METADATA = MetaData()
VERSION_TABLE = "ledger_schema"
"""The table in which Alembic keeps the schema version; not its default name, so that schemas can share a database."""
NEWEST = "ledger_0023"
"""The newest migration; compared when a database is opened, so that only an old one pays for importing Alembic."""
SEQ = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows itself only if the type is exactly INTEGER."""

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
RELEASES = Table(
    "releases",
    METADATA,
    Column("hash", String(80), primary_key=True),
    Column("bytes", Bytes(), nullable=False),
)
ACTIVATIONS = Table(
    "activations",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("environment", String(32), nullable=False),
    Column("release", String(80), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Index("activations_environment", "environment", "seq"),
)
APPROVALS = Table(
    "approvals",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("environment", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("what", String(16), nullable=False),
    Column("hash", String(80), nullable=False),
    Column("item", Text, nullable=False),
    Column("before", String(80), nullable=False),
    Column("by", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("approvals_hash", "hash"),
)
"""The steps of `decisioning.review.approval`, only appended to; `by` is JSON."""
PAUSES = Table(
    "pauses",
    METADATA,
    Column("action", String(64), primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
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
ACCESS_KEYS = Table(
    "access_keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("scope", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("salt", Bytes(), nullable=False),
    Column("hash", Bytes(), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("last_used_us", BigInteger),
    Column("issues", Text, nullable=False, server_default=""),
    Column("channels", Text, nullable=False, server_default=""),
)
"""Keys of callers over HTTP; `hash` is salted, and the key itself is never kept."""
SECURITY_EVENTS = Table(
    "security_events",
    METADATA,
    Column("id", SEQ, primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("key_id", String(16)),
    Column("route", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
)
"""What was refused at the doors, without personal data. Rows are only appended, and the oldest removed."""
SECRET_ROTATIONS = Table(
    "secret_rotations",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("overlap_us", BigInteger, nullable=False),
)
"""When a derived secret was replaced by its next generation. No secret is kept; see `features.access_keys`."""
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
HANDOVERS = Table(
    "ledger_handovers",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("stream", Name(), nullable=False),
    Column("conversation", Name(), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("agent", Text),
    Column("opened_us", BigInteger, nullable=False),
    Column("waits_us", BigInteger, nullable=False),
    Column("due_us", BigInteger),
    Column("body", Bytes(), nullable=False),
)
"""Every handover by its last record; `body` is that of its first, JSON. `conversation`: a keyed hash of its id.

`waits_us`: since when the customer waits. `due_us`: when something has to happen next, such as an answer.
"""
Index("handovers_stream", HANDOVERS.c.stream)
Index("handovers_conversation", HANDOVERS.c.conversation)
Index("handovers_due", HANDOVERS.c.state, HANDOVERS.c.due_us)
_IS_OPEN = HANDOVERS.c.state.not_in(("resolved", "cancelled"))
Index(
    "handovers_open_once",
    HANDOVERS.c.stream,
    HANDOVERS.c.conversation,
    unique=True,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
AGENTS = Table(
    "agents",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("stream", Name(), nullable=False, unique=True),
    Column("body", Bytes(), nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("heartbeat_us", BigInteger, nullable=False),
    Column("removed_us", BigInteger),
)
"""People who help customers: `body` is what is stated of them, JSON; `heartbeat_us`: when they were last heard of."""
QUEUE_STATES = Table(
    "queue_states",
    METADATA,
    Column("skill", String(64), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
)
"""What a telephone system told last of each of its queues; `at_us`: of which time it is."""
CONVERSATION_WORDS = Table(
    "ledger_conversation_words",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("stream", Name(), nullable=False),
    Column("conversation", Name(), nullable=False),
    Column("key", Name(), nullable=False, unique=True),
    Column("speaker", String(16), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("until_us", BigInteger),
    Column("body", Erasable()),
    Index("conversation_words", "conversation", "seq"),
    Index("conversation_words_until", "until_us"),
)
"""Words of open conversations. `until_us`: when they are overwritten; null while their conversation is open."""
PEOPLE = Table(
    "people",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("team", Text),
    Column("site", Text),
    Column("password", Text),
    Column("made_by", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("removed_us", BigInteger),
    Column("signed_in_us", BigInteger),
    UniqueConstraint("issuer", "subject", name="people_once"),
)
"""People who may sign in, never customers; `password` is a hash with its salt, and null for those of a provider."""
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("person_id", String(16), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("renewed_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("checked_us", BigInteger, nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    Column("sealed", Bytes()),
)
"""Who is signed in. The cookie of a session is not kept; `sealed` is its token of the provider, encrypted."""
SIGN_INS = Table(
    "sign_ins",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)
"""Sign-ins by a provider that came back, by a hash, so that none counts twice; the old ones are removed."""
WRONG_PASSWORDS = Table(
    "wrong_passwords",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
"""Tries of passwords since the last right one, by a keyed hash of the name that was typed."""
CUSTOMER_CODES = Table(
    "ledger_customer_codes",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("stream", Name(), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("customer", Bytes(), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("revoked_us", BigInteger),
)
"""Codes of links to a customer's own page, and one-time codes, by keyed hashes; `customer` is their id, encrypted."""
CUSTOMER_SESSIONS = Table(
    "ledger_customer_sessions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("stream", Name(), nullable=False, index=True),
    Column("customer", Bytes(), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("confirmed_us", BigInteger),
)
"""Customers who are at their own page; `confirmed_us` is when they typed a one-time code."""
REQUESTS = Table(
    "ledger_requests",
    METADATA,
    Column("number", String(16), primary_key=True),
    Column("stream", Name(), nullable=False, index=True),
    Column("record", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Index("requests_due", "state", "due_us"),
)
"""What customers ask of people, by its number; `record` is the `seq` of its newest record, which says the rest."""
