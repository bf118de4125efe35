"""Who waits and who works, as plain values. Nothing here orders agents by what came of their conversations."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from decisioning.facts.handovers import ENDED, FOLLOWS, WAITS, WITH_AGENT
from decisioning.routing.lapsing import promise_us
from decisioning.routing.ranking import Staff
from features.handovers.slots import last_step
from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.people import agents, call_backs, handovers
from serving.people.giving import who_may_help
from serving.people.queue import BRAIN
from serving.people.routing import staff_of

Json = dict[str, Any]
MOST: Final = 10
"""How many of each kind are shown; the page says how many more there are."""
LONGEST: Final = 3
"""How many of those who wait are named, who wait longest."""
KINDS: Final = ("lapsed", "late", "upset", "first", "alone", "ticket")
"""Why a conversation needs the lead, the most urgent first."""
AGENT_STATES: Final = ("available", "busy", "offered", "wrap_up", "break", "away", "not_responding", "off")
_OPEN: Final = sorted(set(FOLLOWS) - ENDED)
_WAITING: Final = WAITS | {"lapsed"}
_LOOKED_AT: Final = 200
"""Of how many who wait the last step is read, those who wait longest."""


def board(brain: Brain) -> Json:
    """Return what needs the lead, the queue by skill, conversations that agents have, and agents by state."""
    now = now_us()
    rows = sorted(handovers.rows_in(brain, _OPEN), key=lambda row: row.waits_us)
    needs = sorted(_needs(brain, rows, now), key=lambda one: (KINDS.index(one["kind"]), -one["waits_s"]))
    urgent = {one["handover_id"] for one in needs[:MOST]}
    return {
        "needs": list(_with_helpers(brain, needs[:MOST], {row.id: row for row in rows})),
        "more": max(0, len(needs) - MOST),
        "queue": list(_by_skill(brain, rows, now)),
        "longest": [_shown(row, now) for row in rows if row.state in _WAITING][:LONGEST],
        "held": [_shown(row, now) for row in rows if row.state in WITH_AGENT and row.id not in urgent],
        "agents": _by_state(_every_agent(brain)),
    }


def _shown(row: Any, now: int) -> Json:
    return {**handovers.as_json(row), "step": row.step, "waits_s": max(0, (now - row.waits_us) // 1_000_000)}


def _needs(brain: Brain, rows: Sequence[Any], now: int) -> Iterator[Json]:
    """Yield each conversation that needs the lead, once, with its most urgent reason."""
    alone = {one["handover_id"] for one in call_backs.without_agent(brain)["call_backs"]}
    for place, row in enumerate(rows):
        shown = _shown(row, now)
        if kind := _kind(brain, row, shown, now, reads=place < _LOOKED_AT):
            yield {**shown, "kind": kind}
        elif row.id in alone:
            yield {**shown, "kind": "alone"}


def _kind(brain: Brain, row: Any, shown: Json, now: int, *, reads: bool) -> str | None:
    """Return why somebody needs the lead; None if they do not, or have an appointment that nobody has taken."""
    if row.state == "lapsed":
        return "lapsed"
    if row.state not in WAITS:
        overdue = row.due_us is not None and row.due_us <= now and row.agent is not None
        return "lapsed" if overdue and row.state != "accepted" else "ticket" if row.state == "ticket" else None
    before = last_step(brain.ledger, row.id, row.step) if reads and row.step else {}
    if before.get("state") == "opened" and before.get("by") == BRAIN:
        return "lapsed"
    if shown["waits_s"] > promise_s(brain, shown.get("skill")):
        return "late"
    return next((kind for kind in ("upset", "first") if shown.get(kind)), None)


def promise_s(brain: Brain, name: str | None) -> float:
    """Return within which time somebody who waits for this skill is promised a person."""
    return promise_us(brain.snapshot.release.catalogue, name) / 1e6


def _with_helpers(brain: Brain, needs: Sequence[Json], rows: dict[str, Any]) -> Iterator[Json]:
    """Yield each with the agents who may help (`helpers`, by id) and who of them fits best (`best`)."""
    staff: Staff | None = None
    for one in needs:
        if staff is None:
            staff = staff_of(brain, now_us(), own=brain.snapshot.release.catalogue.routing.mode == "own")
        fit = [name for name in who_may_help(brain, rows[one["handover_id"]], staff) if name != one["agent_id"]]
        yield {**one, "helpers": sorted(fit), "best": fit[0] if fit else None}


def _by_skill(brain: Brain, rows: Iterable[Any], now: int) -> Iterator[Json]:
    """Yield each skill that somebody waits for: how many, the longest wait, what is promised, how many wait longer."""
    of: dict[str, list[int]] = {}
    for row in rows:
        if row.state in _WAITING:
            shown = _shown(row, now)
            of.setdefault(shown.get("skill") or "", []).append(shown["waits_s"])
    for skill in sorted(of):
        promise, waits = promise_s(brain, skill or None), of[skill]
        late = sum(one > promise for one in waits)
        yield {"skill": skill, "n": len(waits), "longest_s": max(waits), "promise_s": int(promise), "late": late}


def _every_agent(brain: Brain) -> Iterator[Json]:
    after: str | None = ""
    while after is not None:
        page = agents.listed(brain, after)
        yield from page["agents"]
        after = page["next"]


def _by_state(listed: Iterable[Json]) -> Json:
    """Return state -> the agents in it by id, in a fixed order of states."""
    of: dict[str, list[str]] = {state: [] for state in AGENT_STATES}
    for one in listed:
        of[one["state"]].append(one["agent_id"])
    return {state: sorted(names) for state, names in of.items() if names}
