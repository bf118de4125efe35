"""What all routes share: reading bodies of limited size, replying in JSON, and problem documents for errors."""

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from decisioning.errors import RequestError
from serving.contract import request_error
from serving.customers.items import ItemsAnswer
from serving.problems import (
    BUG,
    MAX_BODY_BYTES,
    PROBLEM,
    RETRY_AFTER_S,
    TOO_LARGE,
    Problem,
    ProblemType,
    document,
    type_of,
    type_of_status,
)

JSON = "application/json"
ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {"model": Problem, "content": {PROBLEM: {}}, "description": "A problem document"}
}
"""The OpenAPI of every other error of a route; without it, the framework declares errors of its own form."""
_LOG = logging.getLogger("ray.serve")


async def read_body(request: Request) -> bytes:
    """Return the request's body; raises HTTPException 413 for one that is too large, before all of it is read."""
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


async def error_reply(_: Request, error: Exception) -> Response:
    """Return the problem document of any error; what was not raised on purpose is logged by its type and place."""
    if isinstance(error, RequestValidationError):
        return _reply_to(_parameter_error(error))
    if isinstance(error, HTTPException):
        large = error.status_code == TOO_LARGE.status
        kind = type_of_status(error.status_code)
        return problem_reply(
            kind, str(error.detail) if large else None, field="body" if large else None, headers=error.headers
        )
    return _reply_to(error)


def _reply_to(error: Exception) -> Response:
    kind = type_of(error)
    if kind is BUG:
        log_bug(error, "a request")
        return problem_reply(kind)
    field = error.field if isinstance(error, RequestError) else None
    return problem_reply(kind, str(error).partition(": ")[2] if field else str(error), field=field)


def _parameter_error(error: RequestValidationError) -> RequestError:
    """Return the first mistake in a path, a query or a header, without what was sent."""
    return request_error([{**e, "loc": e["loc"][1:]} for e in error.errors()])


def log_bug(error: Exception, where: str) -> None:
    """Log an error that nobody raised on purpose: its type and place, as its message may hold personal data."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    _LOG.error("%s at %s:%s in %s", type(error).__name__, at.filename, at.lineno, where)


def problem_reply(
    kind: ProblemType, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """Return a problem document, with a Retry-After header where a repeat may succeed."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if kind.may_be_repeated else {}
    return Response(document(kind, detail, **more), kind.status, {**retry, **(headers or {})}, media_type=PROBLEM)


class AnswersErrors:
    """Answers what an application raised and did not answer, in place of the framework's page and traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets a problem document)
            if started:
                log_bug(error, "an answer that had begun")
                raise ConnectionAbortedError("an answer was broken off") from None
            await (await error_reply(Request(scope), error))(scope, receive, send)


def json_reply(content: dict[str, Any], status: int = 200) -> Response:
    """Return a JSON response without FastAPI's serialisation."""
    return Response(to_json(content), status, media_type=JSON)


def items_reply(answer: ItemsAnswer) -> Response:
    """Return the response to a body of one statement or several."""
    return json_reply(answer.content) if answer.problem is None else problem_reply(answer.problem, **answer.content)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI of the problem documents that a route may answer, by status."""
    return {s: {"model": Problem, "content": {PROBLEM: {}}} for s in statuses}
