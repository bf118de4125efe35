"""How long moments go by the Global Privacy Control of a signal."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0008"
down_revision = "ledger_0007"


def upgrade() -> None:
    """Add the table. It begins empty: nothing says which of the signals recorded before came with it."""
    op.create_table(
        "ledger_privacy_controls",
        sa.Column("stream", sa.LargeBinary(), primary_key=True),
        sa.Column("type", sa.String(64), primary_key=True),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
