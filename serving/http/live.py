"""Routes for events: signals in, moments out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from features.moments import Delivery
from serving.access.doors import audience_of, check_channel
from serving.brain.runtime import Brain
from serving.events.moments import Watcher, dead_letter_json, withheld_json
from serving.events.signals import record_body
from serving.http.direct import DirectRoute
from serving.http.paths import CustomerQuery
from serving.http.replies import json_reply, problem_reply, problems, read_body
from serving.problems import BUSY

MAX_LISTED = 200
Cursor = Annotated[int, Query(ge=0, le=2**62)]


def signal_routes(app: FastAPI, brain: Brain) -> None:
    """Add the route for signals to the application."""

    @app.post("/v1/signals", responses=problems(409, 410, 413, 422, 503))
    async def signals(request: Request) -> Response:
        """Record what a customer did: one CloudEvent (1.0) or an array. The next decision after the answer sees it."""
        body, gpc = await read_body(request), asks_no_profiling(request)
        problem, results = await brain.pools.for_body(body).run_async(record_body, brain, body, gpc)
        brain.metrics.count_statuses(brain.metrics.signals, results)
        return json_reply(results) if problem is None else problem_reply(problem, **results)

    app.add_middleware(DirectRoute, path="/v1/signals", answer=signals)


def moment_routes(app: FastAPI, brain: Brain, watcher: Watcher) -> None:
    """Add the routes for moments to the application."""
    seats = asyncio.Semaphore(max(1, brain.workspace.settings.http.max_ongoing_requests // 2))

    @app.get("/v1/moments/stream", responses=problems(404, 503))
    async def stream(
        request: Request,
        channel: Annotated[str, Query(max_length=64)],
        customer_id: CustomerQuery = None,
        last_event_id: Annotated[int | None, Header(ge=0, le=2**62)] = None,
    ) -> Response:
        """Stream the decisions that moments open on this channel as server-sent events, for one customer or for all."""
        brain.snapshot.release.view(channel)
        check_channel(request, channel)
        if seats.locked():
            return problem_reply(BUSY, "every seat for listening is taken")
        person = None if customer_id is None else brain.subject_stream(customer_id)
        gpc, audience = asks_no_profiling(request), audience_of(request)
        events = _with_seat(seats, watcher.listen(channel, person, last_event_id, gpc=gpc, audience=audience))
        return StreamingResponse(events, media_type="text/event-stream")

    @app.get("/v1/moments/dead", responses=problems(503))
    async def dead(after: Cursor = 0) -> Response:
        """List the deliveries that were given up, a page at a time."""
        letters = await brain.pools.long.run(watcher.moments.page, "dead", after, MAX_LISTED)
        return json_reply({"dead": [dead_letter_json(d) for d in letters], "next": _next(letters)})

    @app.get("/v1/moments/withheld", responses=problems(503))
    async def withheld(after: Cursor = 0) -> Response:
        """List the deliveries that are not sent any more, by what stopped them, a page at a time."""
        stopped = await brain.pools.long.run(watcher.moments.page, "withheld", after, MAX_LISTED)
        return json_reply({"withheld": [withheld_json(d) for d in stopped], "next": _next(stopped)})


def asks_no_profiling(request: Request) -> bool:
    """Tell whether the browser sends Global Privacy Control."""
    return request.headers.get("sec-gpc") == "1"


def _next(page: Sequence[Delivery]) -> int | None:
    """Return the cursor of the page after this one, or None if this is the last."""
    return page[-1].seq if len(page) == MAX_LISTED else None


async def _with_seat(seats: asyncio.Semaphore, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the events while holding a seat.

    A stream keeps a request open, so streams may hold half of the requests and decisions keep the other half.
    """
    async with seats:
        async for event in events:
            yield event
