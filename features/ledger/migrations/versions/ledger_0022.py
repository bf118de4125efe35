"""What a telephone system tells of its queues."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0022"
down_revision = "ledger_0021"


def upgrade() -> None:
    """Add the table, which begins empty."""
    op.create_table(
        "queue_states",
        sa.Column("skill", sa.String(64), primary_key=True),
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
