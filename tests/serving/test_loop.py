"""Nothing but a live decision reads, writes or computes on the event loop of a replica, whichever route is asked."""

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute

from features.ledger.database import Database
from features.profile.stores.sqlite import SqliteOnline
from features.threads import LOG
from serving.access.doors import Access
from serving.access.events import SecurityEvents
from serving.access.people.sign_in import SignIn
from serving.brain import explaining, releasing
from serving.brain.repeats import Repeats
from serving.brain.runtime import Brain
from serving.customers import erasing, exporting, items, looking, recording
from serving.events import signals
from serving.events.moments import Watcher
from serving.http import operating
from serving.http.background import Background
from tests.serving.people.own_page import entered
from tests.serving.workspaces import FACTS, Client, ask, consent, offers, signal, small_workspace, welcome

STORES = ((Database, ("_read", "_patiently")), (SqliteOnline, ("_transaction", "_states")))
"""Every way to read or to write a store."""
COMPUTING = (
    (signals, ("parse_events", "message_fields", "_validated")),
    (items, ("parse_many",)),
    (Brain, ("preview", "_snapshot_of")),
    (Repeats, ("recheck", "newest")),
    (explaining, ("explain",)),
    (recording, ("customer", "account")),
    (exporting, ("export",)),
    (looking, ("shown", "listed")),
    (erasing, ("_remove",)),
    (releasing, ("propose",)),
    (operating, ("generate_latest",)),
)
"""What may take longer than a millisecond."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("loop") / "ws"))
    yield Client(brain)
    brain.close()


@pytest.fixture
def on_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called on the event loop of this thread, which serves the requests."""
    called: list[str] = []

    def noting(name: str, original: Any) -> Any:
        def noted(*args: Any, **more: Any) -> Any:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop()
                if threading.current_thread() is threading.main_thread():
                    called.append(name)
            return original(*args, **more)

        return noted

    for owner, names in (*STORES, *COMPUTING):
        for name in names:
            monkeypatch.setattr(owner, name, noting(name, inspect.getattr_static(owner, name)))
    return called


NONE = f"h-{'0' * 32}"
AGENT = {"languages": ["nl"], "capacity": {"chat": 3}}
AGENT_EVENT = {
    "specversion": "1.0",
    "id": "e-loop",
    "source": "/telephony",
    "type": "agent.state",
    "subject": "agent:a-loop",
    "time": "2026-01-05T10:00:00+01:00",
    "data": {"state": "available"},
}
HANDOVER = {
    "request_id": "h-loop",
    "customer_id": "c-loop",
    "conversation_id": "chat-loop",
    "channel": "chat",
    "reason": "asks for a person",
}


