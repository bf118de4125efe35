"""What lies around every route: the doors before it, and headers for browsers on its answer."""

from collections.abc import Collection
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.callers import caller_of
from serving.access.doors import Doors, Refusal
from serving.access.events import SecurityEvents
from serving.access.looks import is_unrecorded
from serving.access.people.requests import new_cookie
from serving.brain.metrics import Metrics
from serving.http.replies import problem_reply
from serving.pages.desk.panel import is_of_desk, sign_in_beside
from serving.pages.frame import refused_page, wants_page
from serving.pages.sign_in.routes import to_sign_in
from serving.problems import NO_KEY, OUT_OF_SCOPE, SIGN_IN_REFUSED

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
_DOCS: Final[_Headers] = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"max-age=3600"),
)
"""Of the pages that document the routes, and hold nothing of the workspace. Their script sets styles inline."""
_PAGE: Final[_Headers] = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
)
"""Of pages without a script."""
_LIVE_PAGE: Final[_Headers] = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
)
"""Of the other pages, with the one script of our own, a static file."""
_UNFRAMED: Final = b"frame-ancestors 'none'"
_FIRST: Final = "/"
_HEADERS: Final = {"docs": _DOCS, "static": _DOCS, "sign-in": _PAGE, "sign-out": _PAGE, "me": _PAGE}
"""By the first segment of the path."""
_NOTED: Final = {kind.status: kind.name for kind in (OUT_OF_SCOPE, SIGN_IN_REFUSED)}
"""What a route answers that the doors let a request pass to: a field of its body, or a sign-in, was refused."""
_METHODS: Final = b"GET, POST, PATCH, DELETE"
_SENT: Final = (
    b"authorization, content-type, request-timeout, last-event-id, look-purpose, mcp-protocol-version, mcp-method, "
    b"mcp-name"
)


class AtTheDoors:
    """Passes on the requests that `doors` lets pass, and answers the others with a problem document.

    It also gives every answer its headers for browsers, and notes what was refused.
    """

    def __init__(
        self, app: ASGIApp, doors: Doors, metrics: Metrics, events: SecurityEvents, frames: Collection[str] = ()
    ) -> None:
        self._app, self._doors, self._metrics, self._events = app, doors, metrics, events
        self._frames = f"frame-ancestors {' '.join(frames)}".encode() if frames else _UNFRAMED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._doors.refusal(scope)
        if refusal is not None and refusal.kind is NO_KEY:
            refusal, receive = await self._doors.refusal_of_person(scope, receive, refusal)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                if is_unrecorded(scope, message["status"]):
                    raise RuntimeError("a route would show a customer, and recorded no look")
                message["headers"] = [*message["headers"], *_framed(_more_headers(scope), scope, self._frames)]
                if refusal is None and message["status"] in _NOTED:
                    self._note(scope, _NOTED[message["status"]])
            await send(message)

        if refusal is None:
            await self._app(scope, receive, guarded)
        else:
            await self._refuse(refusal, scope, receive, guarded)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        self._note(scope, refusal.kind.name)
        await _answer_to(refusal, scope)(scope, receive, send)

    def _note(self, scope: Scope, kind: str) -> None:
        caller = caller_of(scope)
        self._metrics.refused.labels(kind).inc()
        self._events.add(kind, None if caller is None else caller.id, scope["method"], scope["path"])


def _framed(headers: _Headers, scope: Scope, frames: bytes) -> _Headers:
    """Return the headers of an answer; those of the desk let the listed sites show it inside their pages."""
    if not is_of_desk(scope):
        return headers
    return tuple((name, value.replace(_UNFRAMED, frames)) for name, value in headers)


def _answer_to(refusal: Refusal, scope: Scope) -> Response:
    """Return the answer to a request that is refused: a page to a person, who may sign in, else a problem document."""
    if not wants_page(scope) or b"authorization" in dict(scope["headers"]):
        return problem_reply(refusal.kind, refusal.detail, headers=refusal.headers)
    if refusal.kind is NO_KEY:
        in_frame = is_of_desk(scope) and dict(scope["headers"]).get(b"sec-fetch-dest") == b"iframe"
        return sign_in_beside(Request(scope)) if in_frame else to_sign_in(Request(scope))
    return refused_page(Request(scope), refusal.kind.status, refusal.kind.title, refusal.detail or refusal.kind.about)


def _more_headers(scope: Scope) -> _Headers:
    """Return what the answer to a request has beside its own headers."""
    known = _DOCS if scope["path"] == _FIRST else _HEADERS.get(scope["path"].partition("/")[2].partition("/")[0])
    headers = known or (_LIVE_PAGE if wants_page(scope) else _ANSWER)
    cookie = new_cookie(scope)
    return headers if cookie is None else (*headers, (b"set-cookie", cookie.encode()))


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
