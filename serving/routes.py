"""HTTP routes, no logic: parse, ask the brain, answer in bytes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathParam
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from decisioning.decision import Ask
from decisioning.errors import (
    BrainError,
    Conflict,
    LinkedElsewhere,
    NotFound,
    Refused,
    RequestError,
    RequestReused,
    SealBroken,
    Unavailable,
)
from serving import explaining, identities, recording
from serving.contract import (
    MAX_BODY_BYTES,
    ConsentIn,
    IdentityIn,
    OutcomeIn,
    Problem,
    ProfilePatch,
    parse,
    parse_many,
    problem,
)
from serving.runtime import Brain

REFRESH_S = 0.5
"""How often a replica looks for a release or a pause; both take effect within two seconds."""
REFRESH_MODEL_S = 2.0
COMPACT_S = 600.0
"""How often what was written of profiles moves from the spool to the history files."""
JSON, PROBLEM = "application/json", "application/problem+json"
STATUS: tuple[tuple[type[BrainError], int, str], ...] = (
    (RequestReused, 409, "request_id reused"),
    (LinkedElsewhere, 409, "linked to another customer"),
    (NotFound, 404, "not found"),
    (RequestError, 422, "invalid request"),
    (Refused, 422, "refused"),
    (Conflict, 503, "busy"),
    (Unavailable, 503, "unavailable"),
    (SealBroken, 500, "not decided"),
)
SubjectPath = Annotated[str, PathParam(min_length=1, max_length=128)]


def build_app(brain: Brain) -> FastAPI:
    """The ASGI application of one replica."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_every(REFRESH_S, brain.refresh)),
            asyncio.create_task(_every(REFRESH_MODEL_S, brain.refresh_model)),
            asyncio.create_task(_every(COMPACT_S, brain.compact)),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(brain.close)

    app = FastAPI(title="Central brain", version="1", lifespan=lifespan, openapi_url="/openapi.json")
    for status in (BrainError, HTTPException):
        app.add_exception_handler(status, _handled)
    _decision_routes(app, brain)
    _customer_routes(app, brain)
    _operations(app, brain)
    return app


def _decision_routes(app: FastAPI, brain: Brain) -> None:
    metrics, deadline_s = _Metrics(), brain.workspace.settings.http.request_timeout_s
    app.state.metrics = metrics

    @app.post("/v1/decisions", openapi_extra=_body(Ask), responses=_problems(409, 413, 422, 503))
    async def decisions(request: Request) -> Response:
        """What to do next for a customer."""
        started = time.perf_counter()
        ask = parse(Ask, await _read(request))
        try:
            async with asyncio.timeout(deadline_s):
                answer = await brain.answer(ask)
        except (Unavailable, Conflict, TimeoutError) as error:
            metrics.failed.inc()
            fallbacks = {p.name: p.fallback for p in ask.placements}
            why = str(error) or f"no decision could be committed within {deadline_s:g} s"
            return _problem(503, "unavailable", why, retry=True, fallbacks=fallbacks)
        metrics.seconds.observe(time.perf_counter() - started)
        return Response(answer, media_type=JSON)

    @app.get("/v1/decisions/{decision_id}", responses=_problems(404))
    async def why(decision_id: SubjectPath) -> Response:
        """Why, and why not, for every candidate."""
        return _json(await asyncio.to_thread(explaining.explain, brain, decision_id))

    @app.post("/v1/outcomes", openapi_extra=_body(OutcomeIn, many=True), responses=_problems(404, 413, 422, 503))
    async def outcomes(request: Request) -> Response:
        """What the customer did, or how far a contact got: one or an array."""
        return _json(await recording.record_outcomes(brain, parse_many(OutcomeIn, await _read(request))))

    @app.post("/v1/consents", openapi_extra=_body(ConsentIn, many=True), responses=_problems(413, 422, 503))
    async def consents(request: Request) -> Response:
        """What the customer allows, refuses, withdraws or objects to: one or an array."""
        return _json(await recording.record_consents(brain, parse_many(ConsentIn, await _read(request))))

    @app.post("/v1/identities", openapi_extra=_body(IdentityIn), responses=_problems(404, 409, 413, 422, 503))
    async def identity(request: Request) -> Response:
        """Whether an identifier (a cookie, a device, a hashed address) is this customer's."""
        return _json(await identities.record_identity(brain, parse(IdentityIn, await _read(request))))


