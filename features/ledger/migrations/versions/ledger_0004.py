"""Signed checkpoints, claims on shared work, and each record's keys in its row, so that its hash covers them."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0004"
down_revision = "ledger_0003"


def upgrade() -> None:
    """Create two tables and a column, which is null in existing records."""
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )
    op.add_column("records", sa.Column("own_keys", sa.LargeBinary))
