"""People who sign in, their sessions, and what limits guessing."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0018"
down_revision = "ledger_0017"


def upgrade() -> None:
    """Add the tables, which begin empty."""
    op.create_table(
        "people",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("site", sa.Text),
        sa.Column("password", sa.Text),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("removed_us", sa.BigInteger),
        sa.Column("signed_in_us", sa.BigInteger),
        sa.UniqueConstraint("issuer", "subject", name="people_once"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("person_id", sa.String(16), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("renewed_us", sa.BigInteger, nullable=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("checked_us", sa.BigInteger, nullable=False),
        sa.Column("asked_us", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
    )
    op.create_index("ix_sessions_person_id", "sessions", ["person_id"])
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "wrong_passwords",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
