"""HTTP routes, without logic: parse, ask the brain, answer in bytes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from decisioning.errors import (
    BrainError,
    Conflict,
    Erased,
    Overloaded,
    Refused,
    RequestError,
    TooLate,
    Unavailable,
    Unconfirmed,
)
from decisioning.facts.forms import Ask
from features.deadlines import waiting_until
from features.ledger import SubjectKind
from serving.access.callers import maker_of
from serving.access.doors import Access, Doors, audience_of, check_fields, within_caller
from serving.access.events import SecurityEvents
from serving.access.people.cookies import Cookies
from serving.access.people.requests import People
from serving.access.people.sign_in import SignIn
from serving.access.table import TABLE
from serving.brain import explaining
from serving.brain.metrics import Metrics
from serving.brain.runtime import Brain
from serving.contract import (
    AccountPatch,
    ConsentIn,
    IdentityIn,
    Model,
    OutcomeIn,
    ProfilePatch,
    VisitorPatch,
    parse,
)
from serving.customers import erasing, exporting, identities, outcomes, recording
from serving.customers.items import answer_items
from serving.customers.rights.entering import Entering
from serving.events.moments import Watcher
from serving.http.admission import TIMEOUT_HEADER, Room, stated_until_s
from serving.http.background import Background
from serving.http.direct import DirectRoute
from serving.http.docs import docs_routes
from serving.http.document.openapi import describe_routes
from serving.http.doings.approving import approval_routes
from serving.http.doings.correcting import correction_routes
from serving.http.guard import AtTheDoors, ListedOrigins
from serving.http.listings import listing_routes
from serving.http.live import StreamCallers, asks_no_profiling, moment_routes, signal_routes
from serving.http.looking import Look, look_routes
from serving.http.operating import operation_routes
from serving.http.paths import AccountPath, CustomerPath, DecisionPath, EncodedPaths, UnderPath, VisitorPath
from serving.http.people.agents import agent_routes
from serving.http.people.handovers import handover_routes
from serving.http.people.news import people_sources
from serving.http.replies import (
    ANY_PROBLEM,
    JSON,
    AnswersErrors,
    error_reply,
    items_reply,
    json_reply,
    problem_reply,
    problems,
    read_body,
)
from serving.http.rights.links import link_routes
from serving.http.rights.requests import request_routes
from serving.pages.desk.routes import desk_routes
from serving.pages.frame import style_routes
from serving.pages.lead.routes import lead_routes
from serving.pages.me.routes import my_routes
from serving.pages.sign_in.routes import sign_in_routes
from serving.people import sent_packages
from serving.pools import LONG_BODY
from serving.problems import ERASED, UNAVAILABLE, serve_under, type_of
from serving.programs.inside import program_route

_MAYBE = "a decision may have been made, ask again with the same request_id: it was not confirmed"
Cursor = Annotated[str, Query(max_length=20)]
_DECISIONS = {
    "parameters": [
        {
            "name": TIMEOUT_HEADER,
            "in": "header",
            "schema": {"type": "number", "exclusiveMinimum": 0},
            "description": "For how many seconds the caller waits. What is not decided by then is answered 503 of type "
            "`too-late`, and nothing is decided.",
        }
    ],
}


def build_app(brain: Brain) -> FastAPI:
    """Return the ASGI application of one replica; raises Refused if a route has no line in the table of scopes."""
    watcher = Watcher(brain, people_sources(brain.ledger), partial(sent_packages.body, brain))
    http = brain.workspace.settings.http
    access = Access(brain.ledger) if http.keys == "on" else None
    events = SecurityEvents(brain.ledger)
    people = _people(brain)
    background = Background(brain, watcher, access, people.sign_in, events)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background.start(app.openapi)
        yield
        await background.stop()

    app = FastAPI(
        title="Central brain",
        version="1",
        lifespan=lifespan,
        servers=[{"url": http.root_path or "/"}],
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        responses=ANY_PROBLEM,
    )
    _answer_errors(app)
    _decision_routes(app, brain)
    _record_routes(app, brain)
    _customer_routes(app, brain)
    _visitor_routes(app, brain)
    _account_routes(app, brain)
    signal_routes(app, brain)
    moment_routes(app, brain, watcher, StreamCallers(access, people))
    listing_routes(app, brain)
    approval_routes(app, brain)
    look_routes(app, brain)
    handover_routes(app, brain)
    agent_routes(app, brain)
    correction_routes(app, brain)
    operation_routes(app, brain)
    docs_routes(app)
    style_routes(app)
    sign_in_routes(app, people)
    _own_page_routes(app, brain, people)
    program_route(app)
    _guard(app, brain, Doors(access, http.names, people, http.origins), events)
    serve_under(http.root_path)
    if http.root_path:
        app.add_middleware(UnderPath, root=http.root_path)
    return app


def _answer_errors(app: FastAPI) -> None:
    for kind in (BrainError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, error_reply)


def _people(brain: Brain) -> People:
    """Return who finds out what person makes a request; raises Refused for settings that cannot be followed."""
    http, sign_in = brain.workspace.settings.http, SignIn(brain.workspace, brain.ledger)
    secure = http.tls is not None or http.behind_proxy
    cookies = Cookies(sign_in.signer, secure=secure, root=http.root_path)
    return People(sign_in, cookies, brain.pools)


def _own_page_routes(app: FastAPI, brain: Brain, people: People) -> None:
    """Add the customer's own page, and the routes by which a company lets customers come there and answers them."""
    entering = Entering(brain.ledger, people.sign_in.signer)
    link_routes(app, brain, entering)
    request_routes(app, brain)
    my_routes(app, brain, people, entering)
    desk_routes(app, brain, people)
    lead_routes(app, brain, people)


