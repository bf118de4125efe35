"""What a decision was made from, read back: for explaining it, and for making it again otherwise."""

from collections.abc import Collection, Iterator
from typing import Any

from decisioning.facts.forms import Known
from decisioning.facts.identity import merge_standings
from features.ledger.ledger import Ledger
from features.ledger.records import Record, record_of

_PAGE = 500


def known_then(ledger: Ledger, stream: str, body: dict[str, Any]) -> Known:
    """What was known when it was decided: the facts as served, and the standings at the versions that were read.

    The person's is merged with those of the visitors that were linked then. `body` is the decision's record.
    """
    read, account = body["read"], None
    if read["account"] is not None:
        account = ledger.fold_at(ledger.stream_of("account", body["request"]["account_id"]), read["account"])
    visitors = [ledger.fold_at(visitor, version) for visitor, version in read.get("linked", {}).items()]
    person = merge_standings(ledger.fold_at(stream, read["person"]), visitors)
    return Known(body["facts"], person, account, tuple(body["degraded"]), read.get("signals", {}))


def decisions(ledger: Ledger, wanted: Collection[int]) -> Iterator[Record]:
    """The decisions with these `seq`, in their order; bodies of the others are not parsed."""
    after, last = min(wanted, default=1) - 1, max(wanted, default=0)
    while after < last and (page := ledger.raw(("decision",), after, _PAGE)):
        yield from (record_of(row) for row in page if row.seq in wanted)
        after = page[-1].seq
