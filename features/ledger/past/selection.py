"""Select from a subject's past what decisions read, and renew the selection after records: exactly, at a bounded size.

A contact counts under a cap until it is freed, or until its reservation ends. It can be left out where as many newer
contacts as the cap allows count at least as long: whenever it would count, they fill the cap. What is left out by that
rule never decides whether another contact is left out, so that a selection that is renewed record by record equals one
that is made from everything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from decisioning.facts.standing import NEVER_US, Contact
from decisioning.facts.standing_rules import CapRule, StandingRules
from decisioning.times import TimeRule
from features.ledger.past.changes import HORIZON_US, contact_order

CLOCK_SLACK_US = 300_000_000
"""How far the clock of a process that decides may lag behind the newest record's, and still use the selection."""
_FOREVER_US = 2**62
_CACHED_KINDS = 4096
Pair = tuple[str, str]
"""An action and an outcome."""
Times = Mapping[Pair, tuple[int, ...]]
"""When each outcome of each action happened, newest first."""


class Floor(NamedTuple):
    """What selections leave out for its age: decisions are made at or after `valid_from_us`; see `HORIZON_US`.

    `ever_us`: the earliest time that is read without a window.
    """

    valid_from_us: int
    horizon_us: int
    ever_us: int

    def since(self, window_us: int | None) -> int:
        """Return the earliest time that lies within the window of some decision."""
        return self.ever_us if window_us is None else max(self.valid_from_us - window_us, self.horizon_us)


def floor_of(recorded_us: int, latest_us: int, rule: TimeRule) -> Floor:
    """Return the floor of a stream: its newest record was recorded at `recorded_us`, and its newest time is
    `latest_us`."""
    horizon_us = latest_us - HORIZON_US
    return Floor(recorded_us - CLOCK_SLACK_US, horizon_us, NEVER_US if rule.for_good else horizon_us)


class Selection(NamedTuple):
    """What decisions read of a past: contacts, oldest first, and times of outcomes."""

    contacts: tuple[Contact, ...] = ()
    times: Times = {}


class Source(Protocol):
    """Everything that is kept of one stream's past."""

    def contacts_under(self, rule: CapRule, key: str, since_us: int) -> Iterator[Contact]:
        """Yield the contacts that the rule counts under `key`, at or after `since_us`, newest first."""

    def times_of(self, pair: Pair, since_us: int, most: int | None) -> Sequence[int]:
        """Return when the outcome happened, at or after `since_us`, newest first, at most `most`."""

    def contacts_since(self, since_us: int) -> Iterable[Contact]:
        """Return every contact at or after `since_us`."""

    def pairs(self) -> Iterable[Pair]:
        """Return every action and outcome that happened."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What was changed: contacts as they were (None: new) and as they are, by offer, and pairs."""

    contacts: Mapping[str, tuple[Contact | None, Contact]]
    pairs: frozenset[Pair]


def counts_until(contact: Contact) -> int | None:
    """Return when a cap stops to count the contact if nothing more is recorded of it; None if it does not count."""
    if contact.state in ("expired", "not_delivered"):
        return None
    if contact.counts_at(_FOREVER_US):
        return _FOREVER_US
    return contact.reserved_until_us


def _counts_less(was: Contact | None, now: Contact) -> bool:
    """Tell whether a contact counts for a shorter time than it did."""
    before = None if was is None else counts_until(was)
    after = counts_until(now)
    return before is not None and (after is None or after < before)


