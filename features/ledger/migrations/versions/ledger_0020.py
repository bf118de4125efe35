"""Handovers to a person, the people who take them, and the words of open conversations."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0020"
down_revision = "ledger_0019"


def upgrade() -> None:
    """Add the tables, which begin empty."""
    name = sa.LargeBinary
    op.create_table(
        "ledger_handovers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("stream", name, nullable=False),
        sa.Column("conversation", name, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("agent", sa.Text),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("waits_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("handovers_stream", "ledger_handovers", ["stream"])
    op.create_index("handovers_due", "ledger_handovers", ["state", "due_us"])
    is_open = sa.text("state NOT IN ('resolved', 'cancelled')")
    op.create_index(
        "handovers_open_once",
        "ledger_handovers",
        ["stream", "conversation"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("stream", name, nullable=False, unique=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_us", sa.BigInteger, nullable=False),
        sa.Column("removed_us", sa.BigInteger),
    )
    op.create_table(
        "ledger_conversation_words",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("stream", name, nullable=False),
        sa.Column("conversation", name, nullable=False),
        sa.Column("key", name, nullable=False, unique=True),
        sa.Column("speaker", sa.String(16), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("until_us", sa.BigInteger),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("conversation_words", "ledger_conversation_words", ["conversation", "seq"])
    op.create_index("conversation_words_until", "ledger_conversation_words", ["until_us"])
