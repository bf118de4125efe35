"""The tables of contacts and outcomes: read and written in the transaction that appends the records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from decisioning.facts.standing import Contact, RecordedOutcome
from decisioning.facts.standing_rules import CapRule
from features.ledger.driver import execute_many, fetch, in_chunks, insert_into, placeholders
from features.ledger.past.changes import Offer
from features.ledger.past.selection import Pair
from features.ledger.tables import CONTACTS, OUTCOMES

_PAGE = 100
_NEVER_US = -(2**62)
_COLUMNS = (
    "offer_id", "action", "treatment", "action_group", "issue", "channel", "at_us", "reserved_until_us", "counts_on",
    "state",
)  # fmt: skip
_FIELDS = attrgetter(*("group" if name == "action_group" else name for name in _COLUMNS))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM contacts WHERE stream = ? AND at_us >= ?"  # noqa: S608 (names of our own)
_NEWEST_FIRST = " ORDER BY at_us DESC, offer_id DESC LIMIT ? OFFSET ?"
_KEY_COLUMNS = {"action": "action", "group": "action_group", "issue": "issue", "channel": "channel"}
_OFFERS = f"SELECT marks, {', '.join(_COLUMNS)} FROM contacts WHERE stream = ?"  # noqa: S608 (names of our own)
_ADD_OFFER = insert_into(CONTACTS, "marks", *_COLUMNS, "stream")
_SET_OFFER = (
    f"UPDATE contacts SET marks = ?, {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE stream = ? AND offer_id = ?"  # noqa: S608 (names of our own)
)
_COUNT = (
    f"{insert_into(OUTCOMES, 'stream', 'action', 'outcome', 'at_us', 'detail', 'times')} "
    "ON CONFLICT (stream, action, outcome, at_us, detail) DO UPDATE SET times = outcomes.times + excluded.times"
)
_TIMES = (
    "SELECT at_us, times FROM outcomes WHERE stream = ? AND action = ? AND outcome = ? AND at_us >= ? AND times > 0"
)
_PAIRS = "SELECT DISTINCT action, outcome FROM outcomes WHERE stream = ?"
_OUTCOMES = "SELECT action, outcome, at_us, detail, times FROM outcomes WHERE stream = ? AND times != 0"


class StreamRows:
    """The rows of one stream, as one connection sees them."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection, self._stream = connection, bytes.fromhex(stream)

    def offers(self, offer_ids: Sequence[str] | None = None) -> dict[str, Offer]:
        """Return what is recorded of these offers, or of all, by id; unknown offers are left out."""
        if offer_ids is None:
            return dict(map(_offer, fetch(self._connection, _OFFERS, (self._stream,))))
        rows: list[tuple[Any, ...]] = []
        for part in in_chunks(offer_ids):
            sql = f"{_OFFERS} AND offer_id IN ({placeholders(len(part))})"
            rows += fetch(self._connection, sql, (self._stream, *part))
        return dict(map(_offer, rows))

    def outcomes(self) -> dict[RecordedOutcome, int]:
        """Return how often each outcome happened, without those that were cancelled."""
        rows = fetch(self._connection, _OUTCOMES, (self._stream,))
        return {
            RecordedOutcome(action, outcome, at_us, *from_json(detail)): times
            for action, outcome, at_us, detail, times in rows
        }

    def contacts_under(self, rule: CapRule, key: str, since_us: int) -> Iterator[Contact]:
        """Yield the contacts that the rule counts under `key`, at or after `since_us`, newest first."""
        column = _KEY_COLUMNS.get(rule.count)
        sql = _SELECT + (f" AND {column} = ?" if column else "") + _NEWEST_FIRST
        wanted = (self._stream, since_us, key) if column else (self._stream, since_us)
        offset = 0
        while rows := fetch(self._connection, sql, (*wanted, _PAGE, offset)):
            yield from (contact for row in rows if rule.key(contact := Contact(*row)) == key)
            offset += len(rows)

    def contacts_since(self, since_us: int) -> Iterable[Contact]:
        """Return every contact at or after `since_us`."""
        return [Contact(*row) for row in fetch(self._connection, _SELECT, (self._stream, since_us))]

    def times_of(self, pair: Pair, since_us: int, most: int | None) -> Sequence[int]:
        """Return when the outcome happened, at or after `since_us`, newest first, at most `most`."""
        sql = f"{_TIMES} ORDER BY at_us DESC" + ("" if most is None else " LIMIT ?")
        limit = () if most is None else (most,)
        rows = fetch(self._connection, sql, (self._stream, *pair, since_us, *limit))
        return [at_us for at_us, times in rows for _ in range(times)][:most]

    def pairs(self) -> Iterable[Pair]:
        """Return every action and outcome that happened."""
        return [(action, outcome) for action, outcome in fetch(self._connection, _PAIRS, (self._stream,))]

    def put_offers(self, new: Mapping[str, Offer], changed: Mapping[str, Offer]) -> None:
        """Insert new offers and update others."""
        if new:
            rows = [(*_offer_row(offer_id, offer), self._stream) for offer_id, offer in sorted(new.items())]
            execute_many(self._connection, _ADD_OFFER, rows)
        if changed:
            rows = [(*_offer_row(o, offer), self._stream, o) for o, offer in sorted(changed.items())]
            execute_many(self._connection, _SET_OFFER, rows)

    def count_outcomes(self, changes: Mapping[RecordedOutcome, int]) -> None:
        """Add to how often each outcome happened."""
        rows = [
            (self._stream, o.action, o.outcome, o.at_us, to_json([o.offer_id, o.value_eur]).decode(), change)
            for o, change in changes.items()
            if change
        ]
        if rows:
            execute_many(self._connection, _COUNT, sorted(rows))

    def delete(self) -> None:
        """Delete every row of the stream."""
        for table in ("contacts", "outcomes"):
            execute_many(self._connection, f"DELETE FROM {table} WHERE stream = ?", [(self._stream,)])  # noqa: S608 (names of our own)


def _offer(row: Sequence[Any]) -> tuple[str, Offer]:
    marks, offer_id, *fields = row
    if marks is None:
        return offer_id, Offer(Contact(offer_id, *fields))
    return offer_id, Offer(None, tuple((state, at_us) for state, at_us in from_json(marks)))


def _offer_row(offer_id: str, offer: Offer) -> tuple[object, ...]:
    if offer.contact is not None:
        return (None, *_FIELDS(offer.contact))
    return (to_json(offer.marks).decode(), offer_id, "", "", "", "", "", _NEVER_US, 0, "decided", "reserved")
