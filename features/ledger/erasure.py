"""Erasing a subject: bodies and salts go, hashes and a tombstone stay."""

from sqlalchemy import Connection, update

from features.ledger.chain import hash_body, new_salt
from features.ledger.plan import Plan
from features.ledger.records import Entry, Prepared, encode_body
from features.ledger.tables import RECORDS


def erase_stream(connection: Connection, stream: str, now_us: int) -> None:
    """In one transaction: a tombstone at the end of the stream, and no body or salt before it.

    Keys stay: they are keyed hashes, and a repetition of something erased must still be recognised.
    """
    tombstone = _tombstone(stream, now_us)
    plan = Plan(connection, [((tombstone,), {})], now_us, look_up=False)
    if not plan.erased(stream):
        plan.add((tombstone,), {})
        plan.write(connection)
    connection.execute(
        update(RECORDS)
        .where(RECORDS.c.stream == stream, RECORDS.c.kind != "tombstone", RECORDS.c.body.is_not(None))
        .values(body=None, salt=None)
    )


def _tombstone(stream: str, now_us: int) -> Prepared:
    raw, salt = encode_body({}), new_salt()
    return Prepared(Entry(stream, "tombstone", {}, now_us), raw, salt, hash_body(salt, raw), ())
