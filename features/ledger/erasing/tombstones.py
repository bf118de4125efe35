"""Erase a subject and all that belongs to it: tombstones bar it at once, and a list says what is left to remove."""

from collections.abc import Mapping

from sqlalchemy import Connection

from decisioning.facts.stretches import ends_of, stretch_of
from features.ledger.chain import hash_body, new_salt
from features.ledger.database import upsert
from features.ledger.erasing.erasures import list_erasure
from features.ledger.links import LINKS, belonging, identities, latest_link, named_stretches
from features.ledger.past.rules_book import RulesBook
from features.ledger.plan import AppendPlan
from features.ledger.records import Entry, PreparedEntry, encode_body, looks_of
from features.ledger.standing import Fold
from features.ledger.tables import SIGNAL_STATES


def erase_subject(connection: Connection, stream: str, now_us: int, rules: RulesBook) -> tuple[str, ...]:
    """Erase what belongs to a person, or every stretch of a visitor, which is unlinked from whoever it is linked to.

    To a person belong the streams of customers joined with them, and the stretches of visitors that are or were theirs.
    Runs in one transaction with all streams locked. Returns the erased streams, sorted.

    :param stream: of the subject, as `stream_of` names it
    """
    standings = {stream: Fold(stream)}
    while more := _reach(connection, stream, standings) - standings.keys():  # what is locked now cannot change
        plan = _locked(connection, {*standings, *more}, now_us, rules)
        standings = {name: plan.standing(name) for name in sorted({*standings, *more})}
    erased = tuple(sorted(_erased(stream, standings)))
    for erased_stream in erased:
        _erase_stream(connection, erased_stream, now_us, rules)
    for holder in [h for name in erased if (h := standings[name].holder) is not None and h.linked]:
        if holder.person not in erased:
            _unlink(connection, holder.person, stream, now_us, rules)
    return erased


def _reach(connection: Connection, stream: str, standings: Mapping[str, Fold]) -> set[str]:
    """Return the streams that erasing `stream` may concern, as far as the locked ones tell."""
    reached = {stream, ends_of(stream)}
    if _is_visitor(stream, standings):
        stretches = _stretches(stream, standings)
        holders = (standings[s].holder for s in stretches if s in standings)
        return reached | stretches | {holder.person for holder in holders if holder is not None and holder.linked}
    theirs = identities(standings[stream], standings)
    rows = (row for one in _people(theirs, standings) for row in connection.execute(LINKS, {"stream": one}))
    return reached | theirs | named_stretches(rows)


def _erased(stream: str, standings: Mapping[str, Fold]) -> set[str]:
    if _is_visitor(stream, standings):
        return _stretches(stream, standings)
    theirs = identities(standings[stream], standings)
    return theirs | belonging(_people(theirs, standings), standings.values())


def _is_visitor(stream: str, standings: Mapping[str, Fold]) -> bool:
    ended = standings.get(ends_of(stream))
    return standings[stream].holder is not None or (ended is not None and ended.version > 0)


def _stretches(visitor: str, standings: Mapping[str, Fold]) -> set[str]:
    ended = standings.get(ends_of(visitor))
    return {stretch_of(visitor, number) for number in range(ended.version + 1 if ended is not None else 1)}


def _people(theirs: set[str], standings: Mapping[str, Fold]) -> set[str]:
    """Return those streams that are no stretch of a visitor."""
    return {name for name in theirs if name in standings and standings[name].holder is None}


def _locked(connection: Connection, streams: set[str], now_us: int, rules: RulesBook) -> AppendPlan:
    return AppendPlan(connection, [((), dict.fromkeys(streams, 0))], now_us, rules, look_up=False)


def _unlink(connection: Connection, person: str, visitor: str, now_us: int, rules: RulesBook) -> None:
    """Record on the person's stream that the erased visitor is no longer linked, at the stream's own time."""
    link = latest_link(_locked(connection, {person}, now_us, rules).standing(person), visitor)
    if link is None or not link.linked:
        return
    body = {"visitor": visitor, "kind": link.kind, "source": "erasure", "stretch": None}
    raw, salt = encode_body(body), new_salt()
    entry = Entry(person, "unlink", body, None)
    prepared = PreparedEntry(entry, raw, salt, hash_body(salt, raw), (), now_us)
    plan = AppendPlan(connection, [((prepared,), {})], now_us, rules, look_up=False)
    plan.add((prepared,), {})
    plan.write(connection)


def _erase_stream(connection: Connection, stream: str, now_us: int, rules: RulesBook) -> None:
    """Append a tombstone to the stream and to that of its looks, accept no more signals of it, and list the erasure.

    A process that writes signals waits for the row of the stream's state, and accepts no more once it is empty. The
    keys of the stream's records stay: they are keyed hashes, and a repeated request must still be recognised.
    """
    _bar(connection, stream, now_us, rules)
    _bar(connection, looks_of(stream), now_us, rules)
    upsert(connection, SIGNAL_STATES, {"stream": stream}, {"at_us": now_us, "body": None}, initial={"version": 0})
    list_erasure(connection, stream, now_us)


def _bar(connection: Connection, stream: str, now_us: int, rules: RulesBook) -> None:
    """Append a tombstone to a stream that has none."""
    tombstone = _tombstone(stream, now_us)
    plan = AppendPlan(connection, [((tombstone,), {})], now_us, rules, look_up=False)
    if not plan.erased(stream):
        plan.add((tombstone,), {})
        plan.write(connection)


def _tombstone(stream: str, now_us: int) -> PreparedEntry:
    raw, salt = encode_body({}), new_salt()
    return PreparedEntry(Entry(stream, "tombstone", {}, None), raw, salt, hash_body(salt, raw), (), now_us)
