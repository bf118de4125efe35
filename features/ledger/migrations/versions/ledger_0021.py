"""Find the handovers of a conversation without reading all others."""

from alembic import op

revision = "ledger_0021"
down_revision = "ledger_0020"


def upgrade() -> None:
    """Add the index."""
    op.create_index("handovers_conversation", "ledger_handovers", ["conversation"])
