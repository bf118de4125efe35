"""Erase a subject: bodies, salts and signals are deleted; hashes and a tombstone stay."""

from sqlalchemy import Connection, delete, update

from features.ledger.chain import hash_body, new_salt
from features.ledger.database import upsert
from features.ledger.plan import AppendPlan
from features.ledger.records import Entry, PreparedEntry, encode_body
from features.ledger.tables import DELIVERIES, FIRED, RECORDS, SIGNAL_STATES, SIGNALS, WATCHES


def erase_stream(connection: Connection, stream: str, now_us: int) -> None:
    """Append a tombstone to the stream and delete every body, salt, signal and moment of it, in this transaction.

    The keys of its records stay: they are keyed hashes, and a repeated request must still be recognised.
    """
    tombstone = _tombstone(stream, now_us)
    plan = AppendPlan(connection, [((tombstone,), {})], now_us, look_up=False)
    if not plan.erased(stream):
        plan.add((tombstone,), {})
        plan.write(connection)
    connection.execute(
        update(RECORDS)
        .where(RECORDS.c.stream == stream, RECORDS.c.kind != "tombstone", RECORDS.c.body.is_not(None))
        .values(body=None, salt=None)
    )
    _erase_signals(connection, stream, now_us)
    for table in (WATCHES, FIRED, DELIVERIES):
        connection.execute(delete(table).where(table.c.stream == stream))


def _erase_signals(connection: Connection, stream: str, now_us: int) -> None:
    """Empty the state's row first: a process that writes signals waits for that row, and then accepts no more."""
    upsert(connection, SIGNAL_STATES, {"stream": stream}, {"at_us": now_us, "body": None}, initial={"version": 0})
    connection.execute(delete(SIGNALS).where(SIGNALS.c.stream == stream))


def _tombstone(stream: str, now_us: int) -> PreparedEntry:
    raw, salt = encode_body({}), new_salt()
    return PreparedEntry(Entry(stream, "tombstone", {}, now_us), raw, salt, hash_body(salt, raw), ())
