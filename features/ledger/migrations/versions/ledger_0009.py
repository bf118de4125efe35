"""What was sent as a signal, as a keyed hash, where the signal keeps less: so a repeat is told from other content."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0009"
down_revision = "ledger_0008"


def upgrade() -> None:
    """Add the column; of the signals that are there it is not known."""
    op.add_column("ledger_signals", sa.Column("content", sa.LargeBinary()))
