"""What one transaction changes in the past of its streams: read once, changed in memory, written together."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from decisioning.facts.standing import Contact, RecordedOutcome
from features.ledger.driver import execute_many
from features.ledger.past.changes import Marks, Offer, PastChanges, apply_to_offers, count_marks
from features.ledger.past.kinds import ContactKinds
from features.ledger.past.rows import StreamRows, Writes
from features.ledger.past.selection import Touched


class PlannedPast:
    """The offers and outcomes that new records are about.

    :param changes: (stream, changes) of all that may be added; what is recorded of their offers is read at once
    :param look_up: whether new contacts may be of offers that something is recorded of; if False, `write` fails then
    """

    def __init__(
        self,
        connection: Connection,
        changes: Iterable[tuple[str, PastChanges | None]],
        kinds: ContactKinds,
        *,
        look_up: bool,
    ) -> None:
        self._connection, self._kinds = connection, kinds
        wanted: dict[str, set[str]] = defaultdict(set)
        correcting = set[str]()
        for stream, change in changes:
            if change is not None and (offer_ids := change.offer_ids if look_up else change.marked):
                wanted[stream].update(offer_ids)
                if change.taken_back:
                    correcting.add(stream)
        self._marks: dict[str, dict[str, Marks]] = {s: self._of(s).marks() for s in sorted(correcting)}
        self._rows = {s: self._of(s).rows(ids) for s, ids in sorted(wanted.items())}
        self._stored = {s: self._of(s).offers(rows) for s, rows in self._rows.items()}
        self._offers = {stream: dict(offers) for stream, offers in self._stored.items()}
        self._outcomes: dict[str, Counter[RecordedOutcome]] = defaultdict(Counter)

    def _of(self, stream: str) -> StreamRows:
        return StreamRows(self._connection, stream, self._kinds)

    def add(self, stream: str, changes: PastChanges) -> None:
        """Apply what one record changes."""
        marks = self._marks.get(stream, {})
        apply_to_offers(self._offers.setdefault(stream, {}), changes, marks)
        if stream in self._marks:
            count_marks(marks, changes)
        for outcome, change in changes.outcomes:
            self._outcomes[stream][outcome] += change

    def write(self) -> None:
        """Write every row that changed, each statement once for all streams."""
        rows_of: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for sql, rows in self._writes():
            rows_of[sql] += rows
        for sql, all_rows in rows_of.items():
            if all_rows:
                execute_many(self._connection, sql, all_rows)

    def _writes(self) -> Writes:
        for stream, offers in sorted(self._offers.items()):
            yield from self._of(stream).replacement(self._rows.get(stream, {}), offers)
        for stream, outcomes in sorted(self._outcomes.items()):
            yield from self._of(stream).counting(outcomes)

    def touched(self, stream: str) -> Touched:
        """Return what was changed in one stream."""
        stored = self._stored.get(stream, {})
        contacts: dict[str, tuple[Contact | None, Contact]] = {}
        for offer_id, offer in self._offers.get(stream, {}).items():
            was = stored.get(offer_id, Offer()).contact
            if offer.contact is not None and offer.contact != was:
                contacts[offer_id] = was, offer.contact
        return Touched(contacts, frozenset((o.action, o.outcome) for o in self._outcomes.get(stream, ())))
