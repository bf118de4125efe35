"""Signals: the event log, and the state of each stream's events."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0002"
down_revision = "ledger_0001"

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ERASED_BEFORE = """
INSERT INTO signal_states (stream, version, at_us, body)
SELECT stream, 0, MAX(at_us), NULL FROM records WHERE kind = 'tombstone' GROUP BY stream
"""


def upgrade() -> None:
    """Create both tables, with an empty state for subjects that are erased, so that no signals of them are accepted."""
    op.create_table(
        "signals",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(40), nullable=False, unique=True),
        sa.Column("stream", sa.String(40), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("recorded_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("signals_stream", "signals", ["stream", "version"])
    op.create_index("signals_expiry", "signals", ["expires_us"])
    op.create_table(
        "signal_states",
        sa.Column("stream", sa.String(40), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary),
    )
    erased = sa.text("body IS NULL")
    op.create_index("signal_states_erased", "signal_states", ["at_us"], sqlite_where=erased, postgresql_where=erased)
    op.execute(_ERASED_BEFORE)
