"""`brain mcp`: the tools for a program that starts the command and talks with it over its standard streams.

They send their requests to the running server over HTTP.
"""

import http.client
import json
import os
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from decisioning.errors import Refused
from serving.access.doors import PROGRAM_HEADER
from serving.access.files import read_key
from serving.access.keys import is_key_text
from serving.access.tls import unverified
from serving.lifecycle.runs import running_url
from serving.problems import UNAVAILABLE, document
from serving.programs.tools import Ask
from serving.programs.untrusted import Json
from serving.settings import Workspace

KEY_VARIABLE: Final = "BRAIN_KEY"
_SCOPE: Final = "agent"
_PATIENCE_S: Final = 30


def serve_tools(workspace: Workspace, key_file: Path | None) -> None:
    """Answer a program over standard input and output until it closes them, by the server that runs for a workspace.

    The key is that in `key_file`, else the environment's, else the workspace's own of the scope `agent`. Raises Refused
    if there is none, or no server.
    """
    ask = over_http(running_url(workspace), _key(workspace, key_file))
    from serving.programs.protocol import serve_stdio  # noqa: PLC0415  it takes half a second to import

    anyio.run(serve_stdio, ask)


def _key(workspace: Workspace, key_file: Path | None) -> str:
    if key_file is not None:
        return read_key(key_file, _SCOPE)
    stated = os.environ.get(KEY_VARIABLE)
    if stated is None:
        return read_key(workspace.keys / _SCOPE, _SCOPE)
    if not is_key_text(stated):
        raise Refused(f"the environment variable {KEY_VARIABLE} holds no key; make one with `brain key create`")
    return stated


def over_http(url: str, key: str) -> Ask:
    """Return what sends a program's requests to the server at `url`, with a key."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", PROGRAM_HEADER: "1"}

    async def ask(method: str, path: str, body: Json | None) -> tuple[int, Json]:
        return await anyio.to_thread.run_sync(partial(_exchange, url, method, path, body, headers))

    return ask


def _exchange(url: str, method: str, path: str, body: Json | None, headers: dict[str, str]) -> tuple[int, Json]:
    """Return status and JSON of an answer; of a server that gives none, a problem document says so."""
    connection = _connection(url)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer: Json = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        away = document(UNAVAILABLE, f"the server at {url} gives no answer; see whether `brain serve` runs")
        return UNAVAILABLE.status, json.loads(away)
    finally:
        connection.close()
    return response.status, answer


def _connection(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port
    if place.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=unverified())
    return http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
