"""Tables of keys, and of people and customers who sign in."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, UniqueConstraint

from features.ledger.tables.columns import METADATA, SEQ, Bytes, Name

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
