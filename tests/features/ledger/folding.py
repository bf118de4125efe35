"""The whole fold of a stream in memory, one record at a time, as the tests of the fold want it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from features.ledger import Entry, Fold
from features.ledger import apply as apply_record
from features.ledger.past.changes import HORIZON_US, Mark, PastChanges, changes_of
from features.ledger.past.memory import Past
from features.ledger.standing import with_whole_past


@dataclass(frozen=True, eq=False)
class Whole:
    """A standing with its whole past; what it has is found under the same names as on a `Fold`."""

    light: Fold
    changes: tuple[PastChanges, ...] = ()

    @cached_property
    def past(self) -> Past:
        past = Past()
        for changes in self.changes:
            past.add(changes)
        return past

    @cached_property
    def standing(self) -> Fold:
        contacts = [offer.contact for offer in self.past.offers.values() if offer.contact]
        return with_whole_past(self.light, contacts, self.past.outcomes)

    @property
    def pending(self) -> dict[str, tuple[Mark, ...]]:
        """The marks that wait for a contact that decisions could still read."""
        since_us = self.light.latest_us - 2 * HORIZON_US
        marks = {o: tuple(m for m in of.marks if m[1] >= since_us) for o, of in self.past.offers.items()}
        return {offer_id: kept for offer_id, kept in marks.items() if kept}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.standing, name)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self.standing == (other.standing if isinstance(other, Whole) else other)


def apply(whole: Whole, kind: str, body: Any, version: int, occurred_us: int) -> Whole:
    light = apply_record(whole.light, kind, body, version, occurred_us)
    return Whole(light, () if light.erased else (*whole.changes, changes_of(kind, body, occurred_us)))


def fold(entries: list[Entry], stream: str = "0" * 40) -> Whole:
    whole = Whole(Fold(stream))
    for version, entry in enumerate(entries, 1):
        whole = apply(whole, entry.kind, entry.body, version, entry.occurred_us)
    return whole
