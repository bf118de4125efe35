"""A desk that a server of this process serves, with customers who wait, an agent who signed in, and other sites."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page, expect

from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.settings import Workspace
from tests.serving.server import free_port
from tests.serving.workspaces import Client, signal, small_workspace, welcome

PASSWORD = "correct horse battery"
CATALOGUE = """
purposes:
  - {id: newsletter, notice_version: "2026-02", description: {
      en: "May we write to you about offers? You can say no, and stop at any time.",
      nl: "Mogen wij u schrijven over aanbiedingen? U mag nee zeggen, en altijd stoppen."}}
channels:
  - {id: phone, direction: outbound, medium: phone, placements: [call], counts_on: seen, reservation_s: 60,
     gamma: .inf}
signals:
  - id: call
    retention_days: 30
    fields:
      - {name: author, dtype: enum, values: [customer, agent, bot]}
      - {name: conversation_id, dtype: string}
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
      - {name: negative, dtype: float, min: 0, max: 1, tags: [emotion]}
      - {name: wants_person, dtype: bool, tags: [request]}
      - {name: complaint, dtype: bool, tags: [request]}
      - {name: intent, dtype: string, tags: [request]}
calendars:
  - {id: calls, channel: agent, hours: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "23:30"}],
     slot_minutes: 30, capacity: 2}
package:
  - {id: bills, title: {nl: Rekeningen, en: Bills}, features: [{name: arrears_eur, use: act_on}, monthly_fee_eur]}
"""
MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@dataclass(frozen=True)
class DeskSite:
    """The desk of a workspace; `listed` and `unlisted` are sites that show it in a frame."""

    address: str
    client: Client
    listed: str
    unlisted: str
    beside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """The thread of the company's systems: in the tests' own, the browser runs."""

    def asked(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.beside.submit(self.client, method, path, body).result()
        assert status < 400, answer
        return answer

    def waiting(self, customer: str, **more: Any) -> str:
        """Let a known customer wait for a person, and return the handover."""
        self.beside.submit(welcome, self.client, customer).result()
        about = {"customer_id": customer, "conversation_id": f"t-{customer}", "language": "en", "channel": "chat"}
        asked = {"request_id": f"r-{customer}", "reason": "asks for a person", **about, **more}
        return str(self.asked("POST", "/v1/handovers", asked)["handover_id"])

    def told(self, type_: str, customer: str, **data: Any) -> None:
        self.asked("POST", "/v1/signals", signal(type_, f"customer:{customer}", **data))

    def records(self, kind: str, customer: str) -> list[dict[str, Any]]:
        """Return the bodies of a customer's records of a kind."""
        ledger = self.client.brain.ledger
        stream = self.client.brain.subject_stream(customer)
        return [dict(record.body or {}) for record in ledger.records(stream) if record.kind == kind]

    def taken(self, page: Page, customer: str, **more: Any) -> str:
        """Let the agent, who solved all before, take the conversation of a new customer; return the handover."""
        page.goto("about:blank")  # what is told of the conversation that ends here would load its page again
        for held in self.asked("GET", "/v1/handovers?state=accepted")["handovers"]:
            self.asked("POST", f"/v1/handovers/{held['handover_id']}/steps", {"state": "resolved"})
        handover = self.waiting(customer, **more)
        page.goto(f"{self.address}/desk?lang=en")
        page.get_by_role("button", name=f"Take : {customer}", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(customer)
        return handover


@contextmanager
def served(folder: Path, more: str = "") -> Iterator[DeskSite]:
    """Serve a new workspace in a folder, beside two other sites that show its desk, with `more` of a catalogue."""
    workspace, port = small_workspace(folder / "shop", CATALOGUE + more), free_port()
    address = f"http://127.0.0.1:{port}"
    (folder / "sites").mkdir()
    (folder / "sites" / "index.html").write_text(
        f'<!doctype html><iframe src="{address}/desk?panel" width=320></iframe>'
    )
    sites = [_site(folder / "sites") for _ in range(2)]
    listed, unlisted = (f"http://127.0.0.1:{site.server_port}" for site in sites)
    (workspace.root / "brain.yaml").write_text(json.dumps({"http": {"frame_origins": [listed]}}))
    client = Client(Brain(Workspace.open(workspace.root)))
    people.add(client.brain.workspace, "jo", ["agent"], PASSWORD, "root")
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site = DeskSite(address, client, listed, unlisted)
    yield site
    server.should_exit = True
    thread.join()
    site.beside.shutdown()
    client.brain.close()
    for other in sites:
        other.shutdown()


def _site(folder: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@contextmanager
def at_desk(browser: Browser, site: DeskSite, **context: Any) -> Iterator[Page]:
    """Yield the desk of the agent, in a window of its own; fail at its end if a page told of an error."""
    window = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **context})
    page, errors = window.new_page(), list[str]()
    page.set_default_timeout(4_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site.address}/desk")
    page.get_by_label("Name").fill("jo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{site.address}/desk?lang=en")
    try:
        yield page
    finally:
        window.close()  # a stream that stays open keeps the server
    assert errors == []


def new_customer() -> str:
    """Return an id that no other test uses."""
    return f"c-{uuid.uuid4().hex[:8]}"