def requests(client: Client) -> dict[str, list[tuple[str, str, Any]]]:
    """Return route -> requests to it, the long ones too."""
    welcome(client, "c-loop")
    decided = client("POST", "/v1/decisions", ask("loop-1", "c-loop"))[1]
    offer = offers(decided)[0]["offer_id"]
    message = signal("message", "customer:c-loop", text="I am not happy", language="en")
    outcome = {"outcome_id": "loop-o", "offer_id": offer, "outcome": "seen"}
    link = {
        "customer_id": "c-loop",
        "identifier": {"kind": "cookie", "value": "abc"},
        "status": "linked",
        "source": "t",
    }
    email = consent("c-loop", "email")
    of_visitor = {k: v for k, v in email.items() if k != "customer_id"} | {"visitor_id": "v-1"}
    preview = ask("loop-2", "c-loop", mode="preview")
    return {
        "POST /v1/decisions": [("POST", "/v1/decisions", preview), ("POST", "/v1/decisions", ask("loop-1", "c-loop"))],
        "GET /v1/decisions/{decision_id}": [
            ("GET", f"/v1/decisions/{decided['decision_id']}?contributions=true", None)
        ],
        "POST /v1/outcomes": [("POST", "/v1/outcomes", body) for body in (outcome, [outcome] * 200)],
        "POST /v1/consents": [("POST", "/v1/consents", body) for body in (email, of_visitor, [email] * 200)],
        "POST /v1/identities": [("POST", "/v1/identities", link)],
        "PATCH /v1/customers/{customer_id}": [("PATCH", "/v1/customers/c-loop", {"facts": FACTS, "restricted": False})],
        "GET /v1/customers/{customer_id}": [("GET", "/v1/customers/c-loop", None)],
        "GET /v1/customers/{customer_id}/export": [("GET", "/v1/customers/c-loop/export", None)],
        "DELETE /v1/customers/{customer_id}": [("DELETE", "/v1/customers/c-loop-gone", None)],
        "GET /v1/visitors/{visitor_id}/export": [("GET", "/v1/visitors/v-1/export", None)],
        "DELETE /v1/visitors/{visitor_id}": [("DELETE", "/v1/visitors/v-gone", None)],
        "PATCH /v1/visitors/{visitor_id}": [("PATCH", "/v1/visitors/v-1", {"restricted": True})],
        "GET /v1/accounts/{account_id}": [("GET", "/v1/accounts/a-1", None)],
        "GET /v1/accounts/{account_id}/export": [("GET", "/v1/accounts/a-1/export", None)],
        "DELETE /v1/accounts/{account_id}": [("DELETE", "/v1/accounts/a-gone", None)],
        "PATCH /v1/accounts/{account_id}": [("PATCH", "/v1/accounts/a-1", {"restricted": True})],
        "POST /v1/signals": [("POST", "/v1/signals", body) for body in (message, [message] * 100)],
        "POST /v1/handovers": [("POST", "/v1/handovers", HANDOVER)],
        "GET /v1/handovers": [("GET", "/v1/handovers", None)],
        "GET /v1/handovers/{handover_id}": [("GET", f"/v1/handovers/{NONE}", None)],
        "GET /v1/handovers/{handover_id}/package": [("GET", f"/v1/handovers/{NONE}/package", None)],
        "POST /v1/handovers/{handover_id}/steps": [("POST", f"/v1/handovers/{NONE}/steps", {"state": "resolved"})],
        "POST /v1/handovers/{handover_id}/negotiation": [
            ("POST", f"/v1/handovers/{NONE}/negotiation", {"request_id": "n-1"})
        ],
        "GET /v1/call-backs/slots": [("GET", f"/v1/call-backs/slots?handover_id={NONE}&calendar=x", None)],
        "POST /v1/handovers/{handover_id}/appointment": [
            ("POST", f"/v1/handovers/{NONE}/appointment", {"calendar": "x", "starts_at": "2026-12-01T14:30:00+01:00"})
        ],
        "POST /v1/handovers/{handover_id}/choice": [("POST", f"/v1/handovers/{NONE}/choice", {"choice": "wait"})],
        "POST /v1/handovers/{handover_id}/tries": [("POST", f"/v1/handovers/{NONE}/tries", {"agent_id": "a-1"})],
        "PUT /v1/agents/{agent_id}": [("PUT", "/v1/agents/a-loop", AGENT)],
        "GET /v1/agents": [("GET", "/v1/agents", None)],
        "GET /v1/agents/{agent_id}": [("GET", "/v1/agents/a-loop", None)],
        "GET /v1/agents/{agent_id}/export": [("GET", "/v1/agents/a-loop/export", None)],
        "DELETE /v1/agents/{agent_id}": [("DELETE", "/v1/agents/a-gone", None)],
        "POST /v1/agent-events": [("POST", "/v1/agent-events", [AGENT_EVENT] * 100)],
        "POST /v1/routing": [("POST", "/v1/routing", {"waiting": {"conversation_id": "k-1", "channel": "chat"}})],
        "GET /v1/call-backs/without-agent": [("GET", "/v1/call-backs/without-agent", None)],
        "POST /v1/overrides": [("POST", "/v1/overrides", {"override_id": "ov", "decision_id": "none"})],
        "POST /v1/sales": [("POST", "/v1/sales", {"step_id": "s", "offer_id": "none.0", "step": "confirmed"})],
        "POST /v1/corrections": [("POST", "/v1/corrections", {"correction_id": "co", "event_id": "none"})],
        "POST /v1/customers/{customer_id}/links": [("POST", "/v1/customers/c-loop/links", {"hours": 1})],
        "DELETE /v1/customers/{customer_id}/links": [("DELETE", "/v1/customers/c-loop/links", None)],
        "POST /v1/customers/{customer_id}/codes": [("POST", "/v1/customers/c-loop/codes", {})],
        "GET /v1/requests": [("GET", "/v1/requests", None)],
        "POST /v1/requests/{number}/answers": [("POST", "/v1/requests/none/answers", {"state": "answered"})],
        "GET /v1/moments/stream": [],  # its own test below
        "GET /v1/live": [],
        "GET /v1/moments/dead": [("GET", "/v1/moments/dead", None)],
        "GET /v1/moments/withheld": [("GET", "/v1/moments/withheld", None)],
        "GET /healthz": [("GET", "/healthz", None)],
        "GET /readyz": [("GET", "/readyz", None)],
        "GET /problems/{name}": [("GET", "/problems/busy", None)],
        "GET /metrics": [("GET", "/metrics", None)],
        "GET /v1/security-events": [("GET", "/v1/security-events", None)],
        "POST /v1/releases": [("POST", "/v1/releases", {"files": {"catalogue/actions.yaml": "[]"}})],
        "POST /v1/approvals": [("POST", "/v1/approvals", {"hash": "sha256:0"})],
        "GET /v1/actions": [("GET", "/v1/actions", None)],
        "GET /v1/channels": [("GET", "/v1/channels", None)],
        "GET /v1/releases": [("GET", "/v1/releases", None)],
        "GET /v1/looks": [("GET", "/v1/looks?customer_id=c-loop", None)],
        "GET /": [("GET", "/", None)],
        "HEAD /": [("HEAD", "/", None)],
        "GET /sign-in": [("GET", "/sign-in", None)],
        "POST /sign-in": [("POST", "/sign-in", b"name=jo&password=none")],
        "GET /sign-in/provider": [("GET", "/sign-in/provider", None)],
        "GET /sign-in/callback": [("GET", "/sign-in/callback?state=none&code=none", None)],
        "POST /sign-out": [("POST", "/sign-out", b"")],
        "GET /sign-out": [("GET", "/sign-out", None)],
        "GET /static/{name}": [("GET", "/static/none", None)],
        "GET /docs": [("GET", "/docs", None)],
        "HEAD /docs": [("HEAD", "/docs", None)],
        "GET /docs/{name}": [("GET", "/docs/swagger-ui.css", None)],
    }


