"""Erase a subject and its linked visitors: tombstones bar them at once, and a list says what is left to remove."""

from sqlalchemy import Connection

from features.ledger.chain import hash_body, new_salt
from features.ledger.database import upsert
from features.ledger.erasing.erasures import list_erasure
from features.ledger.links import identities, latest_link
from features.ledger.past.rules_book import RulesBook
from features.ledger.plan import AppendPlan
from features.ledger.records import Entry, PreparedEntry, encode_body
from features.ledger.tables import SIGNAL_STATES


def erase_subject(connection: Connection, stream: str, now_us: int, rules: RulesBook) -> tuple[str, ...]:
    """Erase a person's streams, also those of linked visitors and joined customers, or a visitor's, which is unlinked.

    Runs in one transaction with all streams locked. Returns the erased streams, sorted.
    """
    streams = {stream}
    while (more := _reach(_locked(connection, streams, now_us, rules), streams, stream)) - streams:
        streams |= more  # linked after the previous look; links of streams locked now cannot change
    standing = _locked(connection, streams, now_us, rules).standing(stream)
    erased = tuple(sorted({stream} if standing.holder is not None else streams))
    for erased_stream in erased:
        _erase_stream(connection, erased_stream, now_us, rules)
    if standing.holder is not None and standing.holder.linked:
        _unlink(connection, standing.holder.person, stream, now_us, rules)
    return erased


def _reach(plan: AppendPlan, locked: set[str], stream: str) -> set[str]:
    """Return the streams that erasing `stream` concerns, as far as the locked ones tell."""
    standing = plan.standing(stream)
    if standing.holder is not None:
        return {stream, standing.holder.person}
    return identities(standing, {name: plan.standing(name) for name in locked})


def _locked(connection: Connection, streams: set[str], now_us: int, rules: RulesBook) -> AppendPlan:
    return AppendPlan(connection, [((), dict.fromkeys(streams, 0))], now_us, rules, look_up=False)


def _unlink(connection: Connection, person: str, visitor: str, now_us: int, rules: RulesBook) -> None:
    """Record on the person's stream that the erased visitor is no longer linked, at the stream's own time."""
    link = latest_link(_locked(connection, {person}, now_us, rules).standing(person), visitor)
    if link is None or not link.linked:
        return
    body = {"visitor": visitor, "kind": link.kind, "source": "erasure"}
    raw, salt = encode_body(body), new_salt()
    entry = Entry(person, "unlink", body, None)
    prepared = PreparedEntry(entry, raw, salt, hash_body(salt, raw), (), now_us)
    plan = AppendPlan(connection, [((prepared,), {})], now_us, rules, look_up=False)
    plan.add((prepared,), {})
    plan.write(connection)


def _erase_stream(connection: Connection, stream: str, now_us: int, rules: RulesBook) -> None:
    """Append a tombstone to the stream, accept no more signals of it, and list the erasure.

    A process that writes signals waits for the row of the stream's state, and accepts no more once it is empty. The
    keys of the stream's records stay: they are keyed hashes, and a repeated request must still be recognised.
    """
    tombstone = _tombstone(stream, now_us)
    plan = AppendPlan(connection, [((tombstone,), {})], now_us, rules, look_up=False)
    if not plan.erased(stream):
        plan.add((tombstone,), {})
        plan.write(connection)
    upsert(connection, SIGNAL_STATES, {"stream": stream}, {"at_us": now_us, "body": None}, initial={"version": 0})
    list_erasure(connection, stream, now_us)


def _tombstone(stream: str, now_us: int) -> PreparedEntry:
    raw, salt = encode_body({}), new_salt()
    return PreparedEntry(Entry(stream, "tombstone", {}, None), raw, salt, hash_body(salt, raw), (), now_us)
