"""What all routes share: reading bodies of limited size, replying in JSON, and problem documents for errors."""

from typing import Any

from fastapi import Request, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

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
from serving.contract import MAX_BODY_BYTES, Problem, problem

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


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the request's body; raises HTTPException 413 for more than `max_bytes`, before all of it is read."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise HTTPException(413, f"a body may have {max_bytes} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise HTTPException(413, f"a body may have {max_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def error_reply(_: Request, error: Exception) -> Response:
    """Return the problem document of an error, with its HTTP status from STATUS."""
    if isinstance(error, HTTPException):
        return problem_reply(error.status_code, "refused", str(error.detail), field="body")
    status, title = next((s, t) for kind, s, t in STATUS if isinstance(error, kind))
    field = error.field if isinstance(error, RequestError) else None
    detail = str(error).partition(": ")[2] if field else str(error)
    return problem_reply(status, title, detail, field=field, retry=status == 503)


def problem_reply(status: int, title: str, detail: str, *, retry: bool = False, **more: Any) -> Response:
    """Return a problem document; `retry` adds a Retry-After header of one second."""
    headers = {"Retry-After": "1"} if retry else None
    return Response(problem(status, title, detail, **more), status, headers, media_type=PROBLEM)


def json_reply(content: dict[str, Any], status: int = 200) -> Response:
    """Return a JSON response without FastAPI's serialisation."""
    return Response(to_json(content), status, media_type=JSON)


def body_schema(model: type[Any], *, many: bool = False) -> dict[str, Any]:
    """Return the OpenAPI of a body that the route parses itself; `many`: one object or an array."""
    item = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema = {"oneOf": [item, {"type": "array", "items": item}]} if many else item
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI of the problem documents that a route may answer, by status."""
    return {s: {"model": Problem, "content": {PROBLEM: {}}} for s in statuses}
