"""The routes of handovers: open one, see it, list them, and let it go on."""

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from serving.access.callers import caller_of
from serving.access.looks import doer_of
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.http.looking import Look
from serving.http.replies import json_reply, problems, read_body
from serving.people import call_backs, handovers, lapsing, package
from serving.people.handover_forms import (
    AppointmentIn,
    CallTriedIn,
    ChoiceIn,
    HandoverIn,
    HandoverStepIn,
    NegotiationIn,
)
from serving.people.helping import negotiating

HandoverPath = Annotated[str, Path(max_length=64, pattern=r"^h-[0-9a-f]{32}$")]


def handover_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""
    _call_back_routes(app, brain)

    @app.post("/v1/handovers", responses=problems(409, 410, 413, 422, 503))
    async def open_handover(request: Request) -> Response:
        """Hand a conversation to a person. At most one handover of a conversation is open."""
        asked = parse(HandoverIn, await read_body(request))
        return json_reply(
            await brain.pools.short.run(handovers.open_handover, brain, asked, doer_of(request.scope).who)
        )

    @app.get("/v1/handovers", responses=problems(422, 503))
    async def listed(
        after: Annotated[str, Query(max_length=64)] = "",
        state: Annotated[list[str] | None, Query(max_length=8)] = None,
        lapsed: bool = False,
    ) -> Response:
        """List handovers that have not ended, those in some states, or those whose time is over, a page at a time."""
        if lapsed:
            return json_reply(await brain.pools.long.run(lapsing.lapsed, brain, after, handovers.MAX_LISTED))
        return json_reply(await brain.pools.long.run(handovers.listed, brain, after, tuple(state or ())))

    @app.get("/v1/handovers/{handover_id}", responses=problems(404, 503))
    async def show(handover_id: HandoverPath, look: Look) -> Response:
        """Show a handover and its state."""
        return await look.of_handover(brain, handover_id, partial(lapsing.show, brain, handover_id))

    @app.get("/v1/handovers/{handover_id}/package", responses=problems(403, 404, 422, 503))
    async def package_of(handover_id: HandoverPath, request: Request, look: Look) -> Response:
        """Show all that the agent needs who has the handover: who, what for, what was tried, and what to do next.

        A key reads it for the company's own system, and a person if they have the handover. A lead who does not says
        why they look, in the header `Look-Purpose`.
        """
        caller = caller_of(request.scope)
        read = partial(package.read, brain, handover_id, caller, purpose_stated=look.purpose_stated)
        return await look.of_handover(brain, handover_id, read)

    _negotiation_route(app, brain)

    @app.post("/v1/handovers/{handover_id}/steps", responses=problems(404, 409, 422, 503))
    async def step(handover_id: HandoverPath, request: Request) -> Response:
        """Offer, accept, give back, transfer, resolve or cancel a handover, or make it a call-back or a ticket."""
        asked, caller = parse(HandoverStepIn, await read_body(request)), caller_of(request.scope)
        return json_reply(await brain.pools.short.run(handovers.take_step, brain, handover_id, asked, caller))


def _negotiation_route(app: FastAPI, brain: Brain) -> None:
    @app.post("/v1/handovers/{handover_id}/negotiation", responses=problems(403, 404, 409, 410, 422, 503))
    async def negotiate(handover_id: HandoverPath, request: Request) -> Response:
        """Ask for alternatives within what is left to give to the customer, or take one in place of what is on offer.

        Every alternative passes all gates and is recorded. What is taken is held for the customer until its offer
        expires; it is given when they accept it.
        """
        asked, caller = parse(NegotiationIn, await read_body(request)), caller_of(request.scope)
        row = await brain.pools.short.run(negotiating.row_for, brain, handover_id, caller)
        by = doer_of(request.scope).who
        return json_reply(await negotiating.negotiate(brain, row, asked, by))


def _call_back_routes(app: FastAPI, brain: Brain) -> None:
    @app.get("/v1/call-backs/slots", responses=problems(404, 422, 503))
    async def slots(
        handover_id: Annotated[str, Query(max_length=64)], calendar: Annotated[str, Query(max_length=64)]
    ) -> Response:
        """List the slots of a calendar that the customer of a handover may take."""
        return json_reply(await brain.pools.long.run(call_backs.free_slots, brain, handover_id, calendar))

    @app.post("/v1/handovers/{handover_id}/appointment", responses=problems(404, 409, 422, 503))
    async def book(handover_id: HandoverPath, request: Request) -> Response:
        """Book the slot at which the customer is called back, in place of the one before."""
        asked = parse(AppointmentIn, await read_body(request))
        work = partial(call_backs.book, brain, handover_id, asked, doer_of(request.scope).who)
        return json_reply(await brain.pools.short.run(work))

    @app.post("/v1/handovers/{handover_id}/tries", responses=problems(404, 409, 422, 503))
    async def tried(handover_id: HandoverPath, request: Request) -> Response:
        """Record a call that was not answered. After the last try it is a ticket, and `rebook` says to write."""
        missed = parse(CallTriedIn, await read_body(request))
        work = partial(call_backs.tried, brain, handover_id, missed, doer_of(request.scope).who)
        return json_reply(await brain.pools.short.run(work))

    @app.post("/v1/handovers/{handover_id}/choice", responses=problems(404, 409, 422, 503))
    async def choose(handover_id: HandoverPath, request: Request) -> Response:
        """Record what a customer chose whom nobody helped in time: a call-back, a written answer, or to wait."""
        asked = parse(ChoiceIn, await read_body(request))
        work = partial(lapsing.choose, brain, handover_id, asked, doer_of(request.scope).who)
        return json_reply(await brain.pools.short.run(work))

    @app.get("/v1/call-backs/without-agent", responses=problems(503))
    async def without_agent() -> Response:
        """List call-backs that are due in five minutes, or were, and that no agent has taken."""
        return json_reply(await brain.pools.long.run(call_backs.without_agent, brain))
