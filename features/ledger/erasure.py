"""Erasing a subject: bodies and salts go, and every signal; hashes and tombstones stay."""

from sqlalchemy import Connection, delete, update

from features.ledger.chain import hash_body, new_salt
from features.ledger.database import upsert
from features.ledger.plan import AppendPlan
from features.ledger.records import Entry, Prepared, encode_body
from features.ledger.tables import DELIVERIES, FIRED, RECORDS, SIGNAL_STATES, SIGNALS, WATCHES


def erase_stream(connection: Connection, stream: str, now_us: int) -> None:
    """In one transaction: a tombstone at the end of the stream, and no body, salt, signal or moment before it.

    Keys of records stay: they are keyed hashes, and a repetition of something erased must still be recognised.
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
    for kept in (WATCHES, FIRED, DELIVERIES):
        connection.execute(delete(kept).where(kept.c.stream == stream))


def _erase_signals(connection: Connection, stream: str, now_us: int) -> None:
    """The state's row loses its body first: a writer of signals elsewhere waits for it, and then takes nothing."""
    upsert(connection, SIGNAL_STATES, {"stream": stream}, {"at_us": now_us, "body": None}, initial={"version": 0})
    connection.execute(delete(SIGNALS).where(SIGNALS.c.stream == stream))


def _tombstone(stream: str, now_us: int) -> Prepared:
    raw, salt = encode_body({}), new_salt()
    return Prepared(Entry(stream, "tombstone", {}, now_us), raw, salt, hash_body(salt, raw), ())
