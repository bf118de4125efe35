"""Count what is held about a person or a visitor, wherever it is kept."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import BindParameter, Table, bindparam, func, literal, select

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
    return {
        "records": _count(brain, RECORDS, streams, with_body=True),
        "facts": sum(len(stored.raw) for stored in profiles.read(streams, now_us=now_us())),
        "statements": sum(len(profiles.archive.statements_of(one)) for one in streams),
        "signals": _count(brain, SIGNALS, streams),
        "signal_states": _count(brain, SIGNAL_STATES, streams, with_body=True),
        "moments": sum(_count(brain, table, streams) for table in (WATCHES, FIRED, PRIVACY_CONTROLS, DELIVERIES)),
        "looks": _count(brain, LOOKS, streams),
        "words": _count(brain, CONVERSATION_WORDS, streams),
        "other_identifiers": len(streams) - 1,
    }


def _count(brain: Brain, table: Table, streams: Sequence[str], *, with_body: bool = False) -> int:
    """Return how many rows are about the streams, without tombstones."""
    statement = select(func.count().label("n")).select_from(table).where(table.c.stream.in_(_AMONG))
    if with_body:
        statement = statement.where(table.c.body.is_not(None))
    if table is SIGNALS:
        statement = statement.where(table.c.type != EMPTIED)
    if table is RECORDS:  # an erasure leaves zeros in SQLite
        not_zeros = func.substr(table.c.body, 1, 1) != literal(b"\0", Bytes())
        statement = statement.where(table.c.kind != "tombstone", not_zeros)
    return int(brain.ledger.select(statement, {"streams": streams})[0].n)
