"""What open streams are told of handovers and of what customers do, so that the screens of agents are up to date."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Row, Select, Table, bindparam, select

from features.ledger import Ledger
from features.ledger.people.rows import HANDOVER
from features.ledger.tables import EMPTIED, RECORDS, SIGNALS
from serving.events.feed import News, NewsSource, Viewer, topic_of_subject

QUEUE: Final = "queue"
_PRESENCE: Final = "presence"
_WAIT_S: Final = 0.03
"""For how long a reader waits for those who write, on PostgreSQL: most write for a few milliseconds."""
_HANDOVERS: Final = select(RECORDS).where(
    RECORDS.c.seq > bindparam("after"),
    RECORDS.c.seq <= bindparam("upto"),
    RECORDS.c.kind.in_((HANDOVER, _PRESENCE)),
    RECORDS.c.body.is_not(None),
)
_SIGNALS: Final = select(SIGNALS.c.seq, SIGNALS.c.stream).where(
    SIGNALS.c.seq > bindparam("after"), SIGNALS.c.seq <= bindparam("upto"), SIGNALS.c.type != EMPTIED
)
Reading = Callable[[Row[Any]], News]


def people_sources(ledger: Ledger) -> tuple[NewsSource, ...]:
    """Return what the screens of agents and leads are told by."""
    handovers = _NewsRows(ledger, RECORDS, _HANDOVERS, lambda row: _handover(ledger, row))
    signals = _NewsRows(ledger, SIGNALS, _SIGNALS, _signal)
    return handovers.source("handovers"), signals.source("signals")


class _NewsRows:
    """Reads the rows of a table as news; it remembers how far nothing was found, so that no row is read twice."""

    def __init__(self, ledger: Ledger, table: Table, rows: Select[Any], read: Reading) -> None:
        self._ledger, self._ordered, self._read = ledger, rows.order_by(table.c.seq), read
        self._numbers = ledger.numbers_of(table)
        self._empty_after, self._empty_upto = -1, -1

    def source(self, name: str) -> NewsSource:
        return NewsSource(name, self._newest, self._page, _body, self._numbers.highest)

    def _newest(self) -> int:
        """Return from where a new stream goes on; the highest number while it is not known yet what is settled."""
        return self._numbers.upto() or self._numbers.upto(_WAIT_S) or self._numbers.highest()

    def _page(self, after: int, topics: frozenset[str] | None, limit: int) -> Sequence[News]:
        """Return the next news; however many rows are about other topics, a page that is not full is the last."""
        upto, start = self._numbers.upto(_WAIT_S), self._empty_upto if after == self._empty_after else after
        matching: list[News] = []
        while len(matching) < limit and (rows := self._rows_between(start, upto, limit)):
            every = (self._read(row) for row in rows)
            matching += (news for news in every if topics is None or news.topics & topics)
            start = rows[-1].seq
        if topics is None and not matching:
            self._empty_after, self._empty_upto = after, max(upto, start)
        return matching[:limit]

    def _rows_between(self, after: int, upto: int, limit: int) -> Sequence[Row[Any]]:
        if after >= upto:
            return ()
        return self._ledger.select(self._ordered.limit(limit), {"after": after, "upto": upto})


def _handover(ledger: Ledger, row: Row[Any]) -> News:
    """Return news of a handover, or that an agent does not respond any more."""
    body = ledger.record_of(row).body or {}
    if row.kind == _PRESENCE:
        topics = frozenset({QUEUE, f"agent:{body['agent']}"}) if "agent" in body else frozenset[str]()
        return News(
            "handovers", row.seq, _PRESENCE, topics, {"agent_id": body.get("agent"), "state": body.get("state")}
        )
    agent = {f"agent:{body['agent']}"} if body.get("agent") else set[str]()
    content = {"handover_id": body.get("handover_id"), "state": body.get("state")}
    return News("handovers", row.seq, HANDOVER, frozenset({QUEUE, topic_of_subject(row.stream), *agent}), content)


def _signal(row: Row[Any]) -> News:
    """Return news that a customer did something; not what, as it may be for a purpose that they refuse."""
    return News("signals", row.seq, "signal", frozenset({topic_of_subject(row.stream)}), {})


def _body(news: News, viewer: Viewer) -> bytes | None:
    return to_json(news.content) if viewer.audience != "customer" else None
