"""The first tables: records, standings, keys, releases, activations, pauses."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _records()
    _releases()


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("stream", sa.String(40), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("stream", "version", name="records_stream_version"),
    )
    op.create_table(
        "standings",
        sa.Column("stream", sa.String(40), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("head_hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("stream", sa.String(40), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def _releases() -> None:
    op.create_table(
        "releases",
        sa.Column("hash", sa.String(80), primary_key=True),
        sa.Column("bytes", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "activations",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("environment", sa.String(32), nullable=False),
        sa.Column("release", sa.String(80), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_index("activations_environment", "activations", ["environment", "seq"])
    op.create_table(
        "pauses",
        sa.Column("action", sa.String(64), primary_key=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
