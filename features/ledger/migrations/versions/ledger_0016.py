"""Who proposed, approved and paused what serves, and who went round approval."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0016"
down_revision = "ledger_0015"

_SERVED = """
INSERT INTO approvals (environment, kind, what, hash, item, before, "by", at_us, reason)
SELECT environment, 'served before', 'release', release, '', '', '{"kind":"user","ids":["an earlier version"]}',
  min(at_us), ''
FROM activations WHERE environment = 'prod' GROUP BY environment, release ORDER BY min(seq)
"""


def upgrade() -> None:
    """Add the table. What served in `prod` before approvals were asked for may serve again."""
    op.create_table(
        "approvals",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("environment", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(80), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("before", sa.String(80), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("approvals_hash", "approvals", ["hash"])
    op.execute(sa.text(_SERVED.replace(":", "\\:")))
