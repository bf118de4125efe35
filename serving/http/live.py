"""Routes for events: signals in; moments, and streams of what is new, out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from decisioning.errors import BrainError, OutOfScope, RequestError
from decisioning.facts.ids import check_id
from features.moments import Delivery
from serving.access.callers import Caller, caller_of
from serving.access.doors import Access, audience_of, check_channel
from serving.access.people.requests import People, signed_in_of
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.events.feed import Viewer, Wanted, topic_of_channel, topic_of_subject
from serving.events.moments import Watcher, dead_letter_json, withheld_json
from serving.events.signals import record_body
from serving.events.streams import cursor_of, live_events
from serving.http.direct import DirectRoute
from serving.http.paths import CustomerQuery
from serving.http.replies import json_reply, problem_reply, problems, read_body
from serving.problems import BUSY

MAX_LISTED = 200
Cursor = Annotated[int, Query(ge=0, le=2**62)]
_MAX_TOPICS: Final = 50
_ANY_AGENT: Final = ("lead", "admin")
"""Who may listen to what concerns another agent than the one who signed in; and so do keys, which are of systems."""
_TOPICS: Final = "expected customer:ID, channel:NAME, agent:ID or queue"
_UNBUFFERED: Final = {"X-Accel-Buffering": "no"}
"""Has a proxy in front pass every event on at once."""
_Events = Callable[[Callable[[], bool]], AsyncGenerator[bytes]]
"""What tells whether the caller may still listen -> the events that they are sent."""
_After = Annotated[str | None, Query(max_length=500)]


class StreamCallers:
    """Tells whether those who hold streams open still may."""

    def __init__(self, access: Access | None, people: People) -> None:
        self._access, self._sessions = access, people.sign_in.listening

    @contextmanager
    def listening(self, request: Request) -> Iterator[Callable[[], bool]]:
        """Yield what tells whether a request's caller may still listen: keys and sessions are read twice a second."""
        caller, signed_in, access = caller_of(request.scope), signed_in_of(request.scope), self._access
        if signed_in is not None:
            with self._sessions.holding(signed_in):
                yield lambda: self._sessions.may_listen(signed_in)
        elif caller is not None and access is not None:
            yield lambda: access.admits(caller)
        else:
            yield lambda: True


class Seats:
    """The streams that may be open at once. One ends quietly where a store does not answer: its page comes back."""

    def __init__(self, count: int, callers: StreamCallers) -> None:
        self._free, self._callers = asyncio.Semaphore(count), callers

    def answer(self, request: Request, events: _Events) -> Response:
        """Return a stream of events, or that no seat is free."""
        if self._free.locked():
            return problem_reply(BUSY, "every seat for listening is taken")
        return StreamingResponse(self._seated(request, events), headers=_UNBUFFERED, media_type="text/event-stream")

    async def _seated(self, request: Request, events: _Events) -> AsyncIterator[bytes]:
        with self._callers.listening(request) as may_listen, suppress(BrainError):
            async with self._free, aclosing(events(may_listen)) as sent:
                async for event in sent:
                    yield event


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


def moment_routes(app: FastAPI, brain: Brain, watcher: Watcher, callers: StreamCallers) -> None:
    """Add the routes for moments, and for streams of what is new, to the application."""
    _stream_routes(app, brain, watcher, callers)
    _delivery_routes(app, brain, watcher)


def _stream_routes(app: FastAPI, brain: Brain, watcher: Watcher, callers: StreamCallers) -> None:
    seats = Seats(brain.workspace.settings.http.max_streams, callers)

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
        person = None if customer_id is None else brain.subject_stream(customer_id)
        return seats.answer(request, partial(watcher.listen, channel, person, last_event_id, _viewer(request)))

    @app.get("/v1/live", responses=problems(403, 422, 503))
    async def live(
        request: Request,
        topic: Annotated[list[str], Query(min_length=1, max_length=_MAX_TOPICS)],
        channel: Annotated[list[str] | None, Query(max_length=_MAX_TOPICS)] = None,
        after: _After = None,
        last_event_id: Annotated[str | None, Header(max_length=500)] = None,
    ) -> Response:
        """Stream what is new about several topics as server-sent events, in one connection.

        A topic is `customer:ID`, `channel:NAME`, `agent:ID` or `queue`; `channel` narrows what is decided for customers
        to some channels. Events have the topics that they are about, and `beat` says every five seconds that the stream
        is alive. `Last-Event-ID`, else `after`, is the id of the last event that was read: the stream goes on there.
        """
        names = {_topic(brain, request, asked): asked for asked in topic}
        wanted = Wanted(frozenset(names), _channels(brain, request, channel or ()))
        cursor = cursor_of(last_event_id, "Last-Event-ID") or cursor_of(after, "after")
        return seats.answer(request, partial(live_events, watcher.feed, wanted, names, cursor, _viewer(request)))


def _delivery_routes(app: FastAPI, brain: Brain, watcher: Watcher) -> None:
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


def _viewer(request: Request) -> Viewer:
    return Viewer(audience_of(request), asks_no_profiling(request))


def _topic(brain: Brain, request: Request, asked: str) -> str:
    """Return the topic that a caller names; raises RequestError for what is none, and OutOfScope for another's."""
    kind, _, name = asked.partition(":")
    scopes = TABLE.topics.get(kind)
    if scopes is None or (kind == "queue") == bool(name):
        raise RequestError("topic", _TOPICS)
    caller = caller_of(request.scope)
    if caller is not None and not caller.has_any(scopes):
        raise OutOfScope("topic", caller.needs(scopes))
    if kind == "customer":
        return topic_of_subject(brain.subject_stream(check_id("topic", name)))
    if kind == "channel":
        brain.snapshot.release.view(name)
        check_channel(request, name)
        return topic_of_channel(name)
    return kind if kind == "queue" else _topic_of_agent(caller, check_id("topic", name))


def _topic_of_agent(caller: Caller | None, agent_id: str) -> str:
    """Return the topic of what concerns an agent; raises OutOfScope for a person who may not listen to it."""
    own = caller is None or caller.kind == "key" or agent_id in {caller.id, caller.who}
    if caller is not None and not own and not caller.has_any(_ANY_AGENT):
        raise OutOfScope("topic", "you may listen to what concerns yourself; a lead may to all agents")
    return f"agent:{agent_id}"


def _channels(brain: Brain, request: Request, asked: Collection[str]) -> frozenset[str]:
    """Return the channels to which a stream is narrowed: those that are asked for, else those of the caller."""
    for channel in asked:
        brain.snapshot.release.view(channel)
        check_channel(request, channel)
    caller = caller_of(request.scope)
    return frozenset(asked or (() if caller is None else caller.channels))
