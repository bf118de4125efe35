"""What pages share that are answered over HTTP: how they are answered, and their style."""

import gzip
from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.types import Scope

from decisioning.errors import NotFound
from serving.pages.templates import FOLDER, PART_SCRIPT, SCRIPT, STYLE, render

_FILES: Final = {STYLE: "text/css", **dict.fromkeys((SCRIPT, PART_SCRIPT), "text/javascript")}
HTML: Final = "text/html; charset=utf-8"
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Where a page is asked for that is compressed: by a page of ours or by the person. A page of another site may choose a
part of the address, and learn from the lengths of compressed pages what else is on them (breachattack.com)."""
_PLAIN: Final = {"vary": "accept-encoding, sec-fetch-site"}
_ZIPPED: Final = {**_PLAIN, "content-encoding": "gzip"}


def page(template: str, request: Request, status: int = 200, **about: Any) -> Response:
    """Return a page: a template below this folder, which gets `about`. All that is put into it is escaped."""
    up = "../" * (request.scope["path"].count("/") - 1)
    content = render(template, up=up, **about).encode()
    if _takes_gzip(request) and request.headers.get("sec-fetch-site") in _OWN_SITES:
        return Response(_zipped(content), status, _ZIPPED, HTML)
    return Response(content, status, _PLAIN, HTML)


def refused_page(request: Request, status: int, title: str, detail: str) -> Response:
    """Return the page that says why a person does not get what they asked for."""
    return page("refused.html", request, status, title=_sentence(title), detail=f"{_sentence(detail).rstrip('.')}.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def wants_page(scope: Scope) -> bool:
    """Tell whether a browser asks for a page, and not a program or a script of a page for data."""
    return not scope["path"].startswith("/v1/") and b"text/html" in dict(scope["headers"]).get(b"accept", b"")


def style_routes(app: FastAPI) -> None:
    """Add the style and the script of pages to the application."""

    @app.get("/static/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        if name not in _FILES:
            raise NotFound("name", "there is no such file")
        zipped = _takes_gzip(request)
        return Response(_content(name, zipped), 200, _ZIPPED if zipped else _PLAIN, _FILES[name])


@cache
def _content(name: str, zipped: bool) -> bytes:
    content = (FOLDER / name).read_bytes()
    return _zipped(content) if zipped else content


def _takes_gzip(request: Request) -> bool:
    """Tell whether a browser takes what is compressed by gzip, which all of today's do."""
    return "gzip" in request.headers.get("accept-encoding", "")


def _zipped(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)
