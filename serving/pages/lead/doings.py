"""What people did otherwise, whom they looked at and why, and what annoyed customers, as plain values."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Row, bindparam, func, select

from decisioning.times import DAY_US, iso
from features.decisions.labels import COMPLAINED
from features.ledger import Record, now_us
from features.ledger.records import CORRECTION, OVERRIDE
from features.ledger.tables import HANDOVERS, LOOKS, RECORDS
from serving.brain.runtime import Brain
from serving.customers.stated_looks import is_stated

Json = dict[str, Any]
RECENT: Final = 20_000
"""Among how many of the newest records it is looked for."""
MOST_NOTES: Final = 3
_WEEK_US: Final = 7 * DAY_US
_REFUSES: Final = frozenset(("refused", "withdrawn", "objected"))
_NEWEST: Final = select(func.max(RECORDS.c.seq).label("seq"))
_OF_KINDS: Final = (
    select(RECORDS)
    .where(
        RECORDS.c.seq > bindparam("after"),
        RECORDS.c.at_us > bindparam("since"),
        RECORDS.c.kind.in_(bindparam("kinds", expanding=True)),
        RECORDS.c.body.is_not(None),
    )
    .order_by(RECORDS.c.seq.desc())
    .limit(2_000)
)
_LOOKED: Final = (
    select(RECORDS)
    .join(LOOKS, LOOKS.c.seq == RECORDS.c.seq)
    .where(LOOKS.c.seq > bindparam("after"), RECORDS.c.body.is_not(None))
    .order_by(LOOKS.c.seq.desc())
    .limit(500)
)
_OPENED: Final = select(HANDOVERS.c.body).where(HANDOVERS.c.opened_us > bindparam("since")).limit(10_000)


def doings(brain: Brain) -> Json:
    """Return what was recorded this week, as far as it is among the newest records."""
    newest = int(brain.ledger.select(_NEWEST)[0].seq or 0)
    after, now = max(0, newest - RECENT), now_us()
    judged = _records(brain, after, now - _WEEK_US, (OVERRIDE, CORRECTION))
    looked = (brain.ledger.record_of(row) for row in brain.ledger.select(_LOOKED, {"after": after}))
    return {
        "overrides": overrides([r for r in judged if r.kind == OVERRIDE]),
        "corrections": _corrected(r.body or {} for r in judged if r.kind == CORRECTION),
        "looks": [_look(record) for record in looked if is_stated(record.body or {})],
        "annoys": annoyances(_records(brain, after, now - 2 * _WEEK_US, ("outcome", "consent")), now),
        "escalations": escalations(brain.ledger.select(_OPENED, {"since": now - DAY_US})),
        "whole": after == 0,
    }


def _corrected(bodies: Iterable[Json]) -> list[tuple[str, int]]:
    """Return how often each field of a message was corrected, without what was undone, the most frequent first."""
    every = list(bodies)
    undone = {body["undoes"] for body in every if "undoes" in body}
    kept = (b for b in every if "undoes" not in b and b["correction_id"] not in undone)
    return Counter(str(body["field"]) for body in kept).most_common()


def _records(brain: Brain, after: int, since: int, kinds: Sequence[str]) -> list[Record]:
    rows = brain.ledger.select(_OF_KINDS, {"after": after, "since": since, "kinds": list(kinds)})
    return [brain.ledger.record_of(row) for row in rows]


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


def annoyances(records: Iterable[Record], now: int) -> list[Json]:
    """Return what customers complained of or objected to this week and the week before, what rose most first.

    The unit is the customer. A complaint that was taken back later counts all the same: it was told.
    """
    weeks: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for record in records:
        if about := _annoyance(record.body or {}, record.kind):
            recent = record.at_us > now - _WEEK_US
            weeks.setdefault(about, (set(), set()))[0 if recent else 1].add(record.stream)
    rows = [
        {"kind": kind, "about": about, "now": len(this), "before": len(last)}
        for (kind, about), (this, last) in weeks.items()
        if this
    ]
    return sorted(rows, key=lambda row: (row["before"] - row["now"], row["kind"], row["about"]))


def _annoyance(body: Json, kind: str) -> tuple[str, str] | None:
    if kind == "outcome":
        return ("complained", body["action"]) if body.get("outcome") == COMPLAINED else None
    return ("objected", body["purpose"]) if body.get("status") in _REFUSES else None


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
