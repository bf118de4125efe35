"""Verify that a stream's standing, contacts and outcomes are what its records fold to."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Row

from decisioning.errors import Refused
from decisioning.facts.standing import RecordedOutcome
from features.ledger.database import Database
from features.ledger.past.changes import HORIZON_US, Offer
from features.ledger.past.memory import Past
from features.ledger.past.packing import UNREADABLE, is_name
from features.ledger.past.rows import StreamRows
from features.ledger.past.rules_book import RulesBook
from features.ledger.past.selection import floor_of
from features.ledger.snapshot import encode, number_in
from features.ledger.standing import Fold, with_selection

_MAX_RULES = 2**31
"""Above every number of rules."""


def past_flaws(
    database: Database, rules: RulesBook, head: Row[Any] | None, fold: Fold | None, past: Past
) -> Iterator[str]:
    """Yield what is wrong with the standing and with the rows of contacts and outcomes.

    :param head: the stream's row of standings
    :param fold: what its records fold to; None if a record could not be folded
    """
    if head is None or fold is None:
        return
    if head.body != _encoding(rules, head, fold, past):
        yield "the standing is not what the records fold to"
    try:
        offers, outcomes = database.fetch_together(lambda c: _rows(StreamRows(c, head.stream, rules.kinds)))
    except (Refused, *UNREADABLE):
        yield "the contacts and outcomes cannot be read"
        return
    old = {o for o, offer in past.offers.items() if offer.contact and not _recent(offer, fold)}
    recent = {o: offer for o, offer in _read(offers, fold).items() if o not in old}
    if fold.erased and (offers or outcomes):
        yield "the subject was erased, and contacts or outcomes are here"
    elif not fold.erased and (recent, _happened(outcomes)) != (_read(past.offers, fold), _happened(past.outcomes)):
        yield "the contacts and outcomes are not what the records fold to"


def _encoding(rules: RulesBook, head: Row[Any], fold: Fold, past: Past) -> bytes | None:
    """Return the standing made for the rules that it names, or None if it names none."""
    try:
        number = number_in(head.body)
        selector = rules.selector(number if number < _MAX_RULES else -1)
        if not fold.erased:
            fold = with_selection(fold, selector.make(past, floor_of(head.at_us, fold.latest_us, fold.rule)))
        return encode(fold, number, rules.kinds)
    except UNREADABLE:
        return None


def _rows(rows: StreamRows) -> tuple[Mapping[str, Offer], Mapping[RecordedOutcome, int]]:
    if not all(map(is_name, stored := rows.rows())):
        raise ValueError("a row of contacts has no name")
    return rows.offers(stored), rows.outcomes()


def _read(offers: Mapping[str, Offer], fold: Fold) -> dict[str, Offer]:
    """Return the contacts up to the horizon, and the marks whose contact may still be: up to twice as old."""
    since_us = fold.latest_us - 2 * HORIZON_US
    recent = {o: Offer(offer.contact, tuple(m for m in offer.marks if m[1] >= since_us)) for o, offer in offers.items()}
    return {o: offer for o, offer in recent.items() if offer.marks or _recent(offer, fold)}


def _recent(offer: Offer, fold: Fold) -> bool:
    return offer.contact is not None and offer.contact.at_us >= fold.latest_us - HORIZON_US


def _happened(outcomes: Mapping[RecordedOutcome, int]) -> dict[RecordedOutcome, int]:
    return {o: times for o, times in outcomes.items() if times}
