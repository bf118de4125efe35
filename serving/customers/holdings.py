"""Count what is held about a person or a visitor, wherever it is kept."""

from functools import partial
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, Table, bindparam, func, literal, select, union_all

from decisioning.facts.standing_rules import NO_PAST
from features.ledger import SubjectKind, now_us
from features.ledger.links import streams_of
from features.ledger.tables import (
    CONVERSATION_WORDS,
    DELIVERIES,
    EMPTIED,
    FIRED,
    LOOKS,
    PRIVACY_CONTROLS,
    RECORDS,
    SIGNAL_STATES,
    SIGNALS,
    WATCHES,
    Bytes,
)
from serving.brain.runtime import Brain

_HELD: Final = (
    *("records", "facts", "statements", "signals", "signal_states", "moments", "looks", "words"),
    "other_identifiers",
)
_AMONG: BindParameter[Any] = bindparam("streams", expanding=True)


def holdings(brain: Brain, kind: SubjectKind, subject_id: str) -> dict[str, int]:
    """Return how much is held about a subject under all their identifiers, by kind of data.

    `records` are those of the ledger that still have a body, `facts` and `statements` the profile and its history,
    `signals` events, and `signal_states` what was computed from them, `looks` who looked at the subject.
    `words`: what was said in open conversations. `other_identifiers`: linked visitors and joined customers.
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    streams = streams_of(stream, partial(brain.ledger.read, rules=NO_PAST), brain.ledger.select)
    profiles = brain.snapshot.profiles
    counted = dict.fromkeys(_COUNTED, 0)
    for row in brain.ledger.select(_COUNTS, {"streams": streams}):
        counted[row.held] += int(row.n)
    others = {
        "facts": sum(len(stored.raw) for stored in profiles.read(streams, now_us=now_us())),
        "statements": sum(profiles.archive.count_of(one) for one in streams),
        "other_identifiers": len(streams) - 1,
    }
    return {name: {**counted, **others}[name] for name in _HELD}


def _count(held: str, table: Table) -> Select[str, int]:
    """Return the statement that counts how many rows are about the streams, without tombstones."""
    conditions: list[ColumnElement[bool]] = [table.c.stream.in_(_AMONG)]
    if table in (RECORDS, SIGNAL_STATES):
        conditions.append(table.c.body.is_not(None))
    if table is SIGNALS:
        conditions.append(table.c.type != EMPTIED)
    if table is RECORDS:  # an erasure leaves zeros in SQLite
        not_zeros = func.substr(table.c.body, 1, 1) != literal(b"\0", Bytes())
        conditions += [table.c.kind != "tombstone", not_zeros]
    return select(literal(held).label("held"), func.count().label("n")).where(*conditions)


_COUNTED: Final[dict[str, tuple[Table, ...]]] = {
    "records": (RECORDS,),
    "signals": (SIGNALS,),
    "signal_states": (SIGNAL_STATES,),
    "moments": (WATCHES, FIRED, PRIVACY_CONTROLS, DELIVERIES),
    "looks": (LOOKS,),
    "words": (CONVERSATION_WORDS,),
}
"""What is counted in the database, and in which tables."""
_COUNTS: Final = union_all(*(_count(held, table) for held, tables in _COUNTED.items() for table in tables))
