"""Recompute recorded decisions, stream by stream, so that each record is read once however many streams there are."""

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeVar

from decisioning.errors import Unavailable
from features.ledger import Record
from features.ledger.as_of_decision import KnownAtDecisions, decisions_by_seq
from features.ledger.reading.in_time import Records
from serving.brain import explaining
from serving.brain.runtime import Brain
from serving.commands.progress import phases

_T = TypeVar("_T")
_PAGE = 200
"""Records that are held at once; a record of 100 candidates takes some 60 kB when it is decoded."""
Location = tuple[str, int]
"""Stream and version of a decision."""


class _Pages:
    """Reads the decisions of one stream at a time, and serves its records again to the standings of that time."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._page: list[Record] = []

    def decisions(self, stream: str, versions: list[int]) -> Iterator[Record]:
        """Yield the records of a stream at these versions, which ascend."""
        wanted, after = set(versions), versions[0] - 1
        while after < versions[-1]:
            self._page = list(islice(self._records(stream, versions[-1], after), _PAGE))
            if not self._page:
                return
            yield from (record for record in self._page if record.version in wanted)
            after = self._page[-1].version

    def records(self, stream: str, upto: int, after: int) -> Iterator[Record]:
        """Yield the records of a stream after version `after` up to `upto`: those of the page are not read again."""
        if self._page and self._page[0].stream == stream:
            first = self._page[0].version
            if after < first - 1:
                yield from self._records(stream, min(upto, first - 1), after)
            for record in islice(self._page, max(0, after + 1 - first), max(0, upto + 1 - first)):
                yield record
                after = record.version
        if after < upto and not self._holds(stream, upto):
            yield from self._records(stream, upto, after)

    def _holds(self, stream: str, upto: int) -> bool:
        return bool(self._page) and self._page[0].stream == stream and self._page[-1].version >= upto


def recompute(brain: Brain, chosen: set[Location]) -> dict[str, Any]:
    """Recompute the decisions at these locations; return how many, how many were erased, and which differ.

    Decisions about an account come last, in their order in the ledger: people share its stream.
    """
    different, recomputed, erased, accounts = [], 0, 0, set[int]()
    pages = _Pages(brain.ledger.records)
    before = KnownAtDecisions(brain.ledger, pages.records)
    with phases() as progress:
        for record in _in_order(brain, chosen, pages, accounts):
            progress(recomputed + erased, len(chosen), "recomputing decisions")
            if _inputs_erased(brain, record):
                erased += 1
                continue
            recomputed += 1
            if not _recomputes(brain, record, before):
                different.append(_name_of(record))
    return {"recomputed": recomputed, "erased": erased, "different": different}


def _in_order(brain: Brain, chosen: set[Location], pages: _Pages, accounts: set[int]) -> Iterator[Record]:
    """Yield the decisions stream by stream, and then those about accounts, whose `seq` is collected in `accounts`."""
    for stream, locations in groupby(sorted(chosen), itemgetter(0)):
        for record in pages.decisions(stream, [version for _, version in locations]):
            if _is_about_account(record):
                accounts.add(record.seq)
            else:
                yield record
    if accounts:
        yield from decisions_by_seq(brain.ledger, accounts)


def _is_about_account(record: Record) -> bool:
    return bool(_if_readable(lambda: record.body is not None and record.body["read"]["account"] is not None))


def _inputs_erased(brain: Brain, record: Record) -> bool:
    return bool(_if_readable(lambda: explaining.inputs_erased(brain, record)))


def _name_of(record: Record) -> str:
    """Return the decision's id; where it cannot be read, the place of its record."""
    return _if_readable(lambda: str((record.body or {})["decision_id"])) or f"{record.stream}@{record.version}"


def _recomputes(brain: Brain, record: Record, before: KnownAtDecisions) -> bool:
    return bool(_if_readable(lambda: explaining.recomputes(brain, record, before)))


def _if_readable(read: Callable[[], _T]) -> _T | None:
    """Return what `read` returns, or None if a record that it reads is not as it was written."""
    try:
        return read()
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 (a damaged record may be anything)
        return None
