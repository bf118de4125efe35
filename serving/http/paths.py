"""Ids in paths and queries: any id may stand there, percent-encoded, and what is no id is refused as in a body."""

from collections.abc import Callable
from typing import Annotated, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from fastapi import Path, Query
from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from decisioning.errors import RequestError
from decisioning.facts.ids import BAD_FORM, MAX_ID, check_id

_UNCHANGED: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%/")


class EncodedPaths:
    """Lets routes match the segments of a path as they were sent, so that `a%2Fb` is one segment.

    The framework decodes a path before it looks for the route: `/v1/customers/x%2Fexport` would be the export of `x`.
    Other characters that need no encoding are decoded, and ids are decoded by the types below.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] == "http" and b"%" in raw:
            segments = (quote(unquote_to_bytes(segment), safe=_UNCHANGED) for segment in raw.split(b"/"))
            scope = {**scope, "path": "/".join(segments)}
        await self._app(scope, receive, send)


class UnderPath:
    """Serves an application under a path, whether a reverse proxy takes the path away from requests or leaves it."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "http":
            path, raw = self._below(scope["path"]), scope.get("raw_path")
            below = raw and self._below(raw.decode("latin-1")).encode("latin-1")
            scope = {**scope, "root_path": self._root, "path": path, "raw_path": below}
        await self._app(scope, receive, send)

    def _below(self, path: str) -> str:
        return path.removeprefix(self._root) if path.startswith(f"{self._root}/") else path


def _id_of(field: str, *, encoded: bool) -> Callable[[object], object]:
    """Return what checks and decodes an id; it raises RequestError. Bytes that are not UTF-8 are no id."""

    def checked(raw: object) -> object:
        if not isinstance(raw, str):
            return raw
        try:
            id_ = unquote(raw, errors="strict") if encoded else raw
        except UnicodeDecodeError:
            raise RequestError(field, BAD_FORM) from None
        return check_id(field, id_)

    return checked


CustomerPath = Annotated[str, BeforeValidator(_id_of("customer_id", encoded=True)), Path(max_length=MAX_ID)]
VisitorPath = Annotated[str, BeforeValidator(_id_of("visitor_id", encoded=True)), Path(max_length=MAX_ID)]
AccountPath = Annotated[str, BeforeValidator(_id_of("account_id", encoded=True)), Path(max_length=MAX_ID)]
DecisionPath = Annotated[str, BeforeValidator(_id_of("decision_id", encoded=True)), Path(max_length=MAX_ID)]
AgentPath = Annotated[str, BeforeValidator(_id_of("agent_id", encoded=True)), Path(max_length=MAX_ID)]
CustomerQuery = Annotated[str | None, BeforeValidator(_id_of("customer_id", encoded=False)), Query(max_length=MAX_ID)]
AccountQuery = Annotated[str | None, BeforeValidator(_id_of("account_id", encoded=False)), Query(max_length=MAX_ID)]
VisitorQuery = Annotated[str | None, BeforeValidator(_id_of("visitor_id", encoded=False)), Query(max_length=MAX_ID)]
