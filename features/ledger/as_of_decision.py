"""Read back what a recorded decision was made from, to explain it or to decide again."""

from collections.abc import Collection, Iterator
from typing import Any

from decisioning.facts.forms import Known
from decisioning.facts.identity import merge_standings
from features.ledger.ledger import Ledger
from features.ledger.records import Record, record_of

_PAGE = 500


def known_at_decision(ledger: Ledger, stream: str, body: dict[str, Any]) -> Known:
    """Return what was known when a decision was made: the facts as served, and the standings at the versions read.

    The person's standing is merged with those of the visitors that were linked at that time.

    :param stream: the stream that holds the decision
    :param body: the body of the decision's record
    """
    read, account = body["read"], None
    if read["account"] is not None:
        account = ledger.fold_at(ledger.stream_of("account", body["request"]["account_id"]), read["account"])
    visitors = [ledger.fold_at(visitor, version) for visitor, version in read.get("linked", {}).items()]
    person = merge_standings(ledger.fold_at(stream, read["person"]), visitors)
    return Known(body["facts"], person, account, tuple(body["degraded"]), read.get("signals", {}))


def decisions_by_seq(ledger: Ledger, numbers: Collection[int]) -> Iterator[Record]:
    """Yield the decisions whose `seq` is in `numbers`, ascending. Bodies of other decisions are not parsed."""
    after, last = min(numbers, default=1) - 1, max(numbers, default=0)
    while after < last and (page := ledger.scan_rows(("decision",), after, _PAGE)):
        yield from (record_of(row) for row in page if row.seq in numbers)
        after = page[-1].seq
