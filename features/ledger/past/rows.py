"""The tables of contacts and outcomes: read and written in the transaction that appends the records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from decisioning.facts.standing import Contact, RecordedOutcome
from decisioning.facts.standing_rules import CapRule
from decisioning.times import AS_RECORDED
from features.ledger.driver import execute_many, fetch, in_chunks, insert_into, placeholders
from features.ledger.past.changes import Marks, Offer, changes_of, count_marks
from features.ledger.past.kinds import ContactKinds
from features.ledger.past.packing import ContactRow, contacts_in, names_of, pack, unpack
from features.ledger.past.selection import Pair
from features.ledger.tables import CONTACTS, OUTCOMES, RECORDS

_PAGE = 100
_COLUMNS = "offers, at_us, body"
_SELECT = f"SELECT {_COLUMNS} FROM {CONTACTS.name} WHERE stream = ? AND at_us >= ?"  # noqa: S608 (names of our own)
_NEWEST_FIRST = f"{_SELECT} ORDER BY at_us DESC, offers DESC LIMIT ? OFFSET ?"
_ROWS = f"SELECT {_COLUMNS}, marks FROM {CONTACTS.name} WHERE stream = ?"  # noqa: S608 (names of our own)
_ADD_ROW = insert_into(CONTACTS, "at_us", "body", "marks", "stream", "offers")
_SET_ROW = f"UPDATE {CONTACTS.name} SET at_us = ?, body = ?, marks = ? WHERE stream = ? AND offers = ?"  # noqa: S608 (names of our own)
_DELETE_ROW = f"DELETE FROM {CONTACTS.name} WHERE stream = ? AND offers = ?"  # noqa: S608 (names of our own)
_COUNT = (
    f"{insert_into(OUTCOMES, 'stream', 'action', 'outcome', 'at_us', 'detail', 'times')} "
    f"ON CONFLICT (stream, action, outcome, at_us, detail) DO UPDATE SET times = {OUTCOMES.name}.times + excluded.times"
)
_OF_PAIR = "stream = ? AND action = ? AND outcome = ? AND at_us >= ? AND times > 0"
_TIMES = f"SELECT at_us, times FROM {OUTCOMES.name} WHERE {_OF_PAIR} ORDER BY at_us DESC"  # noqa: S608 (names of our own)
_PAIRS = f"SELECT DISTINCT action, outcome FROM {OUTCOMES.name} WHERE stream = ?"  # noqa: S608 (names of our own)
_OUTCOMES = f"SELECT action, outcome, at_us, detail, times FROM {OUTCOMES.name} WHERE stream = ? AND times != 0"  # noqa: S608 (names of our own)
_MARKS = f"SELECT body, occurred_us, at_us FROM {RECORDS.name} WHERE stream = ? AND kind = 'contact' ORDER BY version"  # noqa: S608 (names of our own)


Writes = Iterator[tuple[str, Sequence[tuple[Any, ...]]]]
"""Statements, each with the rows that it is run for."""


class StreamRows:
    """The rows of one stream, as one connection sees them."""

    def __init__(self, connection: Connection, stream: str, kinds: ContactKinds) -> None:
        self._connection, self._stream, self._kinds = connection, bytes.fromhex(stream), kinds

    def rows(self, offer_ids: Iterable[str] | None = None) -> dict[bytes, ContactRow]:
        """Return the rows by name that can hold these offers, or all."""
        if offer_ids is None:
            stored = fetch(self._connection, _ROWS, (self._stream,))
        else:
            names = sorted({name for offer_id in offer_ids for name in names_of(offer_id)})
            stored = [row for part in in_chunks(names) for row in self._named(part)]
        return {name: ContactRow(at_us, body, marks) for name, at_us, body, marks in stored}

    def _named(self, names: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
        sql = f"{_ROWS} AND offers IN ({placeholders(len(names))})"
        return fetch(self._connection, sql, (self._stream, *names))

    def offers(self, rows: Mapping[bytes, ContactRow] | None = None) -> dict[str, Offer]:
        """Return what is recorded of the offers in these rows, or of all, by id."""
        read = self.rows() if rows is None else rows
        return {offer_id: offer for name, row in read.items() for offer_id, offer in unpack(name, row, self._kinds)}

    def marks(self) -> dict[str, Marks]:
        """Return the marks of each offer, from the records: rows keep only what they amount to.

        The time grows with the stream. Only a correction of a contact's state needs them.
        """
        counted: dict[str, Marks] = {}
        for body, occurred_us, at_us in fetch(self._connection, _MARKS, (self._stream,)):
            if body is not None and any(body):  # an erasure leaves zeros
                count_marks(counted, changes_of("contact", from_json(body), AS_RECORDED.counted_us(occurred_us, at_us)))
        return counted

    def outcomes(self) -> dict[RecordedOutcome, int]:
        """Return how often each outcome happened, without those that were cancelled."""
        rows = fetch(self._connection, _OUTCOMES, (self._stream,))
        return {
            RecordedOutcome(action, outcome, at_us, *from_json(detail)): times
            for action, outcome, at_us, detail, times in rows
        }

    def contacts_under(self, rule: CapRule, key: str, since_us: int) -> Iterator[Contact]:
        """Yield the contacts that the rule counts under `key`, at or after `since_us`, newest first."""

        @cache
        def counted(number: int) -> bool:
            kind = self._kinds.of(number)
            return rule.key_of(kind.action, kind.group, kind.issue, kind.channel) == key

        offset = 0
        while rows := fetch(self._connection, _NEWEST_FIRST, (self._stream, since_us, _PAGE, offset)):
            for name, at_us, body in rows:
                yield from reversed(contacts_in(name, at_us, body, self._kinds, counted))
            offset += len(rows)

    def contacts_since(self, since_us: int) -> Iterable[Contact]:
        """Return every contact at or after `since_us`."""
        rows = fetch(self._connection, _SELECT, (self._stream, since_us))
        return [contact for name, at_us, body in rows for contact in contacts_in(name, at_us, body, self._kinds)]

    def times_of(self, pair: Pair, since_us: int, most: int | None) -> Sequence[int]:
        """Return when the outcome happened, at or after `since_us`, newest first, at most `most`."""
        sql = _TIMES + ("" if most is None else " LIMIT ?")
        limit = () if most is None else (most,)
        rows = fetch(self._connection, sql, (self._stream, *pair, since_us, *limit))
        return [at_us for at_us, times in rows for _ in range(times)][:most]

    def pairs(self) -> Iterable[Pair]:
        """Return every action and outcome that happened."""
        return [(action, outcome) for action, outcome in fetch(self._connection, _PAIRS, (self._stream,))]

    def replacement(self, before: Mapping[bytes, ContactRow], offers: Mapping[str, Offer]) -> Writes:
        """Return what writes the rows of these offers, of which `before` were read.

        A new row that exists already fails when it is written.
        """
        after = pack(offers, self._kinds)
        yield _ADD_ROW, [(*row, self._stream, name) for name, row in sorted(after.items()) if name not in before]
        yield _SET_ROW, [(*after[n], self._stream, n) for n in sorted(after) if n in before and after[n] != before[n]]
        yield _DELETE_ROW, [(self._stream, name) for name in sorted(before) if name not in after]

    def counting(self, changes: Mapping[RecordedOutcome, int]) -> Writes:
        """Return what adds to how often each outcome happened."""
        rows = [
            (self._stream, o.action, o.outcome, o.at_us, to_json([o.offer_id, o.value_eur]).decode(), change)
            for o, change in changes.items()
            if change
        ]
        yield _COUNT, sorted(rows)

    def delete(self) -> None:
        """Delete every row of the stream."""
        for table in (CONTACTS, OUTCOMES):
            execute_many(self._connection, f"DELETE FROM {table.name} WHERE stream = ?", [(self._stream,)])  # noqa: S608 (names of our own)