def _customer_routes(app: FastAPI, brain: Brain) -> None:
    @app.patch("/v1/customers/{customer_id}", openapi_extra=_body(ProfilePatch), responses=_problems(404, 422))
    async def patch(customer_id: SubjectPath, request: Request) -> Response:
        """Set facts of the profile; null makes one unknown."""
        return _json(await recording.patch_customer(brain, customer_id, parse(ProfilePatch, await _read(request))))

    @app.get("/v1/customers/{customer_id}")
    async def customer(customer_id: SubjectPath) -> Response:
        """Profile, consents, contacts and outcomes."""
        return _json(await asyncio.to_thread(recording.customer, brain, customer_id))

    @app.get("/v1/customers/{customer_id}/export")
    async def export(customer_id: SubjectPath, after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> Response:
        """Everything that is held, a page at a time."""
        return _json(await asyncio.to_thread(recording.export, brain, customer_id, after))

    @app.delete("/v1/customers/{customer_id}")
    async def erase(customer_id: SubjectPath) -> Response:
        """Forget the customer; a tombstone keeps them left alone."""
        return _json(await recording.erase(brain, customer_id))


def _operations(app: FastAPI, brain: Brain) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    @app.get("/readyz", responses=_problems(503))
    async def readyz() -> Response:
        """The ledger answers and a release is loaded."""
        await asyncio.to_thread(brain.ledger.active, brain.environment)
        snapshot = brain.snapshot
        return _json({"status": "ready", "release": snapshot.release.hash, "model": snapshot.model})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus."""
        return Response(generate_latest(app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


class _Metrics:
    """Counters of one replica; no label ever holds an id."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        buckets = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
        self.seconds = Histogram(
            "brain_decision_seconds", "Time to decide and commit", buckets=buckets, registry=self.registry
        )
        self.failed = Counter("brain_decisions_failed", "Requests answered with a fallback", registry=self.registry)


async def _read(request: Request) -> bytes:
    """The body, up to MAX_BODY_BYTES; a longer one is refused before it is held."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413, f"a body may have {MAX_BODY_BYTES} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"a body may have {MAX_BODY_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def _every(period_s: float, look: Callable[[], None]) -> None:
    """Looks again and again; while the ledger or registry cannot be reached, what was loaded goes on serving."""
    while True:
        await asyncio.sleep(period_s)
        with suppress(BrainError):
            await asyncio.to_thread(look)


async def _handled(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _problem(error.status_code, "refused", str(error.detail), field="body")
    status, title = next((s, t) for kind, s, t in STATUS if isinstance(error, kind))
    field = error.field if isinstance(error, RequestError) else None
    detail = str(error).partition(": ")[2] if field else str(error)
    return _problem(status, title, detail, field=field, retry=status == 503)


def _problem(status: int, title: str, detail: str, *, retry: bool = False, **more: Any) -> Response:
    headers = {"Retry-After": "1"} if retry else None
    return Response(problem(status, title, detail, **more), status, headers, media_type=PROBLEM)


def _json(content: dict[str, Any]) -> Response:
    return Response(to_json(content), media_type=JSON)


def _body(model: type[Any], *, many: bool = False) -> dict[str, Any]:
    """OpenAPI of a body that the route parses itself."""
    one = model.model_json_schema(ref_template="#/components/schemas/{model}")
    one = {**one, **({"$defs": one["$defs"]} if "$defs" in one else {})}
    schema = {"oneOf": [one, {"type": "array", "items": one}]} if many else one
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {s: {"model": Problem, "content": {PROBLEM: {}}} for s in statuses}
