"""Verify that the table of handovers says of each what its records amount to, and lists no other."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, exists, select

from features.ledger.checking.verification import Flaw
from features.ledger.database import Database
from features.ledger.people.rows import HANDOVER
from features.ledger.records import Bodies
from features.ledger.tables import ERASURES, HANDOVERS, RECORDS

_PAGE: Final = 500
_RECORDED = (
    select(RECORDS.c.seq, RECORDS.c.stream, RECORDS.c.body)
    .where(RECORDS.c.kind == HANDOVER, RECORDS.c.body.is_not(None), RECORDS.c.seq > bindparam("after"))
    .order_by(RECORDS.c.seq)
    .limit(_PAGE)
)
_LISTED = select(HANDOVERS).where(
    HANDOVERS.c.id > bindparam("after"),
    ~exists().where(ERASURES.c.stream == HANDOVERS.c.stream, ERASURES.c.emptied.is_(False)),
)
_UNREADABLE = (ValueError, KeyError, TypeError)


class _Last(NamedTuple):
    """What the last record of a handover says; `conversation` is what its first one says."""

    stream: str
    state: str
    step: int
    agent: str | None
    due_us: int | None
    conversation: str


def handover_flaws(database: Database, bodies: Bodies) -> Iterator[Flaw]:
    """Yield rows that are not what the records say, and recorded handovers without a row. Memory grows with them."""
    last = _last_steps(database, bodies)
    after: Any = ""
    while rows := database.fetch(_LISTED.order_by(HANDOVERS.c.id).limit(_PAGE), {"after": after}):
        for row in rows:
            said = last.pop(row.id, None)
            if said is None:
                yield Flaw(HANDOVERS.name, row.step, "there is no record of this handover")
            elif said != _Last(row.stream, row.state, row.step, row.agent, row.due_us, row.conversation):
                yield Flaw(HANDOVERS.name, row.step, "it is not the handover that is recorded")
        after = rows[-1].id
    for said in last.values():
        yield Flaw(said.stream, said.step, "the handover is recorded, and not in the table of handovers")


def _last_steps(database: Database, bodies: Bodies) -> dict[str, _Last]:
    """Return what is recorded last of every handover; one whose record cannot be read is left to its stream."""
    last: dict[str, _Last] = {}
    conversations: dict[str, str] = defaultdict(str)
    after = -(2**62)
    while rows := database.fetch(_RECORDED, {"after": after}):
        for row in rows:
            try:
                body: Mapping[str, Any] = bodies.read(row.body)
                name, step = str(body["handover_id"]), int(body["step"])
                conversations[name] = body.get("conversation_key") or conversations[name]
                said = (row.stream, body["state"], step, body.get("agent"), body.get("due_us"), conversations[name])
            except _UNREADABLE:
                continue
            if name not in last or step > last[name].step:
                last[name] = _Last(*said)
        after = rows[-1].seq
    return last
