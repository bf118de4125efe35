"""What a team lead sees, as plain values. Nothing here orders agents by what came of their conversations."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from decisioning.facts.handovers import WAITS
from decisioning.times import DAY_US, iso
from features.ledger import now_us
from features.ledger.records import CORRECTION, OVERRIDE
from features.ledger.tables import LOOKS, RECORDS
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.customers.rights import asking
from serving.people import call_backs, handovers

Json = dict[str, Any]
MOST: Final = 10
"""How many of each kind are shown; the page says how many more there are."""
_RECENT: Final = 20_000
"""Among how many of the newest records overrides, corrections and looks are looked for."""
_PROMISE_S: Final = 300.0
"""After so long without a person somebody needs the lead, where no skill promises another time."""
_NEWEST: Final = select(func.max(RECORDS.c.seq).label("seq"))
_JUDGED: Final = (
    select(RECORDS)
    .where(RECORDS.c.seq > bindparam("after"), RECORDS.c.kind.in_((OVERRIDE, CORRECTION)), RECORDS.c.body.is_not(None))
    .order_by(RECORDS.c.seq.desc())
)
_LOOKED: Final = (
    select(RECORDS)
    .join(LOOKS, LOOKS.c.seq == RECORDS.c.seq)
    .where(LOOKS.c.seq > bindparam("after"), RECORDS.c.body.is_not(None))
    .order_by(LOOKS.c.seq.desc())
    .limit(500)
)


def board(brain: Brain) -> Json:
    """Return all that the page shows."""
    waiting = list(_open(brain))
    after = max(0, int(brain.ledger.select(_NEWEST)[0].seq or 0) - _RECENT)
    judged = [brain.ledger.record_of(row) for row in brain.ledger.select(_JUDGED, {"after": after})]
    late = [one for one in waiting if one["waits_s"] > _promise_s(brain, one.get("skill"))]
    return {
        "late": late,
        "first": [one for one in waiting if one.get("first") and one not in late],
        "alone": call_backs.without_agent(brain)["call_backs"],
        "due": _due_requests(brain),
        "queue": list(_by_skill(waiting)),
        "overrides": _reasons(judged),
        "corrections": _counted(r.body["field"] for r in judged if r.kind == CORRECTION and r.body),
        "looks": list(_typed(brain, after)),
        "paused": sorted(brain.ledger.paused()),
        "actions": sorted(brain.snapshot.release.actions),
    }


def _open(brain: Brain) -> Iterator[Json]:
    """Yield who waits for a person, the longest first."""
    now = now_us()
    rows = sorted(handovers.rows_in(brain, sorted(WAITS)), key=lambda row: row.waits_us)
    for row in rows:
        yield {**handovers.as_json(row), "waits_s": max(0, (now - row.waits_us) // 1_000_000)}


def _promise_s(brain: Brain, name: str | None) -> float:
    skill = brain.snapshot.release.catalogue.routing.skill(name)
    return _PROMISE_S if skill is None or skill.promise_s is None else skill.promise_s


def _by_skill(waiting: Iterable[Json]) -> Iterator[Json]:
    """Yield each skill that somebody waits for, how many, and the longest wait."""
    of: dict[str, list[int]] = {}
    for one in waiting:
        of.setdefault(one.get("skill") or "", []).append(one["waits_s"])
    for skill in sorted(of):
        yield {"skill": skill, "n": len(of[skill]), "longest_s": max(of[skill])}


def _due_requests(brain: Brain) -> list[Json]:
    """Return requests of customers that are due within a week and have no answer, the first due first."""
    soon = iso(now_us() + 7 * DAY_US)
    states = ("open", "in_review")
    listed = (one for state in states for one in asking.listed(brain, state, "")["requests"])  # type: ignore[arg-type]
    return sorted((one for one in listed if one["due_at"] < soon), key=lambda one: one["due_at"])


def _reasons(judged: Iterable[Any]) -> list[tuple[str, str, int]]:
    """Return action, reason and how often it was overridden or regretted for it, the most frequent first."""
    said = (r.body for r in judged if r.kind == OVERRIDE and r.body and r.body.get("reason"))
    counted = Counter((body["action"], body["reason"]) for body in said)
    return [(action, reason, n) for (action, reason), n in counted.most_common()]


def _counted(names: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(names).most_common()


def _typed(brain: Brain, after: int) -> Iterator[Json]:
    """Yield looks for which somebody stated a purpose of their own, the newest first."""
    defaults = {scope: name for name, purpose in TABLE.purposes.items() for scope in purpose.default_of}
    for row in brain.ledger.select(_LOOKED, {"after": after}):
        record = brain.ledger.record_of(row)
        body = record.body or {}
        if body.get("purpose") != defaults.get(body.get("role", "")):
            yield {"at": iso(record.at_us), "who": body["who"], "purpose": body["purpose"], "case": body.get("case")}
