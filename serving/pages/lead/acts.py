"""What a lead does by a form of the page; each act returns the name of the text that confirms it."""

from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from decisioning.errors import RequestError
from decisioning.review.approval import Person
from serving.access.callers import caller_of
from serving.access.looks import doer_of
from serving.brain.releases import pausing
from serving.brain.runtime import Brain
from serving.pages.lead import asked
from serving.people import giving

Fields = dict[str, str]
Act = Callable[[Brain, Scope, str, Fields], str]
"""The brain, the request's scope, what the act is about, and the fields of its form -> the name of a text."""


def pause(brain: Brain, scope: Scope, _: str, fields: Fields) -> str:
    """Stop offering an action."""
    caller = caller_of(scope)
    who = Person("key", ("nobody",)) if caller is None else Person(caller.kind, (caller.who,))
    pausing.pause(brain.workspace, fields.get("action", ""), who)
    brain.refresh_paused()
    return "pause-done"


def assign(brain: Brain, scope: Scope, handover_id: str, fields: Fields) -> str:
    """Offer a conversation to the agent who was chosen."""
    agent = fields.get("agent", "")
    if not agent:
        raise RequestError("agent", "choose an agent")
    return _give(brain, handover_id, agent, "offered", doer_of(scope).who, fields) or "assign-done"


def take(brain: Brain, scope: Scope, handover_id: str, fields: Fields) -> str:
    """Take a conversation over from whoever has it."""
    who = doer_of(scope).who
    return _give(brain, handover_id, who, "accepted", who, fields) or "take-done"


def _give(brain: Brain, handover_id: str, agent: str, state: giving.Given, by: str, fields: Fields) -> str:
    """Give a conversation to an agent; return the text that says why not, if another lead came first."""
    step = fields.get("step", "")
    try:
        giving.give(brain, handover_id, agent, state, by, int(step) if step.isdecimal() else None)
    except giving.ChangedMeanwhile:
        return "changed-meanwhile"
    return ""


def answer(brain: Brain, scope: Scope, number: str, fields: Fields) -> str:
    """Take a customer's request in review, or answer it."""
    state = asked.answer(brain, number, fields, caller_of(scope), doer_of(scope))
    return f"request-{state}"


ACTS: Final[dict[str, Act]] = {
    "pause": pause,
    "{handover_id}/assign": assign,
    "{handover_id}/take": take,
    "requests/{number}": answer,
}
"""The path of each act below the page's."""
