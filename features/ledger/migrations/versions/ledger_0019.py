"""Customers at their own page: their links, codes and sessions, and what they ask of people."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0019"
down_revision = "ledger_0018"


def upgrade() -> None:
    """Add the tables, which begin empty."""
    op.create_table(
        "ledger_customer_codes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("customer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger),
        sa.Column("revoked_us", sa.BigInteger),
    )
    op.create_index("ix_ledger_customer_codes_stream", "ledger_customer_codes", ["stream"])
    op.create_table(
        "ledger_customer_sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("customer", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("confirmed_us", sa.BigInteger),
    )
    op.create_index("ix_ledger_customer_sessions_stream", "ledger_customer_sessions", ["stream"])
    op.create_table(
        "ledger_requests",
        sa.Column("number", sa.String(16), primary_key=True),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_ledger_requests_stream", "ledger_requests", ["stream"])
    op.create_index("requests_due", "ledger_requests", ["state", "due_us"])
