"""Refuses what may not pass the doors, before any route sees it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.doors import Doors
from serving.brain.metrics import Metrics
from serving.http.replies import problem_reply


class AtTheDoors:
    """Passes on the requests that `doors` lets pass, and answers the others with a problem document."""

    def __init__(self, app: ASGIApp, doors: Doors, metrics: Metrics) -> None:
        self._app, self._doors, self._metrics = app, doors, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        refusal = self._doors.refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._metrics.refused.labels(refusal.kind.name).inc()
        reply = problem_reply(refusal.kind, refusal.detail, headers=refusal.headers)
        await reply(scope, receive, send)
