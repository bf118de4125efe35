"""A plain Ray Serve deployment, as its own documentation writes one: `Request` in, a dictionary out."""

from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request

from serving.lifecycle.options import deployment_options
from serving.settings import Workspace


class Plain:
    """Reads the body as JSON and answers with nothing in it."""

    async def __call__(self, request: Request) -> dict[str, Any]:
        await request.json()
        return {}


def build(args: dict[str, str]) -> serve.Application:
    """As `serving.http.app:build` does it."""
    options = deployment_options(Workspace.open(Path(args["workspace"])))
    return serve.deployment(Plain, **options).bind()
