"""Routes of the desk. None of them is an API: forms go in, pages and parts of pages come out.

Every act is a form that works without a script. A form carries an id of its own (`once`), so that a click that is sent
twice counts once.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response

from decisioning.errors import BrainError, NotFound, WrongState
from serving.access.people.requests import People, read_form
from serving.brain.runtime import Brain
from serving.pages.desk import acts, consents, corrections, negotiation, presence, undoing
from serving.pages.desk.contents import show_conversation, show_home
from serving.pages.desk.looked import not_held, stating
from serving.pages.desk.sales import pages
from serving.pages.desk.site import DESK, Desk, Visitor, sent_to
from serving.people import handovers
from serving.people.handover_forms import HandoverStepIn

Short = Annotated[str, Query(max_length=100)]
Id = Annotated[str, Query(max_length=128)]
Fields = dict[str, str]
Act = Callable[[Desk, Visitor, str, Fields], Awaitable[str]]
"""The desk, who acts, a handover and the fields of a form -> the path of the page that follows."""
_HANDOVER: Final = f"{DESK}/{{handover_id}}"
_ASKED: Final = ("why_not", "done", "what", "once", "slots", "consent", "negotiate", "sale")
"""What the page of a conversation may be asked for."""
_LONGEST: Final = 100
_ACTS: Final[dict[str, Act]] = {
    "outcome": acts.record_answer,
    "undo": undoing.undo_click,
    "doubt": acts.keep_doubt,
    "instead": acts.do_instead,
    "correct": corrections.correct,
    "swap": negotiation.swap,
    "sell": pages.sell,
    "note": acts.keep_note,
    "stop": consents.stop_purpose,
    "grant": consents.grant_purpose,
    "transfer": acts.hand_over,
    "return": acts.give_back,
    "resolve": acts.resolve,
    "book": acts.book,
    "unanswered": acts.not_answered,
}


def desk_routes(app: FastAPI, brain: Brain, people: People) -> None:
    """Add the routes to the application."""
    desk = Desk(brain, people)
    _home_routes(app, desk)
    _conversation_routes(app, desk)
    for name, act in _ACTS.items():
        app.add_api_route(f"{_HANDOVER}/{name}", _acting(desk, act), methods=["POST"], include_in_schema=False)

    app.add_api_route(f"{_HANDOVER}/look", stating(desk), methods=["POST"], include_in_schema=False)

    @app.post(f"{_HANDOVER}/take", include_in_schema=False)
    async def take(request: Request, handover_id: str) -> Response:
        visitor = desk.visitor(request)
        try:
            step = HandoverStepIn(state="accepted", agent_id=visitor.agent)
            await desk.step(handover_id, step, visitor)
        except NotFound:
            return desk.message(request, visitor, "gone", 404)
        except BrainError as error:
            return desk.refused(request, visitor, error)
        return sent_to(request, f"{DESK}/{handover_id}")


def _home_routes(app: FastAPI, desk: Desk) -> None:
    @app.get(DESK, include_in_schema=False)
    async def home(request: Request, done: Short = "", conversation: Id = "") -> Response:
        visitor = desk.visitor(request)
        if conversation:
            return await _of_conversation(desk, request, visitor, conversation)
        return await show_home(desk, request, visitor, "desk/desk.html", done)

    @app.get(f"{DESK}/now", include_in_schema=False)
    async def home_now(request: Request) -> Response:
        visitor = desk.visitor(request)
        return await show_home(desk, request, visitor, "desk/lists.html")

    @app.post(f"{DESK}/presence", include_in_schema=False)
    async def tell(request: Request) -> Response:
        visitor = desk.visitor(request)
        try:
            fields = await read_form(request)
            await desk.brain.pools.short.run(presence.tell, desk.brain, visitor.agent, visitor.caller, fields)
        except BrainError as error:
            return desk.refused(request, visitor, error)
        return sent_to(request, DESK)

    @app.post(f"{DESK}/beat", include_in_schema=False)
    async def beat(request: Request) -> Response:
        visitor = desk.visitor(request)
        await desk.brain.pools.short.run(presence.beat, desk.brain, visitor.agent)
        return Response(status_code=204)


async def _of_conversation(desk: Desk, request: Request, visitor: Visitor, conversation: str) -> Response:
    """Return the way to the open handover of a conversation that the company's own desktop names."""
    handover = await desk.brain.pools.short.run(handovers.open_in, desk.brain, conversation)
    if handover is None:
        return desk.message(request, visitor, "gone", 404)
    if handover["agent_id"] == visitor.agent and handover["state"] != "offered":
        return sent_to(request, f"{DESK}/{handover['handover_id']}")
    return desk.page(request, visitor, "desk/found.html", handover=handover)


def _conversation_routes(app: FastAPI, desk: Desk) -> None:
    @app.get(_HANDOVER, include_in_schema=False)
    async def conversation(request: Request, handover_id: str) -> Response:
        asked = {name: request.query_params.get(name, "")[:_LONGEST] for name in _ASKED}
        return await _shown(desk, request, handover_id, "desk/handover.html", **asked)

    @app.get(f"{_HANDOVER}/now", include_in_schema=False)
    async def conversation_now(request: Request, handover_id: str, negotiate: Short = "") -> Response:
        return await _shown(desk, request, handover_id, "desk/now.html", negotiate=negotiate)


async def _shown(desk: Desk, request: Request, handover_id: str, template: str, **asked: str) -> Response:
    visitor = desk.visitor(request)
    try:
        return await show_conversation(desk, request, visitor, handover_id, template, **asked)
    except NotFound:
        return desk.message(request, visitor, "gone", 404)
    except WrongState:
        return await not_held(desk, request, visitor, handover_id)


def _acting(desk: Desk, act: Act) -> Callable[[Request, str], Awaitable[Response]]:
    """Return a route that does what an agent asks for by a form, for a conversation that they hold."""

    async def route(request: Request, handover_id: str) -> Response:
        visitor = desk.visitor(request)
        try:
            fields = await read_form(request)
            row = await desk.check_holds(visitor, handover_id)
            if act is acts.record_answer and fields.get("outcome") == "accepted":
                await desk.brain.pools.short.run(pages.check_answer, desk.brain, row, fields.get("offer_id", ""))
            path = await act(desk, visitor, handover_id, fields)
        except NotFound:
            return desk.message(request, visitor, "gone", 404)
        except BrainError as error:
            return desk.refused(request, visitor, error)
        return sent_to(request, path)

    return route
