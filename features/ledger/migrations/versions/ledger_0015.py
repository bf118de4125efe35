"""When secrets were rotated."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0015"
down_revision = "ledger_0014"


def upgrade() -> None:
    """Add the table, which begins empty: every secret is of its first generation."""
    op.create_table(
        "secret_rotations",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("overlap_us", sa.BigInteger, nullable=False),
    )
