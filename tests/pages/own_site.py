"""A workspace whose pages a server of this process serves, with a company's systems beside the browser."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving.people.openid import CLIENT, SECRET
from tests.serving.people.own_page import code_for, link_for
from tests.serving.server import free_port
from tests.serving.workspaces import Client, ask, small_workspace, welcome


@dataclass(frozen=True)
class OwnSite:
    """The pages of a workspace as a server of this process serves them."""

    address: str
    client: Client
    beside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """The thread of the company's systems: in the tests' own, the browser runs."""

    def link(self, customer: str, lang: str = "en") -> str:
        return self.address + self.beside.submit(lambda: link_for(self.client, customer, locale=lang)).result()

    def code(self, customer: str) -> str:
        return self.beside.submit(code_for, self.client, customer).result()

    def asked(self, method: str, path: str, body: Any = None) -> Any:
        return self.beside.submit(self.client, method, path, body).result()[1]

    def known(self, customer: str) -> None:
        """Let a customer be known, and be shown something."""
        self.beside.submit(welcome, self.client, customer, purposes=("marketing", "profiling")).result()
        shown = ask(f"r-{customer}", customer, placements=[{"name": "sidebar", "limit": 2}], locale="en")
        assert self.asked("POST", "/v1/decisions", shown)["placements"][0]["offers"]


@contextmanager
def served(folder: Path, issuer: str = "") -> Iterator[OwnSite]:
    """Serve a new workspace in a folder.

    :param issuer: the OpenID provider with which customers sign in, if there is one
    """
    workspace, port = small_workspace(folder / "shop"), free_port()
    if issuer:
        (workspace.keys / "site").touch(0o600)
        (workspace.keys / "site").write_text(SECRET)
        client_of = {"issuer": issuer, "client_id": CLIENT, "client_secret_file": "keys/site"}
        settings = {"customer_sign_in": client_of, "sign_in": {"address": f"http://localhost:{port}"}}
        (workspace.root / "brain.yaml").write_text(json.dumps(settings))
    client = Client(Brain(Workspace.open(workspace.root)))
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site = OwnSite(f"http://127.0.0.1:{port}", client)
    yield site
    server.should_exit = True
    thread.join()
    site.beside.shutdown()
    client.brain.close()
