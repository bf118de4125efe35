"""What a key is limited to."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0013"
down_revision = "ledger_0012"


def upgrade() -> None:
    """Add the issues and the channels of a key, with commas between them; empty: all."""
    for name in ("issues", "channels"):
        op.add_column("access_keys", sa.Column(name, sa.Text, nullable=False, server_default=""))
