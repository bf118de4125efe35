"""Tables of releases, and of what serves."""

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text

from features.ledger.tables.columns import METADATA, SEQ, Bytes

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
