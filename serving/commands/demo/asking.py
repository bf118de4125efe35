"""How the demo asks the server that it runs beside: over HTTP, with the workspace's keys, like any other system."""

import json
from collections.abc import Callable
from typing import Any, Final

from decisioning.errors import Refused
from serving.access.files import read_key_file
from serving.commands.showing import Requests
from serving.lifecycle.runs import RECORD
from serving.settings import Workspace

Json = dict[str, Any]
Send = Callable[[str, str, str, Json | None], Json]
"""A scope, a method, a path and a body -> the answer; raises Refused for an answer that is a problem."""
_NOBODY: Final = "no server of {} answers: run `make demo` in another terminal first"


def server_address(workspace: Workspace) -> str:
    """Return where the workspace is served now, without a slash at its end; raises Refused if it is not."""
    try:
        return str(json.loads((workspace.run / RECORD).read_text())["url"])
    except (OSError, ValueError, KeyError):
        raise Refused(_NOBODY.format(workspace.root)) from None


def sender(workspace: Workspace, address: str) -> Send:
    """Return a function that asks a server with the workspace's keys."""

    def send(scope: str, method: str, path: str, body: Json | None = None) -> Json:
        try:
            answer = Requests(address, read_key_file(workspace, scope))(method, path, body)
        except OSError:
            raise Refused(_NOBODY.format(workspace.root)) from None
        return checked(answer, f"{method} {path}")

    return send


def checked(answer: Json, asked: str) -> Json:
    """Return an answer as it is; raises Refused for one that is a problem document."""
    if "title" in answer and "status" in answer and str(answer.get("type", "")).startswith("/problems/"):
        raise Refused(f"{asked}: {answer.get('detail') or answer['title']}")
    return answer
