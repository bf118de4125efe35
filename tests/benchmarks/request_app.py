"""A plain Ray Serve deployment as in Ray's documentation: takes a `Request`, returns a dictionary."""

from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request

from serving.lifecycle.options import deployment_options
from serving.settings import Workspace


class Plain:
    """Reads the body as JSON and returns an empty object."""

    async def __call__(self, request: Request) -> dict[str, Any]:
        await request.json()
        return {}


def build(args: dict[str, str]) -> serve.Application:
    """Return the application with the options of `serving.http.app:build`."""
    options = deployment_options(Workspace.open(Path(args["workspace"])))
    return serve.deployment(Plain, **options).bind()
