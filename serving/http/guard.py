"""What lies around every route: the doors before it, and headers for browsers on its answer."""

from collections.abc import Collection
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.callers import caller_of
from serving.access.doors import Doors, Refusal
from serving.access.events import SecurityEvents
from serving.access.looks import is_unrecorded
from serving.brain.metrics import Metrics
from serving.http.replies import problem_reply
from serving.problems import OUT_OF_SCOPE

_Headers = tuple[tuple[bytes, bytes], ...]
_ALWAYS: Final[_Headers] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_ANSWER: Final[_Headers] = (
    *_ALWAYS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Of an answer, which may hold personal data and is no page."""
_PAGE: Final[_Headers] = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"max-age=3600"),
)
"""Of the pages that document the routes, and hold nothing of the workspace. Their script sets styles inline."""
_FIRST, _PAGES = "/", ("/docs", "/docs/")
_METHODS: Final = b"GET, POST, PATCH, DELETE"
_SENT: Final = b"authorization, content-type, request-timeout, last-event-id, look-purpose"


class AtTheDoors:
    """Passes on the requests that `doors` lets pass, and answers the others with a problem document.

    It also gives every answer its headers for browsers, and notes what was refused.
    """

    def __init__(self, app: ASGIApp, doors: Doors, metrics: Metrics, events: SecurityEvents) -> None:
        self._app, self._doors, self._metrics, self._events = app, doors, metrics, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _PAGE if scope["path"] == _FIRST or scope["path"].startswith(_PAGES) else _ANSWER
        refusal = self._doors.refusal(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                if is_unrecorded(scope, message["status"]):
                    raise RuntimeError("a route would show a customer, and recorded no look")
                message["headers"] = [*message["headers"], *headers]
                if refusal is None and message["status"] == OUT_OF_SCOPE.status:
                    self._note(scope, OUT_OF_SCOPE.name)  # by a field of its body
            await send(message)

        if refusal is None:
            await self._app(scope, receive, guarded)
        else:
            await self._refuse(refusal, scope, receive, guarded)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        self._note(scope, refusal.kind.name)
        await problem_reply(refusal.kind, refusal.detail, headers=refusal.headers)(scope, receive, send)

    def _note(self, scope: Scope, kind: str) -> None:
        caller = caller_of(scope)
        self._metrics.refused.labels(kind).inc()
        self._events.add(kind, None if caller is None else caller.id, scope["method"], scope["path"])


class ListedOrigins:
    """Lets pages of the listed sites call the server (CORS). A browser lets no other page read an answer."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app, self._origins = app, frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        origin = headers.get(b"origin")
        if origin not in self._origins:
            await self._app(scope, receive, send)
            return
        allowed = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowed, (b"access-control-expose-headers", b"retry-after")]
            await send(message)

        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            about = [(b"access-control-allow-methods", _METHODS), (b"access-control-allow-headers", _SENT)]
            await send({"type": "http.response.start", "status": 204, "headers": [*allowed, *about]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, readable)
