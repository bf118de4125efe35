"""The smallest application that `brain serve` can run: what the process side is tested with."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from ray import serve

from serving.lifecycle.options import deployment_options
from serving.settings import Workspace


class _App:
    """`/`: empty. `/pid`: whose. `/sleep`: 50 ms idle. `/burn`: 2 ms of the core. `/exit`: the replica ends."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        path = scope["path"]
        if path == "/sleep":
            await asyncio.sleep(0.05)
        elif path == "/burn":
            end = time.perf_counter() + 0.002
            while time.perf_counter() < end:
                pass
        elif path == "/exit":
            os._exit(1)
        body = json.dumps({"pid": os.getpid()}).encode() if path == "/pid" else b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@serve.ingress()
class Tiny:
    """One replica of it."""

    def __init__(self, root: str) -> None:
        self.workspace = Workspace.open(Path(root))

    def __serve_build_asgi_app__(self) -> _App:
        return _App()


def build(args: dict[str, str]) -> serve.Application:
    """As `serving.app:build` does it."""
    workspace = Workspace.open(Path(args["workspace"]))
    return serve.deployment(Tiny, **deployment_options(workspace)).bind(args["workspace"])
