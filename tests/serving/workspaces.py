"""Workspaces for tests: made, released and used as a user would, without a server."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json, to_json

from serving.access.files import ensure_keys, read_key_file
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.events.moments import Watcher
from serving.http.routes import build_app
from serving.settings import Workspace

SMALL = Path(__file__).parents[1] / "catalogues" / "small"
Json = dict[str, Any]


def small_workspace(root: Path, more: str = "", database: str | None = None) -> Workspace:
    """Return a released workspace with the small catalogue, without exploration: the best offer is shown.

    :param more: what another file of the catalogue holds
    :param database: the url of a new database of a server, in place of a file
    """
    releasing.new(root)
    if database is not None:
        with (root / "brain.yaml").open("a") as settings:
            settings.write(f"\ndatabase: {{url: '{database}'}}\n")
    for starter in (root / "catalogue").glob("*.yaml"):
        starter.unlink()
    for file in SMALL.glob("*.yaml"):
        greedy = re.sub(r"    immature:.*\n", "", re.sub(r"gamma: \d+", "gamma: .inf", file.read_text()))
        (root / "catalogue" / file.name).write_text(greedy)
    if more:
        (root / "catalogue" / "more.yaml").write_text(more)
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    return workspace


class Client:
    """A client of one brain's ASGI app in this process: the server's routes, parsing and errors, without a network.

    It sends the workspace's key of a scope; None: no key.
    """

    def __init__(self, brain: Brain, scope: str | None = "admin") -> None:
        self.brain = brain
        ensure_keys(brain.workspace, brain.ledger, "test")
        self.app = build_app(brain)
        self.key = None if scope is None else read_key_file(brain.workspace, scope)

    def of_scope(self, scope: str | None) -> "Client":
        """Return a client of the same app with the key of another scope."""
        other = copy(self)
        other.key = None if scope is None else read_key_file(self.brain.workspace, scope)
        return other

    def _headers(self, **more: str) -> dict[str, str]:
        return {"host": "localhost", **({"authorization": f"Bearer {self.key}"} if self.key else {}), **more}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
        """Return status and JSON of one request; `body` may be raw bytes; a header is named like `sec_gpc`."""
        return asyncio.run(self.ask(method, path, body, **headers))

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
        """Return status and JSON of one request, for many at once."""
        named = self._headers(**{name.replace("_", "-"): value for name, value in headers.items()})
        status, _, content = await _call(self.app, method, path, _bytes(body), named)
        return status, from_json(content) if content else {}

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of one request."""
        named = self._headers(**{name.replace("_", "-"): value for name, value in headers.items()})
        return asyncio.run(_call(self.app, method, path, _bytes(body), named))


def decide_and_send(watcher: Watcher) -> None:
    """Do once what two threads of a replica do again and again: decide due moments, then send due deliveries."""
    watcher.decide_due()
    watcher.send_due()


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else b"" if body is None else to_json(body)


async def _call(
    app: Callable[..., Awaitable[None]], method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    path, _, query = path.partition("?")
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else await asyncio.get_running_loop().create_future()  # nobody hangs up

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in {"content-type": "application/json", **headers}.items()],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    answered: dict[str, str] = {}
    for name, value in sent[0]["headers"]:  # of a header that is there twice, such as Set-Cookie, a line each
        earlier = answered.get(name.decode())
        answered[name.decode()] = value.decode() if earlier is None else f"{earlier}\n{value.decode()}"
    return sent[0]["status"], answered, b"".join(m.get("body", b"") for m in sent[1:])


def ask(request_id: str, customer: str = "c-1", channel: str = "web", **more: Any) -> Json:
    """Return a request body for one placement of a channel of the small catalogue, by default the web's hero."""
    placements = {"web": "hero", "email": "mail", "agent": "suggestion", "store": "counter"}
    body = {"request_id": request_id, "customer_id": customer, "channel": channel}
    return {**body, "placements": [{"name": placements.get(channel, "hero")}], "context": {"page": "paid-tv"}, **more}


FACTS = {
    "age": 40,
    "monthly_fee_eur": 40.0,
    "tenure_months": 30.0,
    "contract": "monthly",
    "has_tv": False,
    "arrears_eur": 0.0,
    "hardship": False,
    "vulnerable": False,
    "open_complaint": False,
    "home_time_zone": "Europe/Amsterdam",
}


def welcome(client: Client, customer: str, *, purposes: tuple[str, ...] = ("marketing", "profiling", "email")) -> None:
    """Give a customer a profile and consents to these purposes."""
    assert client("PATCH", f"/v1/customers/{customer}", {"facts": FACTS})[0] == 200
    consents = [consent(customer, p) for p in purposes]
    if consents:
        assert client("POST", "/v1/consents", consents)[0] == 200


def consent(customer: str, purpose: str, status: str = "granted", **more: Any) -> Json:
    """Return a consent body."""
    about = {"customer_id": customer, "purpose": purpose, "status": status, "source": "test"}
    return {**about, "notice_version": "2026-01", **more}


def signal(type_: str, subject: str, **data: Any) -> Json:
    """Return a CloudEvent with a new id; without a time, so that it occurs when it arrives."""
    about = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "test", "subject": subject}
    return {**about, "type": type_, "data": data}


def offers(answer: Json) -> list[Json]:
    """Return all offers of an answer."""
    return [o for p in answer["placements"] for o in p["offers"]]
