"""The routes of agents, of what is told of them, and of who should help whom."""

import asyncio
from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response

from decisioning.errors import Overloaded, Unavailable
from serving.access.callers import caller_of
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.customers import erasing
from serving.customers.items import ItemResult, answer_items
from serving.http.paths import AgentPath
from serving.http.replies import items_reply, json_reply, problems, read_body
from serving.people import agent_events, agents, routing
from serving.people.forms import AgentEventIn, AgentIn, RoutingIn

ADVICE_S: Final = 0.09
"""Within which time `POST /v1/routing` answers, whatever happens; with the way of the answer 100 ms at most."""


def agent_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""

    @app.put("/v1/agents/{agent_id}", responses=problems(410, 413, 422, 503))
    async def put_agent(agent_id: AgentPath, request: Request) -> Response:
        """State what an agent can do: languages, skills, training, capacity and shift."""
        asked = parse(AgentIn, await read_body(request))
        return json_reply(await brain.pools.short.run(agents.put, brain, agent_id, asked))

    @app.get("/v1/agents", responses=problems(422, 503))
    async def listed(after: Annotated[str, Query(max_length=128)] = "") -> Response:
        """List agents by id, a page at a time, and what each does now."""
        return json_reply(await brain.pools.long.run(agents.listed, brain, after))

    @app.get("/v1/agents/{agent_id}", responses=problems(403, 404, 503))
    async def show(agent_id: AgentPath, request: Request) -> Response:
        """Show what is held of an agent, and why they get whom they get. Agents see themselves, leads all."""
        return json_reply(await brain.pools.long.run(agents.show, brain, agent_id, caller_of(request.scope)))

    @app.get("/v1/agents/{agent_id}/export", responses=problems(403, 404, 422, 503))
    async def export(
        agent_id: AgentPath, request: Request, after: Annotated[int, Query(ge=0, le=2**62)] = 0
    ) -> Response:
        """Export everything that is held of an agent, a page of records at a time."""
        work = partial(agents.export, brain, agent_id, after, caller_of(request.scope))
        return json_reply(await brain.pools.long.run(work))

    @app.delete("/v1/agents/{agent_id}", responses=problems(404, 503))
    async def erase(agent_id: AgentPath) -> Response:
        """Erase an agent; what they hold waits for others."""
        stream = await brain.pools.consents.run(agents.give_back, brain, agent_id)
        await erasing.erase_stream(brain, stream)
        brain.routed.ring()
        return json_reply({"agent_id": agent_id, "erased": True})

    _told_routes(app, brain)


def _told_routes(app: FastAPI, brain: Brain) -> None:
    @app.post("/v1/agent-events", responses=problems(409, 413, 422, 503))
    async def told(request: Request) -> Response:
        """Tell what agents do and how long queues are: one CloudEvent (1.0) or an array, each late or repeated."""
        body, caller = await read_body(request), caller_of(request.scope)

        async def record(event: AgentEventIn) -> ItemResult:
            return ItemResult(agent_events.record(brain, event, caller))

        pool = brain.pools.for_body(body)
        return items_reply(await pool.run_async(answer_items, AgentEventIn, body, record, ("recorded", "repeated")))

    @app.post("/v1/routing", responses=problems(404, 413, 422))
    async def advise(request: Request) -> Response:
        """Rank agents for one who waits, with reasons, within 100 ms. Without advice in time your own order holds."""
        asked = parse(RoutingIn, await read_body(request))
        try:
            async with asyncio.timeout(ADVICE_S):
                return json_reply(await brain.pools.short.run(routing.advise, brain, asked))
        except (TimeoutError, Unavailable, Overloaded):
            return json_reply(routing.LATE)