def _guard(app: FastAPI, brain: Brain, doors: Doors, events: SecurityEvents) -> None:
    """Let every request pass the doors before a route sees it; they judge the path by which its route is found."""
    routes = [route for route in app.routes if isinstance(route, Route)]
    if missing := TABLE.missing(f"{method} {route.path}" for route in routes for method in route.methods or ()):
        raise Refused(f"serving/access/scopes.yaml has no line for {', '.join(missing)}")
    describe_routes(app)
    http = brain.workspace.settings.http
    app.add_middleware(AtTheDoors, doors=doors, metrics=brain.metrics, events=events, frames=http.frame_origins)
    if http.origins:
        app.add_middleware(ListedOrigins, origins=http.origins)
    app.add_middleware(EncodedPaths)
    app.add_middleware(AnswersErrors)


def _decision_routes(app: FastAPI, brain: Brain) -> None:
    metrics, http = brain.metrics, brain.workspace.settings.http
    room, limit_s = Room(http.max_ongoing_requests, metrics.shed), http.request_timeout_s

    @app.post("/v1/decisions", openapi_extra=_DECISIONS, responses=problems(409, 410, 413, 422, 503))
    async def decisions(request: Request) -> Response:
        """Decide what to do next for a customer."""
        started, moment_s = time.perf_counter(), stated_until_s(request)
        ask = _as_sent(await _parsed(brain, Ask, await read_body(request)), request)
        check_fields(request, "POST /v1/decisions", ask)
        audience, ask = audience_of(request, ask.detail), within_caller(request, ask)
        if ask.moment is not None:
            raise RequestError("moment", "only the brain opens a decision for a moment")
        if ask.negotiation is not None and ask.mode == "live":
            raise RequestError("negotiation", "people negotiate, by POST /v1/handovers/{handover_id}/negotiation")
        try:
            with room.place(request), waiting_until(moment_s):
                async with asyncio.timeout(None if ask.mode == "preview" else limit_s):  # a preview's pool has its own
                    answer = await brain.answer(ask, audience)
        except Erased as error:
            return problem_reply(ERASED, str(error).partition(": ")[2], field=error.field, fallbacks=_fallbacks(ask))
        except (Unavailable, Conflict, TimeoutError) as error:
            return _undecided(metrics, ask, error, limit_s)
        metrics.seconds.observe(time.perf_counter() - started)
        return Response(answer, media_type=JSON)

    app.add_middleware(DirectRoute, path="/v1/decisions", answer=decisions)

    @app.get("/v1/decisions/{decision_id}", responses=problems(404))
    async def why(request: Request, decision_id: DecisionPath, look: Look, contributions: bool = False) -> Response:
        """Explain a decision: why, or why not, for every candidate, and what would change it.

        `contributions`: also what each feature added to each score.
        """
        audience = audience_of(request)
        work = partial(explaining.explain, brain, decision_id, contributions=contributions, audience=audience)
        return await look.of_decision(brain, decision_id, work)


