"""The tools under the server's own port: each sends its request to the application that it is a part of."""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from pydantic_core import from_json, to_json
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.doors import PROGRAM_HEADER
from serving.problems import MAX_BODY_BYTES
from serving.programs.tools import Ask
from serving.programs.untrusted import Json

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_PATH: Final = "/mcp"
_PASSED_ON: Final = (b"host", b"authorization", b"request-timeout", b"sec-gpc", b"look-purpose")
"""The headers of a program's request that the requests of its tools have, too."""
_ADDED: Final = ((b"content-type", b"application/json"), (PROGRAM_HEADER.encode(), b"1"))


def program_route(app: FastAPI) -> None:
    """Add the route of the tools to the application, whose own requests they send."""
    app.router.routes.append(Route(_PATH, _Tools(app), methods=["POST"]))


class _Tools:
    """Answers each request by itself: nothing is kept from one to the next, so any replica can answer any of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._manager: Callable[[Ask, int], StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if self._manager is None:
            self._manager = await run_in_threadpool(_manager)
        manager = self._manager(inside(self._app, scope), MAX_BODY_BYTES)
        async with manager.run():
            await manager.handle_request(scope, receive, send)


def _manager() -> "Callable[[Ask, int], StreamableHTTPSessionManager]":
    """Import the library when it is first needed, so that no start of a replica waits for it."""
    from serving.programs.protocol import manager_of  # noqa: PLC0415

    gc.freeze()  # a collection that walks it would be a gap of the event loop
    return manager_of


def inside(app: ASGIApp, outer: Scope) -> Ask:
    """Return what sends a program's requests to an application in this process, by whoever made the request `outer`."""
    headers = [*((name, value) for name, value in outer["headers"] if name in _PASSED_ON), *_ADDED]
    about = {name: outer.get(name) for name in ("type", "asgi", "http_version", "scheme", "client", "server")}

    async def ask(method: str, path: str, body: Json | None) -> tuple[int, Json]:
        place = {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
        return await _exchange(app, {**about, **place, "headers": headers}, b"" if body is None else to_json(body))

    return ask


async def _exchange(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, Json]:
    """Return status and JSON of the answer of an ASGI application."""
    status, parts = 0, list[bytes]()
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    answer: Json = from_json(b"".join(parts))
    return status, answer
