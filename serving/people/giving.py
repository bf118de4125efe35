"""How a lead gives a conversation to somebody, whoever has it: offered to an agent, or taken over."""

from contextlib import suppress
from typing import Any, Literal

from decisioning.errors import Conflict, Unavailable, WrongState
from decisioning.facts.handovers import WITH_AGENT, after
from decisioning.routing.opening import step_body
from decisioning.routing.ranking import Staff, rank
from decisioning.routing.staffing import waiting_of
from decisioning.times import microseconds
from features.handovers.slots import step_entry
from features.ledger import now_us
from serving.brain.runtime import ATTEMPTS, Brain
from serving.people.handover_forms import HandoverStepIn
from serving.people.handovers import (
    Json,
    about_now,
    append_step,
    as_json,
    assignments,
    offered_until,
    opened,
    row_of,
    show,
)

Given = Literal["offered", "accepted"]


class ChangedMeanwhile(WrongState):
    """Somebody decided by a state that has passed; nothing was done."""


def who_may_help(brain: Brain, row: Any, staff: Staff) -> list[str]:
    """Return the agents who may help one who waits, who fits best first."""
    voice = brain.snapshot.release.catalogue.routing.voice
    waiting = waiting_of(row.id, row.waits_us, about_now(brain.ledger, row), voice)
    return [one.agent for one in rank(waiting, staff).ranked]


def give(brain: Brain, handover_id: str, agent: str, state: Given, by: str, seen: int | None = None) -> Json:
    """Offer a conversation to an agent, or let them have it, and return it; the same again changes nothing.

    Whoever has it now loses it in the same transaction, so nobody else comes between.

    :param by: who gives it
    :param seen: the step at which they saw it; None: whatever happened since
    :raises WrongState: it has ended, or the agent may not take it
    :raises ChangedMeanwhile: it went on since the step that was seen
    """
    for _ in range(ATTEMPTS):
        row = row_of(brain, handover_id)
        if (row.state, row.agent) == (state, agent):
            return as_json(row)
        if seen is not None and row.step != seen:
            raise ChangedMeanwhile("handover_id", "somebody else let it go on meanwhile: look again")
        with suppress(Conflict):
            _append(brain, row, agent, state, by)
            brain.news.ring()
            brain.routed.ring()
            return show(brain, handover_id)
    raise Unavailable("other requests for this handover kept coming first; try again")


def _append(brain: Brain, row: Any, agent: str, state: Given, by: str) -> None:
    due_at = None
    if state == "offered":
        due_at = offered_until(brain, now_us())
    if row.state in WITH_AGENT:
        _append_both(brain, row, HandoverStepIn(state=state, agent_id=agent, due_at=due_at), by)
    else:
        append_step(brain, row, HandoverStepIn(state=state, agent_id=agent, due_at=due_at), by)


def _append_both(brain: Brain, row: Any, step: HandoverStepIn, by: str) -> None:
    """Append that somebody gives a conversation back and that another gets it, as one."""
    standing, handover = opened(brain, row, f"it cannot become {step.state}")
    about = about_now(brain.ledger, row)
    due_us = about.get("due_us") if step.due_at is None else microseconds(step.due_at)
    back = step_body(handover, "opened", by, reason="given on by the lead", due_us=about.get("due_us"))
    (waiting,) = (h for h in after(standing.handovers, back) if h.id == row.id)
    given = step_body(waiting, step.state, by, step.agent_id, due_us=due_us)
    entries = [step_entry(row.stream, body, standing.version) for body in (back, given)]
    brain.ledger.append([*entries, *assignments(brain, handover, about, step.state, step.agent_id)])
