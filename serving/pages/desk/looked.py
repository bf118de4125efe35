"""What people see of a customer whom they do not help now: after they stated why, for an hour, and to read only."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from fastapi import Request, Response

from decisioning.catalogue.policies import reason_in
from decisioning.errors import BrainError, NotFound, RequestError, TooOften
from decisioning.facts.handovers import ENDED, WAITS
from serving.access.looks import doer_of, looker_of, note_recorded
from serving.access.people.requests import read_form
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.customers.stated_looks import CASE, MOST_AN_HOUR, STATED_PURPOSES, state_look, stated_purpose
from serving.pages.desk.site import DESK, Desk, Visitor, sent_to
from serving.pages.desk.view import consents_of, doings, own_standing
from serving.pages.desk.words import ago, words
from serving.people import handovers

Json = dict[str, Any]
_NEEDS_CASE: Final = tuple(name for name in STATED_PURPOSES if TABLE.purposes[name].needs_case)


async def not_held(desk: Desk, request: Request, visitor: Visitor, handover_id: str) -> Response:
    """Return what a person sees of a conversation that they do not hold: the form that asks why, or what they may read.

    Raises NotFound.
    """
    row = await desk.brain.pools.short.run(handovers.row_of, desk.brain, handover_id)
    who = doer_of(request.scope).who
    purpose = await desk.brain.pools.short.run(stated_purpose, desk.brain, who, row.stream)
    t = words(desk.language(request))
    if purpose is None:
        names = [(name, t[f"purpose-{name}"], name in _NEEDS_CASE) for name in STATED_PURPOSES]
        leads = visitor.caller is not None and visitor.caller.has_any(("lead",))
        act = "lead" if leads and row.state not in ENDED else "desk" if row.state in WAITS else ""
        about = {"t": t, "handover_id": handover_id, "take": act, "purposes": names, "most": MOST_AN_HOUR}
        return desk.page(request, visitor, "desk/look.html", 403, **about)
    shown = await desk.brain.pools.long.run(_read, desk, request, row)
    note_recorded(request.scope)  # it was, when the purpose was stated
    return desk.page(request, visitor, "desk/looked.html", t=t, purpose=_in_words(t, purpose), **shown)


def _in_words(t: dict[str, str], purpose: str) -> str:
    name, _, case = purpose.partition(" ")
    return f"{t[f'purpose-{name}']} {case}".strip()


def _read(desk: Desk, request: Request, row: Any) -> Json:
    brain, lang = desk.brain, desk.language(request)
    handover, release = handovers.as_json(row), brain.snapshot.release
    return {
        "handover": {**handover, "reason": reason_in(release.catalogue.emotion, handover["reason"], lang)},
        "who": handover.get("customer_id") or handover.get("visitor_id"),
        "waits": ago(handover["opened_at"], lang),
        "doings": [{"kind": one.kind, "ago": ago(one.ago_s, lang)} for one in doings(brain, row)],
        "consents": list(consents_of(release, own_standing(brain, row.stream))),
        "notes": handovers.notes(brain, row.id),
    }


def stating(desk: Desk) -> Callable[[Request, str], Awaitable[Response]]:
    """Return the route by which a person states why they look at a customer."""

    async def route(request: Request, handover_id: str) -> Response:
        visitor = desk.visitor(request)
        try:
            fields = await read_form(request)
            looker = replace(looker_of(request.scope, _stated(fields)), what="handover")
            await desk.brain.pools.short.run(partial(_state, desk.brain, looker, handover_id))
        except NotFound:
            return desk.message(request, visitor, "gone", 404)
        except TooOften as error:
            t = words(desk.language(request))
            return desk.page(request, visitor, "desk/message.html", 429, title=t["refused"], text=f"{error}.")
        except BrainError as error:
            return desk.refused(request, visitor, error)
        return sent_to(request, f"{DESK}/{handover_id}")

    return route


def _state(brain: Brain, looker: Any, handover_id: str) -> None:
    row = handovers.row_of(brain, handover_id)
    shown = handovers.as_json(row)
    ids: dict[str, str] = {name: shown[name] for name in ("customer_id", "visitor_id") if name in shown}
    state_look(brain, looker, row.stream, ids)


def _stated(fields: dict[str, str]) -> str:
    """Return the purpose that a form states, as the header of a program would."""
    purpose, case = fields.get("purpose", ""), fields.get("case", "").strip()
    if purpose not in STATED_PURPOSES:
        raise RequestError("purpose", f"expected one of: {', '.join(STATED_PURPOSES)}")
    if purpose not in _NEEDS_CASE:
        return purpose
    if CASE.fullmatch(case) is None:
        raise RequestError("case", f"for {purpose}, type the number of the case: at most twelve digits")
    return f"{purpose} {case}"