FORM_TYPE = "application/x-www-form-urlencoded"
FORM = {"once": "o-1", "outcome": "seen", "note": "called", "purpose": "marketing", "right": "yes"}
PAGES = ("desk", "lead", "me")
SUGGESTS = "GET /desk/{handover_id}"
"""How the routes begin that show an agent what a live decision suggests."""


def of_pages(client: Client, routes: Iterable[str]) -> dict[str, list[tuple[str, str, Any]]]:
    """Return route -> a request to each of these routes of pages, about a handover that is held.

    Routes that end what others need come last.
    """
    asked = {**HANDOVER, "request_id": "h-page", "conversation_id": "chat-page"}
    held = client("POST", "/v1/handovers", asked)[1]["handover_id"]
    assert client.raw("POST", f"/desk/{held}/take", b"", content_type=FORM_TYPE)[0] == 303
    offer = offers(client("POST", "/v1/decisions", ask("loop-1", "c-loop"))[1])[0]["offer_id"]
    form = urlencode({**FORM, "offer_id": offer}).encode()
    ends = ("transfer", "return", "resolve", "erase", "leave")
    told = {}
    for route in sorted(routes, key=lambda route: (route.endswith(ends), route)):
        method, path = route.split()
        told[route] = [(method, path.replace("{handover_id}", held), form if method == "POST" else None)]
    return told


