"""When the latest event happened that leads to a moment, so that one that arrives late does not replace it."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0011"
down_revision = "ledger_0010"


def upgrade() -> None:
    """Add the column; of the watches that are there it is not known, so the next event counts as later."""
    op.add_column("ledger_watches", sa.Column("event_us", sa.BigInteger, nullable=False, server_default="0"))
