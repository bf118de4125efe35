"""The past of one stream in memory, made from its records one by one in time that is linear in their number."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

from decisioning.facts.standing import Contact, RecordedOutcome
from decisioning.facts.standing_rules import CapRule
from features.ledger.past.changes import UNKNOWN_OFFER, Marks, Offer, PastChanges, apply_to_offers, count_marks
from features.ledger.past.selection import Pair, Touched


class Past:
    """Offers by id, and how often each outcome happened: below zero if only its correction is recorded yet."""

    def __init__(self) -> None:
        self.offers: dict[str, Offer] = {}
        self.outcomes: dict[RecordedOutcome, int] = {}
        self._marks: dict[str, Marks] = {}
        self._order: list[tuple[int, str]] = []
        self._times: dict[Pair, list[int]] = {}

    def add(self, changes: PastChanges) -> Touched:
        """Apply what one record changes."""
        before = {offer_id: self.offers.get(offer_id, UNKNOWN_OFFER).contact for offer_id in changes.offer_ids}
        apply_to_offers(self.offers, changes, self._marks)
        count_marks(self._marks, changes)
        for outcome, change in changes.outcomes:
            self._count(outcome, change)
        contacts = dict(self._touched(before))
        for was, now in contacts.values():
            if was is None:
                insort(self._order, (now.at_us, now.offer_id))
        return Touched(contacts, frozenset((o.action, o.outcome) for o, _ in changes.outcomes))

    def _touched(self, before: dict[str, Contact | None]) -> Iterator[tuple[str, tuple[Contact | None, Contact]]]:
        for offer_id, was in before.items():
            now = self.offers.get(offer_id, UNKNOWN_OFFER).contact
            if now is not None:
                yield offer_id, (was, now)

    def _count(self, outcome: RecordedOutcome, change: int) -> None:
        count = self.outcomes.get(outcome, 0)
        self.outcomes[outcome] = count + change
        times = self._times.setdefault((outcome.action, outcome.outcome), [])
        if max(count + change, 0) > max(count, 0):
            insort(times, outcome.at_us)
        elif max(count + change, 0) < max(count, 0):
            del times[bisect_left(times, outcome.at_us)]

    def contacts_under(self, rule: CapRule, key: str, since_us: int) -> Iterator[Contact]:
        """Yield the contacts that the rule counts under `key`, at or after `since_us`, newest first."""
        return (c for c in self._newest_first(since_us) if rule.key(c) == key)

    def contacts_since(self, since_us: int) -> Iterable[Contact]:
        """Return every contact at or after `since_us`, oldest first."""
        return list(self._newest_first(since_us))[::-1]

    def _newest_first(self, since_us: int) -> Iterator[Contact]:
        for at_us, offer_id in reversed(self._order):
            contact = self.offers[offer_id].contact
            if at_us < since_us:
                return
            if contact is not None:
                yield contact

    def times_of(self, pair: Pair, since_us: int, most: int | None) -> Sequence[int]:
        """Return when the outcome happened, at or after `since_us`, newest first, at most `most`."""
        times = self._times.get(pair, [])
        start = bisect_left(times, since_us)
        return times[start if most is None else max(start, len(times) - most) :][::-1]

    def pairs(self) -> Iterable[Pair]:
        """Return every action and outcome that happened."""
        return self._times.keys()
