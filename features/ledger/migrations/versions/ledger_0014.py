"""What was refused at the doors."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0014"
down_revision = "ledger_0013"


def upgrade() -> None:
    """Add the table, which begins empty."""
    op.create_table(
        "security_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
