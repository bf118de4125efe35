"""The smallest application that `brain serve` can run: an empty answer, to measure the processes alone."""

from pathlib import Path
from typing import Any

from ray import serve

from serving.lifecycle.options import deployment_options
from serving.settings import Workspace

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


class _App:
    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})


@serve.ingress()
class Tiny:
    """One replica of the application."""

    def __init__(self, root: str) -> None:
        self.workspace = Workspace.open(Path(root))

    def __serve_build_asgi_app__(self) -> _App:
        return _App()


def build(args: dict[str, str]) -> serve.Application:
    """Build the application as `serving.http.app:build` does."""
    options = deployment_options(Workspace.open(Path(args["workspace"])))
    return serve.deployment(Tiny, **options).bind(args["workspace"])
