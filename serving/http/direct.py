"""One route that is answered without the framework's routing, which takes a tenth of a decision's time."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.replies import error_reply


class DirectRoute:
    """Answers POST requests for one path; everything else is the application's.

    The application declares the same route with the same function, so that its documentation names it.
    """

    def __init__(self, app: ASGIApp, path: str, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._app, self._path, self._answer = app, path, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets a problem document)
            response = await error_reply(request, error)
        await response(scope, receive, send)
