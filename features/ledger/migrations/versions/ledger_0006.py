"""Streams and keys as 20 bytes instead of 40 characters, and the contacts of a decision in one row.

SQLite's tables are written anew, and the old ones are overwritten with zeros as they are dropped; the file grows by
about its size meanwhile, and uses that space later. PostgreSQL writes its tables anew by itself. Everything happens in
one transaction: an interrupted migration starts again. The new names of the tables keep out processes of older code.
"""

import sys
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from features.ledger.migrations.packed_0006 import Packing, standing_of

revision = "ledger_0006"
down_revision = "ledger_0005"

_PAGE = 5000
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OTHERS = ("standings", "keys", "signals", "signal_states", "watches", "fired", "deliveries")
_CONTACTS = sa.text("SELECT * FROM contacts ORDER BY stream, offer_id").execution_options(stream_results=True)
_STANDINGS = sa.text("SELECT stream, body FROM ledger_standings WHERE stream > :after ORDER BY stream LIMIT 500")


def upgrade() -> None:
    """Write every table anew that names streams, then contacts and standings."""
    connection, progress = op.get_bind(), _Progress()
    if connection.dialect.name == "sqlite":
        _write_anew(connection, progress)
    else:
        _alter(progress)
    op.rename_table("outcomes", "ledger_outcomes")
    packing = Packing()
    _pack_contacts(connection, packing, progress)
    _pack_standings(connection, packing, progress)
    _add_kinds(packing)


class _Progress:
    """Says on standard error, once two seconds are over and then every two, how far the migration has come."""

    def __init__(self) -> None:
        self._said_s = time.monotonic()

    def say(self, what: str) -> None:
        if time.monotonic() > self._said_s + 2.0:
            self._said_s = time.monotonic()
            sys.stderr.write(f"bringing the ledger up to date: {what}\n")
            sys.stderr.flush()


def _alter(progress: _Progress) -> None:
    """Change the types of PostgreSQL's columns, which writes each table anew."""
    for table in ("records", *_OTHERS):
        progress.say(table)
        columns = ("key", "stream") if table in ("keys", "signals") else ("stream",)
        changes = ", ".join(f"ALTER {name} TYPE BYTEA USING decode({name}, 'hex')" for name in columns)
        op.execute(f"ALTER TABLE {table} {changes}")
        op.rename_table(table, f"ledger_{table}")


def _write_anew(connection: sa.Connection, progress: _Progress) -> None:
    driver = connection.connection.driver_connection
    driver.create_function("unhex_name", 1, bytes.fromhex, deterministic=True)  # type: ignore[union-attr]
    _create()
    _copy_records(connection, progress)
    for table in _OTHERS:
        progress.say(table)
        names = [column["name"] for column in sa.inspect(connection).get_columns(table)]
        connection.exec_driver_sql(f"INSERT INTO ledger_{table} ({_list(names)}) {_select(names)} FROM {table}")
    for table in ("records", *_OTHERS):
        progress.say(f"overwriting what was before in {table}")
        op.drop_table(table)
    _index()


def _select(names: list[str]) -> str:
    """Return SQL for all columns, those that name streams and keys as bytes."""
    return "SELECT " + ", ".join(f'unhex_name("{n}")' if n in ("stream", "key") else f'"{n}"' for n in names)


def _list(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _copy_records(connection: sa.Connection, progress: _Progress) -> None:
    names = [column["name"] for column in sa.inspect(connection).get_columns("records")]
    copy = f"INSERT INTO ledger_records ({_list(names)}) {_select(names)} FROM records WHERE seq > ? AND seq <= ?"
    first, last = connection.exec_driver_sql("SELECT min(seq), max(seq) FROM records").one()
    for after in range((first or 1) - 1, last or 0, _PAGE):
        connection.exec_driver_sql(copy, (after, after + _PAGE))
        progress.say(f"record {after + _PAGE:,} of {last:,}")


def _pack_contacts(connection: sa.Connection, packing: Packing, progress: _Progress) -> None:
    contacts = op.create_table(
        "ledger_contacts",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("offers", sa.LargeBinary, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("marks", sa.Text),
        sqlite_with_rowid=False,
    )
    written = 0
    for stream, rows in groupby(connection.execute(_CONTACTS), lambda row: bytes(row.stream)):
        packed = [{"stream": stream, **row} for row in packing.rows(rows)]
        connection.execute(sa.insert(contacts), packed)
        written += len(packed)
        progress.say(f"contacts of {written:,} decisions")
    op.drop_table("contacts")
    op.create_index("contacts_time", "ledger_contacts", ["stream", "at_us"])


def _pack_standings(connection: sa.Connection, packing: Packing, progress: _Progress) -> None:
    update, written = sa.text("UPDATE ledger_standings SET body = :body WHERE stream = :stream"), 0
    for rows in _pages(connection):
        bodies = [{"stream": row.stream, "body": standing_of(bytes(row.body), packing)} for row in rows]
        connection.execute(update, bodies)
        written += len(bodies)
        progress.say(f"standing {written:,}")


def _pages(connection: sa.Connection) -> Iterator[Any]:
    after = b""
    while rows := connection.execute(_STANDINGS, {"after": after}).all():
        yield rows
        after = rows[-1].stream


def _add_kinds(packing: Packing) -> None:
    kinds = op.create_table(
        "contact_kinds",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(kinds, packing.kinds())


def _create() -> None:
    """Create SQLite's new tables, without indexes, whose names the old tables still have."""
    op.create_table(
        "ledger_records",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("stream", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("own_keys", sa.LargeBinary),
        sa.UniqueConstraint("stream", "version", name="records_stream_version"),
    )
    op.create_table(
        "ledger_standings",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("head_hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_keys",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("stream", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    _create_signals()
    _create_moments()


def _create_signals() -> None:
    op.create_table(
        "ledger_signals",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("key", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("stream", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("recorded_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_signal_states",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary),
    )


def _create_moments() -> None:
    op.create_table(
        "ledger_watches",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("moment", sa.String(64), primary_key=True),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("claimed_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_fired",
        sa.Column("stream", sa.LargeBinary, primary_key=True),
        sa.Column("moment", sa.String(64), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_deliveries",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("stream", sa.LargeBinary, nullable=False),
        sa.Column("moment", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )


def _index() -> None:
    op.create_index("signals_stream", "ledger_signals", ["stream", "version"])
    op.create_index("signals_expiry", "ledger_signals", ["expires_us"])
    erased = sa.text("body IS NULL")
    op.create_index(
        "signal_states_erased", "ledger_signal_states", ["at_us"], sqlite_where=erased, postgresql_where=erased
    )
    op.create_index("watches_due", "ledger_watches", ["due_us"])
    op.create_index("deliveries_due", "ledger_deliveries", ["route", "state", "due_us"])
    op.create_index("deliveries_stream", "ledger_deliveries", ["stream"])