class Selector:
    """Selects by one set of rules."""

    def __init__(self, rules: StandingRules) -> None:
        self.rules = rules
        self._buckets = lru_cache(maxsize=_CACHED_KINDS)(self._find_buckets)
        self._questions = lru_cache(maxsize=_CACHED_KINDS)(self._find_questions)

    def make(self, source: Source, floor: Floor) -> Selection:
        """Return the selection from everything."""
        since_us = floor.since(max((cap.window_us for cap in self.rules.caps), default=0))
        contacts = self._select(source.contacts_since(since_us), floor)
        times = {pair: newest for pair in source.pairs() if (newest := self._ask(source, pair, floor))}
        return Selection(contacts, times)

    def renew(self, selection: Selection, touched: Touched, source: Source, floor: Floor) -> Selection:
        """Return the selection after changes, which `source` has already."""
        contacts = {c.offer_id: c for c in selection.contacts}
        lost = [was for offer, (was, now) in touched.contacts.items() if offer in contacts and _counts_less(was, now)]
        refill = [c for was in lost if was for c in self._hidden_behind(was, selection.contacts, source, floor)]
        contacts.update((c.offer_id, c) for c in refill)
        contacts.update((offer, now) for offer, (_, now) in touched.contacts.items())
        times = {pair: kept for pair, old in selection.times.items() if (kept := self._recent(pair, old, floor))}
        for pair in touched.pairs:
            times.pop(pair, None)
            if newest := self._ask(source, pair, floor):
                times[pair] = newest
        return Selection(self._select(contacts.values(), floor), times)

    def _select(self, contacts: Iterable[Contact], floor: Floor) -> tuple[Contact, ...]:
        newer: dict[tuple[int, str], list[int]] = {}
        limits = [(floor.since(cap.window_us), cap.limit) for cap in self.rules.caps]
        selected = []
        for contact in sorted(contacts, key=contact_order, reverse=True):
            until_us = counts_until(contact)
            if until_us is None or until_us <= floor.valid_from_us:
                continue
            if self._is_read(contact, until_us, newer, limits):
                selected.append(contact)
        return tuple(reversed(selected))

    def _is_read(
        self,
        contact: Contact,
        until_us: int,
        newer: dict[tuple[int, str], list[int]],
        limits: Sequence[tuple[int, int]],
    ) -> bool:
        """Tell whether some cap reads the contact, which counts until `until_us`.

        :param newer: until when the newer ones of each bucket count
        :param limits: (earliest time that counts, limit) of each cap
        """
        is_read = False
        for bucket in self._buckets(contact.action, contact.group, contact.issue, contact.channel):
            since_us, limit = limits[bucket[0]]
            if contact.at_us >= since_us:
                ends = newer.setdefault(bucket, [])
                if len(ends) < limit or sum(end >= until_us for end in ends) < limit:
                    ends.append(until_us)
                    is_read = True
        return is_read

    def _hidden_behind(
        self, lost: Contact, selected: Sequence[Contact], source: Source, floor: Floor
    ) -> Iterator[Contact]:
        """Yield the contacts that were left out only because `lost` counted: one more per full bucket may be read."""
        for n, key in self._buckets(lost.action, lost.group, lost.issue, lost.channel):
            cap = self.rules.caps[n]
            if sum(cap.key(c) == key for c in selected) >= cap.limit:
                yield from _enough(source.contacts_under(cap, key, floor.since(cap.window_us)), cap.limit)

    def _find_buckets(self, action: str, group: str, issue: str, channel: str) -> tuple[tuple[int, str], ...]:
        """Return (number of the cap, key) of every cap that counts contacts of this kind."""
        about = {"action": action, "group": group, "issue": issue, "channel": channel}
        keys = ((n, cap.key_of(**about)) for n, cap in enumerate(self.rules.caps))
        return tuple((n, key) for n, key in keys if key is not None)

    def _find_questions(self, pair: Pair) -> tuple[tuple[int | None, int | None], ...]:
        """Return (window, most) of every rule that asks for this outcome of this action."""
        action, outcome = pair
        asked = [h for h in self.rules.histories if h.outcome == outcome and h.action in (None, action)]
        return tuple((h.window_us, h.most) for h in asked)

    def _ask(self, source: Source, pair: Pair, floor: Floor) -> tuple[int, ...]:
        questions = self._questions(pair)
        if not questions:
            return ()
        limits = [most for _, most in questions]
        most = None if None in limits else max(m for m in limits if m is not None)
        times = source.times_of(pair, min(floor.since(window_us) for window_us, _ in questions), most)
        return self._recent(pair, times, floor)

    def _recent(self, pair: Pair, times: Sequence[int], floor: Floor) -> tuple[int, ...]:
        """Return the times, newest first, that some rule reads."""
        needed = 0
        for window_us, most in self._questions(pair):
            since_us, limit = floor.since(window_us), len(times) if most is None else min(most, len(times))
            while needed < limit and times[needed] >= since_us:
                needed += 1
        return tuple(times[:needed])


def _enough(contacts: Iterable[Contact], limit: int) -> Iterator[Contact]:
    """Yield contacts, newest first, until `limit` of them count for good, and those of the same time."""
    lasting, last_us = 0, 0
    for contact in contacts:
        if lasting >= limit and contact.at_us < last_us:
            return
        yield contact
        lasting, last_us = lasting + (counts_until(contact) == _FOREVER_US), contact.at_us
