"""The list of erasures that are not finished, which begins with those since the file was last written anew."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0007"
down_revision = "ledger_0006"

_LIST = """
INSERT INTO ledger_erasures (stream, at_us, emptied, pass_us)
SELECT stream, at_us, :yes, NULL FROM ledger_signal_states
WHERE body IS NULL AND at_us >= COALESCE((SELECT max(until_us) FROM claims WHERE name = 'rewritten'), at_us)
"""


def upgrade() -> None:
    """Add the tables, and list what the former cleaning would have done next."""
    op.create_table(
        "ledger_erasures",
        sa.Column("stream", sa.LargeBinary(), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("emptied", sa.Boolean, nullable=False),
        sa.Column("pass_us", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rewrites",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("pass_us", sa.BigInteger, nullable=False),
        sa.Column("after", sa.Text),
    )
    connection = op.get_bind()
    connection.execute(sa.text(_LIST), {"yes": True})
    connection.execute(sa.text("DELETE FROM claims WHERE name = 'rewritten'"))
