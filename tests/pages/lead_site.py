"""A workspace whose lead's view a server of this process serves: who waits, who works, and what customers asked."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page

from decisioning.times import iso
from features.ledger import now_us
from features.ledger.tables import OUTCOMES
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.customers.rights import asking
from tests.serving.server import free_port
from tests.serving.workspaces import Client, Json, ask, small_workspace, welcome

PASSWORD = "correct horse battery"
AGENT = {"languages": ["en", "nl"], "proficiency": {}, "capacity": {"chat": 2, "phone": 1}}


@dataclass(frozen=True)
class LeadSite:
    """The pages of a workspace with the agents ana, bo and cy, and the lead jo, who is an agent, too."""

    address: str
    client: Client
    beside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """The thread of the company's systems: in the tests' own, the browser runs."""

    def asked(self, method: str, path: str, body: Any = None) -> Json:
        status, answer = self.beside.submit(self.client, method, path, body).result()
        assert status == 200, answer
        return answer

    def read(self, path: str, lang: str = "en") -> str:
        """Return a page as the key of a lead reads it."""
        lead = self.client.of_scope("lead")
        status, _, content = self.beside.submit(
            lambda: lead.raw("GET", path, accept="text/html", **{"accept-language": lang})
        ).result()
        assert status == 200, content
        return content.decode()

    def waits(self, customer: str, **more: Any) -> str:
        """Let a customer wait for a person; return the handover."""
        about = {"conversation_id": f"chat-{customer}", "channel": "chat", "reason": "asks for a person", **more}
        opened = {"request_id": f"r-{customer}", "customer_id": customer, "language": "en", **about}
        return str(self.asked("POST", "/v1/handovers", opened)["handover_id"])

    def stepped(self, handover: str, state: str, **more: Any) -> Json:
        return self.asked("POST", f"/v1/handovers/{handover}/steps", {"state": state, **more})

    def shown(self, handover: str) -> Json:
        return self.asked("GET", f"/v1/handovers/{handover}")

    def known(self, customer: str) -> tuple[str, str]:
        """Let a customer be known, and be shown something; return the decision, and what it offered."""
        self.beside.submit(welcome, self.client, customer).result()
        answer = self.asked("POST", "/v1/decisions", ask(f"d-{customer}", customer))
        return answer["decision_id"], answer["placements"][0]["offers"][0]["action"]

    def contests(self, customer: str, decision: str, text: str = "Why this?") -> str:
        opened = lambda: asking.open_request(  # noqa: E731
            self.client.brain, customer, "contest", "o", text=text, decision_id=decision
        )
        return self.beside.submit(opened).result()

    def complains(self, customer: str, action: str) -> None:
        """Let a customer complain of an action."""
        stream = bytes.fromhex(self.client.brain.subject_stream(customer))
        row = {"stream": stream, "action": action, "outcome": "complained", "at_us": now_us(), "detail": "", "times": 1}
        ledger = self.client.brain.ledger
        ledger.transact(lambda connection: connection.execute(OUTCOMES.insert(), row)).result()

    @staticmethod
    def overrides(page: Page, decision: str, action: str, note: str) -> None:
        """Let who is signed in say why they did not do what was suggested."""
        about = {"override_id": f"ov-{decision}", "decision_id": decision, "action": action}
        body = {**about, "kind": "overridden", "reason": "not_suitable", "note": note}
        token = page.locator("input[name=csrf]").first.input_value()
        origin = page.evaluate("location.origin")
        headers = {"x-csrf-token": token, "origin": origin}
        answer = page.request.post(f"{origin}/v1/overrides", data=body, headers=headers)
        assert answer.ok, answer.text()

    @contextmanager
    def signed_in(self, browser: Browser, name: str = "jo", path: str = "/lead", **context: Any) -> Iterator[Page]:
        """Yield a page of a person who signed in. At its end, fail if it told of an error."""
        window, said = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **context}), list[str]()
        page = window.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{self.address}/desk")
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.goto(self.address + path)
        try:
            yield page
        finally:
            window.close()
        assert [text for text in said if "status of 4" not in text] == []


@contextmanager
def lead_site(folder: Path) -> Iterator[LeadSite]:
    """Serve a new workspace in a folder."""
    workspace = small_workspace(folder / "shop")
    client, port = Client(Brain(workspace)), free_port()
    people.add(workspace, "jo", ["agent", "lead"], PASSWORD, "root")
    people.add(workspace, "mo", ["agent", "lead"], PASSWORD, "root")
    people.add(workspace, "al", ["agent"], PASSWORD, "root")
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site = LeadSite(f"http://127.0.0.1:{port}", client)
    for name, state in (("ana", "available"), ("bo", "available"), ("cy", "break")):
        site.asked("PUT", f"/v1/agents/{name}", AGENT)
        event = {"specversion": "1.0", "id": name, "source": "x", "type": "agent.state", "subject": f"agent:{name}"}
        site.asked("POST", "/v1/agent-events", {**event, "time": "2026-01-01T00:00:00Z", "data": {"state": state}})
    yield site
    server.should_exit = server.force_exit = True  # streams of a page that a failed test left open do not end
    thread.join()
    site.beside.shutdown()
    client.brain.close()


def a_busy_day(site: LeadSite) -> str:
    """Let customers wait, ask and object as on a busy day; return a conversation that bo has."""
    for n in range(4):
        site.waits(f"c-10{n}", upset=n < 2, reason=("asks for a person", "moves house", "double bill", "fault")[n])
    late, held = site.waits("c-2001", reason="wants to leave"), site.waits("c-2002", reason="moves house")
    site.stepped(late, "offered", agent_id="ana", due_at=iso(now_us() - 60_000_000))
    site.stepped(held, "accepted", agent_id="bo")
    site.contests("c-3001", site.known("c-3001")[0], "I never asked for television. Why do I see this?")
    decision, action = site.known("c-3002")
    note = "She had told us twice that she moves next week, so I did not offer it. " * 3
    about = {"override_id": "ov-1", "decision_id": decision, "action": action, "kind": "overridden"}
    site.asked("POST", "/v1/overrides", {**about, "reason": "not_suitable", "note": note})
    objection = {"customer_id": "c-3002", "purpose": "marketing", "status": "objected"}
    site.asked("POST", "/v1/consents", {**objection, "source": "telephone"})
    return held
