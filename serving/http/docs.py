"""The first page, and the page that documents the routes, with scripts of this server alone."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from decisioning.errors import NotFound
from serving.pages.frame import page

_FILES: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""What `fastapi-offline` brings of Swagger UI, and its media types."""
_START: Final = """SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null,
  onComplete: () => document.getElementById("servers")?.setAttribute("aria-label", "Server")})
"""
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Central brain</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<main id="docs"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""


def docs_routes(app: FastAPI) -> None:
    """Add the pages and their scripts to the application; addresses in it are relative, so it works below any path."""
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "static"

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def first(request: Request) -> Response:
        return page("first.html", request)

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> Response:
        return Response(_PAGE, media_type="text/html")

    @app.get("/docs/{name}", include_in_schema=False)
    async def script(name: str) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        if name not in _FILES:
            raise NotFound("name", "the page has no such file")
        return Response(await run_in_threadpool((folder / name).read_bytes), media_type=_FILES[name])