@pytest.mark.promise("serving.loop")
def test_no_route_reads_writes_or_computes_on_the_event_loop_but_a_live_decision(
    client: Client, on_loop: list[str]
) -> None:
    table = requests(client)
    declared = {f"{method} {r.path}" for r in client.app.routes if isinstance(r, APIRoute) for method in r.methods}
    pages = {route for route in declared if route.split("/")[1] in PAGES}
    assert set(table) == declared - pages, "every route has its requests here"
    own = "; ".join(f"{name}={value}" for name, value in entered(client, "c-loop").cookies.items())
    table |= of_pages(client, pages)
    repeated = ("_read",)  # a request that was seen before is decided first, like a new one
    for route, all_of_it in table.items():
        for method, path, body in all_of_it:
            on_loop.clear()
            form = {"content_type": FORM_TYPE} if route in pages or "/sign-" in route else {}
            cookie = {"cookie": own} if route in pages and path.startswith("/me") else {}
            status = client.raw(method, path, body, **form, **cookie)[0]
            assert status < 500, (route, status)
            live = (route == "POST /v1/decisions" and "mode" not in body) or route.startswith(SUGGESTS)
            assert set(on_loop) <= set(repeated if live else ()), (route, on_loop)


@pytest.mark.parametrize("act", ["outcome", "undo"])
def test_a_form_of_the_desk_that_is_not_whole_is_refused(client: Client, act: str) -> None:
    asked = {**HANDOVER, "request_id": f"h-{act}", "conversation_id": f"chat-{act}"}
    held = client("POST", "/v1/handovers", asked)[1]["handover_id"]
    assert client.raw("POST", f"/desk/{held}/take", b"", content_type=FORM_TYPE)[0] == 303
    assert client.raw("POST", f"/desk/{held}/{act}", b"once=none", content_type=FORM_TYPE)[0] == 422


def test_a_live_decision_makes_two_reads_on_the_event_loop(client: Client, on_loop: list[str]) -> None:
    welcome(client, "c-two")
    on_loop.clear()
    assert client("POST", "/v1/decisions", ask("two-1", "c-two"))[0] == 200
    assert client.brain.metrics.loop._decisions_s > 0, "its time is no gap of the loop"
    assert on_loop == ["_read"], "the other one is the online store's, which takes no lock that a writer holds"


def test_screens_and_moments_read_in_threads(client: Client, on_loop: list[str]) -> None:
    async def first_event() -> bytes:
        return await anext(Watcher(client.brain).listen("web", None, None))

    assert asyncio.run(first_event()).startswith(b"retry:")
    assert on_loop == []


def test_a_body_of_very_many_arrays_is_refused_before_it_is_read(client: Client) -> None:
    status, problem = client("POST", "/v1/signals", b"[" + b"[]," * 60_000 + b"[]]")
    assert (status, problem["field"]) == (422, "body")
    assert "50000 objects and arrays" in problem["detail"]


WORK = {
    "keys",
    "sessions",
    "release",
    "pauses",
    "model",
    "checkpoints",
    "moments",
    "presence",
    "routing",
    "webhooks",
    "compaction",
    "deliveries",
    "erasures",
    "security events",
}


def test_a_replica_does_all_other_work_in_threads_that_end_with_it(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def working() -> set[str]:
        return {thread.name for thread in threading.enumerate()} & WORK

    async def live() -> set[str]:
        brain = Brain(client.brain.workspace)
        access, sign_in = Access(brain.ledger), SignIn(brain.workspace, brain.ledger)
        background = Background(brain, Watcher(brain), access, sign_in, SecurityEvents(brain.ledger))
        background.start(lambda: None)
        during = working()
        await background.stop()
        return during

    assert asyncio.run(live()) == WORK
    assert working() == set()
    with caplog.at_level(logging.ERROR, "ray.serve"):
        LOG.error("told")
    assert caplog.messages == ["told"], "in the log of the server"