def _record_routes(app: FastAPI, brain: Brain) -> None:
    @app.post(
        "/v1/outcomes",
        responses=problems(404, 409, 410, 413, 422, 503),
    )
    async def outcome(request: Request) -> Response:
        """Record what the customer did, or how far a contact got: one outcome, or an array that is answered by item."""
        body, work = await read_body(request), partial(outcomes.record_outcome, brain, by=maker_of(request.scope))
        pool = brain.pools.for_body(body)
        answer = await pool.run_async(answer_items, OutcomeIn, body, work, ("recorded", "repeated"))
        brain.metrics.count_statuses(brain.metrics.outcomes, answer.content)
        return items_reply(answer)

    @app.post("/v1/consents", responses=problems(410, 413, 422, 503))
    async def consents(request: Request) -> Response:
        """Record what the customer allows, refuses, withdraws or objects to: one consent, or an array, by item."""
        body, work = await read_body(request), partial(recording.record_consent, brain, by=maker_of(request.scope))
        pool = brain.pools.consents if len(body) <= LONG_BODY else brain.pools.long
        return items_reply(await pool.run_async(answer_items, ConsentIn, body, work, ("recorded",)))

    @app.post("/v1/identities", responses=problems(404, 409, 410, 413, 422, 503))
    async def identity(request: Request) -> Response:
        """Link an identifier (a cookie, a device, a hashed address, another id) to a customer, or unlink it."""
        statement = await _parsed(brain, IdentityIn, await read_body(request))
        return json_reply(await brain.pools.short.run_async(identities.record_identity, brain, statement))


async def _parsed(brain: Brain, model: type[Model], body: bytes) -> Model:
    """Return what `parse` does, in a pool if the body is so long that this takes longer than a millisecond."""
    return parse(model, body) if len(body) <= LONG_BODY else await brain.pools.long.run(parse, model, body)


def _undecided(metrics: Metrics, ask: Ask, error: Exception, limit_s: float) -> Response:
    """Return the problem document of a decision that could not be answered, and count it."""
    metrics.failed.inc()
    kind = type_of(error) if isinstance(error, Overloaded | TooLate) else UNAVAILABLE
    if isinstance(error, TooLate):
        metrics.shed.labels("late").inc()
    return problem_reply(kind, _why_not(error, limit_s), fallbacks=_fallbacks(ask))


def _why_not(error: Exception, limit_s: float) -> str:
    """Return what is known of a decision that could not be answered."""
    if isinstance(error, Unconfirmed):
        return f"{_MAYBE} within {limit_s:g} s; what it reserved is released"
    return str(error) or f"no decision was made within {limit_s:g} s; ask again"


def _fallbacks(ask: Ask) -> dict[str, str | None]:
    """Return what each placement shows where there is no decision."""
    return {p.name: p.fallback for p in ask.placements}


def _as_sent(ask: Ask, request: Request) -> Ask:
    """Return the request with what its headers say, which the body cannot undo.

    With the browser's Global Privacy Control nobody is profiled. A decision that a program asks for discloses it.
    """
    if maker_of(request.scope) is not None:
        ask = ask.model_copy(update={"machine": True})
    if not asks_no_profiling(request):
        return ask
    return ask.model_copy(update={"context": {**ask.context, "gpc": True}})


