"""Standings as they were at earlier versions, for replay: one pass over each stream for any number of versions."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from decisioning.errors import Refused
from decisioning.facts.standing import NEVER_US, Contact, Standing
from decisioning.facts.standing_rules import StandingRules
from decisioning.times import AS_RECORDED, TimeRule
from features.ledger.past.changes import changes_of
from features.ledger.past.counted import Counted
from features.ledger.past.memory import Past
from features.ledger.past.selection import CLOCK_SLACK_US, Pair, Selection, Selector, Touched, floor_of
from features.ledger.records import Record
from features.ledger.snapshot import as_read
from features.ledger.standing import Fold, apply, with_selection, with_whole_past

Records = Callable[[str, int, int], Iterator[Record]]
"""(stream, upto, after) -> the records of the stream in these versions."""
MAX_STREAMS: Final = 1000
"""How many streams are held where they were read to."""


class _Pass:
    """One stream, read up to `fold.version`, with what decisions by the rules asked for last read of its past."""

    def __init__(self, stream: str, rule: TimeRule) -> None:
        self.fold, self.past, self.lost = Fold(stream, rule=rule), Past(), False
        self.recorded_us, self._counted = NEVER_US, Counted(rule)
        self._selector: Selector | None = None
        self._selection = Selection()
        self._contacts: dict[str, tuple[Contact | None, Contact]] = {}
        self._pairs: set[Pair] = set()

    def add(self, record: Record) -> None:
        """Add the next record. After a record without a body, nothing is known of any version."""
        body = record.folded
        if body is None or self.lost:
            self.fold, self.lost = Fold(self.fold.stream, record.version, erased=True, rule=self.fold.rule), True
            return
        counted_us, counted = self._counted.of(record.kind, body, record.occurred_us, record.at_us)
        self.fold = apply(self.fold, record.kind, counted, record.version, counted_us)
        self.recorded_us = record.at_us
        touched = self.past.add(changes_of(record.kind, counted, counted_us))
        for offer, (was, now) in touched.contacts.items():
            first = self._contacts[offer][0] if offer in self._contacts else was
            self._contacts[offer] = first, now
        self._pairs |= touched.pairs

    def whole(self) -> Fold:
        """Return the standing with all contacts and outcomes."""
        contacts = [c for offer in self.past.offers.values() if (c := offer.contact) is not None]
        return with_whole_past(self.fold, contacts, self.past.outcomes)

    def selected(self, rules: StandingRules) -> Fold:
        """Return the standing with what decisions by these rules read of the past."""
        if self.fold.erased:
            return self.fold
        floor = floor_of(self.recorded_us, self.fold.latest_us, self.fold.rule)
        if self._selector is None or self._selector.rules != rules:
            self._selector = Selector(rules)
            self._selection = self._selector.make(self.past, floor)
        else:
            touched = Touched(self._contacts, frozenset(self._pairs))
            self._selection = self._selector.renew(self._selection, touched, self.past, floor)
        self._contacts, self._pairs = {}, set()
        return as_read(with_selection(self.fold, self._selection))


class StandingsInTime:
    """Reads standings at earlier versions; asked in the order of versions, it reads each record once.

    :param rule: how the times of records are read
    """

    def __init__(self, records: Records, rule: TimeRule = AS_RECORDED) -> None:
        self._records, self._rule = records, rule
        self._passes: OrderedDict[str, _Pass] = OrderedDict()

    def at(self, stream: str, version: int, rules: StandingRules | None = None, now_us: int = 0) -> Standing:
        """Return the standing when the stream was at `version`; an erased one if bodies were erased since.

        :param rules: what of the contacts and outcomes is needed, to decide at `now_us`; None: all of them
        :raises Refused: the stream has no such version
        """
        current = self._passes.get(stream)
        if current is None or current.fold.version > version:
            current = self._passes[stream] = _Pass(stream, self._rule)
        self._passes.move_to_end(stream)
        if len(self._passes) > MAX_STREAMS:
            self._passes.popitem(last=False)
        for record in self._records(stream, version, current.fold.version):
            current.add(record)
        if current.fold.version != version:
            raise Refused(f"the stream has no version {version}")
        if rules is None or now_us < current.recorded_us - CLOCK_SLACK_US:
            return current.whole()
        return current.selected(rules)
