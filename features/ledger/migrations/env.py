"""Alembic runs this module within the connection and transaction of its caller (see `features.ledger.database`)."""

from alembic import context

from features.ledger.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
