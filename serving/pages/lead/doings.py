"""What people did otherwise, whom they looked at and why, and what annoyed customers, as plain values.

Everything is found by kind and time, so that the cost does not grow with what else is recorded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Integer, Row, bindparam, select

from decisioning.times import DAY_US, iso
from features.ledger import Record, now_us
from features.ledger.records import CORRECTION, OVERRIDE, without_undone
from features.ledger.tables import HANDOVERS, IS_COMPLAINT, LOOKS, OUTCOMES, RECORDS, SAID_BY_PEOPLE
from serving.brain.runtime import Brain
from serving.customers.stated_looks import STATED_REASONS

Json = dict[str, Any]
Annoyed = tuple[str, str, object, int]
"""What a customer did (`complained`, `objected`), about what, in which stream, and when."""
MOST_CONSENTS: Final = 20_000
"""Among how many consents of two weeks, the newest, objections are counted; an import may bring a million."""
MOST_NOTES: Final = 3
_ALL: Final = 2**31 - 1
_MOST_LOOKS: Final = 1_000
_WEEK_US: Final = 7 * DAY_US
_REFUSES: Final = frozenset(("refused", "withdrawn", "objected"))
_SAID: Final = (
    select(RECORDS)
    .where(
        *(SAID_BY_PEOPLE, RECORDS.c.kind == bindparam("kind"), RECORDS.c.at_us > bindparam("since")),
        RECORDS.c.occurred_us > bindparam("since"),
    )
    .order_by(RECORDS.c.at_us.desc())
    .limit(bindparam("most", type_=Integer))
)
"""Records of a kind of what was said since a time, the newest first, without what an import tells of before.

The cost does not grow with records of other kinds or before."""
_COMPLAINTS: Final = select(OUTCOMES.c.action, OUTCOMES.c.stream, OUTCOMES.c.at_us).where(
    IS_COMPLAINT, OUTCOMES.c.at_us > bindparam("since"), OUTCOMES.c.times > 0
)
_LOOKED: Final = (
    select(RECORDS)
    .join(LOOKS, LOOKS.c.seq == RECORDS.c.seq)
    .where(LOOKS.c.reason.in_(STATED_REASONS), LOOKS.c.at_us > bindparam("since"), RECORDS.c.body.is_not(None))
    .order_by(LOOKS.c.at_us.desc())
    .limit(_MOST_LOOKS)
)
_OPENED: Final = select(HANDOVERS.c.body).where(HANDOVERS.c.opened_us > bindparam("since")).limit(10_000)


def doings(brain: Brain) -> Json:
    """Return what was recorded this week; `whole`: of all that was."""
    now = now_us()
    week, before = now - _WEEK_US, now - 2 * _WEEK_US
    consents = _said(brain, "consent", before, MOST_CONSENTS)
    overridden, wrong = (without_undone(_said(brain, kind, week, _ALL)) for kind in (OVERRIDE, CORRECTION))
    corrected = (str((record.body or {})["field"]) for record in wrong)
    return {
        "overrides": overrides(overridden),
        "corrections": Counter(corrected).most_common(),
        "looks": [_look(brain.ledger.record_of(row)) for row in brain.ledger.select(_LOOKED, {"since": week})],
        "annoys": annoyances([*_complaints(brain, before), *_refusals(consents)], now),
        "escalations": escalations(brain.ledger.select(_OPENED, {"since": now - DAY_US})),
        "whole": len(consents) < MOST_CONSENTS,
    }


def _said(brain: Brain, kind: str, since: int, most: int) -> list[Record]:
    rows = brain.ledger.select(_SAID, {"kind": kind, "since": since, "most": most})
    return [brain.ledger.record_of(row) for row in rows if row.body is not None]


def overrides(records: Iterable[Record]) -> list[Json]:
    """Return action and reason with how often suggestions were overridden or regretted for it, the most frequent first.

    Each has its newest notes, and the streams of the customers whom these are about.
    """
    of: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        body = record.body or {}
        if body.get("reason"):
            of.setdefault((body["action"], body["reason"]), []).append(record)
    counted = sorted(of.items(), key=lambda one: (-len(one[1]), one[0]))
    return [_override(action, reason, given) for (action, reason), given in counted]


def _override(action: str, reason: str, given: Sequence[Record]) -> Json:
    noted = [record for record in given if (record.body or {}).get("note")][:MOST_NOTES]
    notes, streams = [str((r.body or {})["note"]) for r in noted], [r.stream for r in noted]
    return {"action": action, "reason": reason, "n": len(given), "notes": notes, "streams": streams}


def _complaints(brain: Brain, since: int) -> Iterator[Annoyed]:
    for row in brain.ledger.select(_COMPLAINTS, {"since": since}):
        yield "complained", row.action, row.stream, row.at_us


def _refusals(consents: Iterable[Record]) -> Iterator[Annoyed]:
    for record in consents:
        body = record.body or {}
        if body.get("status") in _REFUSES:
            yield "objected", body["purpose"], record.stream, record.counted_us


def annoyances(annoyed: Iterable[Annoyed], now: int) -> list[Json]:
    """Return what customers complained of or objected to this week and the week before, what rose most first.

    The unit is the customer.
    """
    weeks: dict[tuple[str, str], tuple[set[object], set[object]]] = {}
    for kind, about, stream, at_us in annoyed:
        recent = at_us > now - _WEEK_US
        weeks.setdefault((kind, about), (set(), set()))[0 if recent else 1].add(stream)
    rows = [
        {"kind": kind, "about": about, "now": len(this), "before": len(last)}
        for (kind, about), (this, last) in weeks.items()
        if this
    ]
    return sorted(rows, key=lambda row: (row["before"] - row["now"], row["kind"], row["about"]))


def escalations(rows: Iterable[Row[Any]]) -> list[tuple[str, str, int]]:
    """Return why customers were handed to a person and of which kind, within a day, the most frequent first."""
    bodies = (from_json(row.body) for row in rows)
    return [
        (reason, kind, n)
        for (reason, kind), n in Counter((b["reason"], b.get("kind") or "") for b in bodies).most_common()
    ]


def _look(record: Record) -> Json:
    body = record.body or {}
    return {"at": iso(record.at_us), **{name: body.get(name) for name in ("who", "role", "purpose", "case")}}


def streams_in(recorded: Json) -> Iterator[str]:
    """Yield the streams of the customers whom notes are about."""
    for one in recorded["overrides"]:
        yield from one["streams"]