def _customer_routes(app: FastAPI, brain: Brain) -> None:
    @app.patch("/v1/customers/{customer_id}", responses=problems(404, 410, 422))
    async def patch(customer_id: CustomerPath, request: Request) -> Response:
        """Set facts of the profile; null makes a fact unknown."""
        body = await _parsed(brain, ProfilePatch, await read_body(request))
        check_fields(request, "PATCH /v1/customers/{customer_id}", body)
        pool = brain.pools.short if body.restricted is None else brain.pools.consents
        return json_reply(await pool.run_async(recording.patch_customer, brain, customer_id, body))

    @app.get("/v1/customers/{customer_id}")
    async def customer(customer_id: CustomerPath, look: Look) -> Response:
        """Return the profile, consents, contacts and outcomes."""
        return await look.by_id(brain, "person", customer_id, partial(recording.customer, brain, customer_id))

    @app.get("/v1/customers/{customer_id}/export", responses=problems(422, 503))
    async def export(customer_id: CustomerPath, look: Look, after: Cursor = "") -> Response:
        """Export everything that is held about the customer, with consent receipts, a page at a time."""
        page = partial(exporting.export, brain, "person", customer_id, after)
        return await look.by_id(brain, "person", customer_id, page)

    @app.delete("/v1/customers/{customer_id}", responses=problems(503))
    async def erase(customer_id: CustomerPath) -> Response:
        """Erase the customer and the visitors linked to them; a tombstone keeps them from being contacted."""
        await erasing.erase(brain, "person", customer_id)
        return json_reply({"customer_id": customer_id, "erased": True})


async def _restrict(brain: Brain, kind: SubjectKind, subject_id: str, *, restricted: bool) -> None:
    """Restrict a subject, or lift it, in the room of what customers have a right to."""
    await brain.pools.consents.run_async(partial(erasing.restrict, brain, kind, subject_id, restricted=restricted))


def _visitor_routes(app: FastAPI, brain: Brain) -> None:
    @app.get("/v1/visitors/{visitor_id}/export", responses=problems(422, 503))
    async def export_visitor(visitor_id: VisitorPath, look: Look, after: Cursor = "") -> Response:
        """Export everything that is held about a visitor; other identifiers carry their kind: `cookie:abc`."""
        page = partial(exporting.export, brain, "visitor", visitor_id, after)
        return await look.by_id(brain, "visitor", visitor_id, page)

    @app.delete("/v1/visitors/{visitor_id}", responses=problems(503))
    async def erase_visitor(visitor_id: VisitorPath) -> Response:
        """Erase the visitor and undo its link to a customer; a tombstone keeps it from being contacted.

        What the customer's decisions read of it while it was theirs stays in them, and goes with the customer.
        """
        await erasing.erase(brain, "visitor", visitor_id)
        return json_reply({"visitor_id": visitor_id, "erased": True})

    @app.patch("/v1/visitors/{visitor_id}", responses=problems(404, 410, 422, 503))
    async def patch_visitor(visitor_id: VisitorPath, request: Request) -> Response:
        """Restrict the use of the visitor's data to keeping it, or lift the restriction."""
        body = await _parsed(brain, VisitorPatch, await read_body(request))
        await _restrict(brain, "visitor", visitor_id, restricted=body.restricted)
        return json_reply({"visitor_id": visitor_id, "restricted": body.restricted})


def _account_routes(app: FastAPI, brain: Brain) -> None:
    @app.get("/v1/accounts/{account_id}")
    async def account(account_id: AccountPath, look: Look) -> Response:
        """Return contacts and outcomes of an account, for actions of account scope."""
        return await look.by_id(brain, "account", account_id, partial(recording.account, brain, account_id))

    @app.get("/v1/accounts/{account_id}/export", responses=problems(422, 503))
    async def export_account(account_id: AccountPath, look: Look, after: Cursor = "") -> Response:
        """Export everything that is held about an account, a page at a time."""
        page = partial(exporting.export, brain, "account", account_id, after)
        return await look.by_id(brain, "account", account_id, page)

    @app.delete("/v1/accounts/{account_id}", responses=problems(503))
    async def erase_account(account_id: AccountPath) -> Response:
        """Erase the account, and none of its people; a tombstone keeps it from being offered anything."""
        await erasing.erase(brain, "account", account_id)
        return json_reply({"account_id": account_id, "erased": True})

    @app.patch("/v1/accounts/{account_id}", responses=problems(404, 410, 422, 503))
    async def patch_account(account_id: AccountPath, request: Request) -> Response:
        """Restrict the use of the account's data to keeping it, or lift the restriction."""
        body = await _parsed(brain, AccountPatch, await read_body(request))
        await _restrict(brain, "account", account_id, restricted=body.restricted)
        return json_reply({"account_id": account_id, "restricted": body.restricted})
