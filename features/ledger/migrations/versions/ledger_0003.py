"""Moments: when to check for them, when they last fired, and which decisions of theirs are to be delivered."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0003"
down_revision = "ledger_0002"

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "watches",
        sa.Column("stream", sa.String(40), primary_key=True),
        sa.Column("moment", sa.String(64), primary_key=True),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("claimed_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("watches_due", "watches", ["due_us"])
    op.create_table(
        "fired",
        sa.Column("stream", sa.String(40), primary_key=True),
        sa.Column("moment", sa.String(64), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("stream", sa.String(40), nullable=False),
        sa.Column("moment", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("deliveries_due", "deliveries", ["route", "state", "due_us"])
    op.create_index("deliveries_stream", "deliveries", ["stream"])
