"""Looks that people take at subjects, by who took them and at whom."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0017"
down_revision = "ledger_0016"


def upgrade() -> None:
    """Add the table, which begins empty: no earlier version recorded looks."""
    op.create_table(
        "ledger_looks",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
    )
    op.create_index("looks_stream", "ledger_looks", ["stream", "seq"])
    op.create_index("looks_who", "ledger_looks", ["who", "seq"])
