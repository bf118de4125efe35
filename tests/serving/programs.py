"""A brain that serves over a real port in this process, and the clients of the protocol's own library."""

import contextlib
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp import Client as Session
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import select

from features.ledger.tables import RECORDS
from serving.brain.runtime import Brain
from serving.lifecycle import runs
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, small_workspace

ROOT = Path(__file__).parents[2]
_RECORDS = select(RECORDS).where(RECORDS.c.body.is_not(None)).order_by(RECORDS.c.seq)
_TALK = """
signals:
  - {id: remark, retention_days: 30, fields: [{name: text, dtype: string, required: true}]}
features:
  - {name: said, dtype: string, source: context, model_input: false}
  - {name: first_name, dtype: string, model_input: false}
  - {name: last_remark, dtype: string, source: signal, model_input: false, max_age_s: 86400,
     signal: {of: remark, compute: last, field: text}}
actions:
  - id: greeting
    issue: service
    group: greetings
    tier: service
    purposes: [service]
    value: 1
    treatments:
      - id: web
        channel: web
        placements: [hero]
        content: {nl: {title: "Dag {first_name}"}, en: {title: "Hello {first_name}"}}
"""
"""What customers write: in facts, in the context of requests and in signals; an offer quotes the first."""
LISTED_ORIGIN = "https://shop.example"


@dataclass
class Served:
    """A brain with its client in this process, and where it serves."""

    workspace: Workspace
    client: Client
    url: str

    def records(self) -> list[tuple[str, Json]]:
        """Return kind and body of every record of the ledger that is no look, oldest first."""
        rows = self.client.brain.ledger.select(_RECORDS)
        records = [self.client.brain.ledger.record_of(row) for row in rows]
        return [(record.kind, dict(record.folded or {})) for record in records if record.kind != "look"]


def over_http(served: Served, key: str | None, **headers: str) -> AbstractAsyncContextManager[Session]:
    """Return a session of the library's client under the brain's own port."""

    @contextlib.asynccontextmanager
    async def session() -> AsyncIterator[Session]:
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=20) as http,
            Session(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
        ):
            yield client

    return session()


def over_stdio(served: Served, key_file: Path | None = None, **variables: str) -> AbstractAsyncContextManager[Session]:
    """Return a session with a process of `brain mcp`."""
    command = [str(ROOT / "brain.py"), "mcp", "--workspace", str(served.workspace.root)]
    options = ["--key-file", str(key_file)] if key_file else []
    return Session(
        StdioServerParameters(
            command=sys.executable, args=[*command, *options], env={"PYTHONPATH": str(ROOT), **variables}
        )
    )


@contextlib.contextmanager
def served(root: Path) -> Iterator[Served]:
    """Serve a workspace of the small catalogue on a port of its own until the end."""
    small_workspace(root, _TALK)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    (root / "brain.yaml").write_text(f"http: {{port: {port}, origins: [{LISTED_ORIGIN!r}]}}\n")
    workspace = Workspace.open(root)
    brain = Brain(workspace)
    client = Client(brain)
    with _uvicorn(client.app, port), _recorded_run(workspace) as url:
        yield Served(workspace, client, url)
    brain.close()


@contextlib.contextmanager
def _uvicorn(app: Callable[..., Any], port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def _recorded_run(workspace: Workspace) -> Iterator[str]:
    """Record this process as the run of the workspace, as `brain serve` does."""
    workspace.run.mkdir(exist_ok=True)
    (workspace.run / runs.LOCK).touch()
    run = runs.new_run(workspace)
    yield run.url
    runs.stop(workspace, run)
