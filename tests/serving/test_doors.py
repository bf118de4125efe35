"""What browsers are told, whose pages may call, how deep a body may be, and what is recorded of what was refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.access_keys import SecurityEvent, add_events, read_events
from serving.access.events import SecurityEvents
from serving.brain.runtime import Brain
from serving.problems import PROBLEM_TYPES
from serving.settings import Workspace
from tests.serving.test_keys import REACH
from tests.serving.workspaces import Client, Json, ask, small_workspace

SHOP = "https://shop.example"
PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    workspace = small_workspace(tmp_path_factory.mktemp("doors") / "shop")
    (workspace.root / "brain.yaml").write_text(f"http: {{origins: ['{SHOP}']}}\n")
    brain = Brain(Workspace.open(workspace.root))
    yield Client(brain)
    brain.close()


@pytest.mark.promise("doors.headers")
def test_every_answer_tells_browsers_to_keep_nothing_and_to_guess_nothing(client: Client) -> None:
    """Whatever the key and the route; a name in the header Host comes back in none."""
    for scope in ("admin", None):
        caller = client.of_scope(scope)
        for method, route, body, _ in REACH:
            path = re.sub(r"\{\w+\}", "x-1", route) + ("?channel=none" if "stream" in route else "")
            status, headers, _ = caller.raw(method, path, body)
            assert not 300 <= status < 400 or headers["location"] == "/sign-in"
            assert headers["x-content-type-options"] == "nosniff", route
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            is_kept = route == "/" or route.startswith(("/docs", "/static"))
            assert headers["cache-control"] == ("max-age=3600" if is_kept else "no-store"), route
            assert "access-control-allow-origin" not in headers
    for path in ("/docs/", "/v1/decisions/", "//evil.example/v1", "/healthz/", "/v1/customers/..%2f..%2fdocs"):
        status, headers, _ = client.raw("GET", path, host="localhost")
        assert not 300 <= status < 400, path
        assert "location" not in headers


@pytest.mark.promise("doors.headers")
def test_the_page_of_documentation_asks_no_other_server(client: Client) -> None:
    caller = client.of_scope(None)
    status, headers, page = caller.raw("GET", "/docs")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self';" in headers["content-security-policy"]
    assert len(addresses) == 4
    for address in addresses:
        assert address == "data:," or address.startswith("docs/")
        if address.startswith("docs/"):
            status, headers, content = caller.raw("GET", f"/{address}")
            assert (status, headers["content-type"].partition(";")[0]) in {(200, "text/css"), (200, "text/javascript")}
            assert content
    assert caller.raw("GET", "/docs/..%2fcore.py")[0] == 404


@pytest.mark.promise("doors.origins")
def test_only_pages_of_listed_sites_may_read_answers(client: Client) -> None:
    for origin in ("https://evil.example", "http://shop.example", f"{SHOP}:8443", "null", f"{SHOP}.evil.example"):
        assert client("OPTIONS", "/v1/decisions", origin=origin, **PREFLIGHT)[0] == 405
        assert "access-control-allow-origin" not in headers_of(client, "GET", "/healthz", origin=origin)
    allowed = headers_of(client.of_scope(None), "OPTIONS", "/v1/decisions", origin=SHOP, **PREFLIGHT)
    assert allowed["access-control-allow-origin"] == SHOP
    assert "authorization" in allowed["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed
    for caller in (client, client.of_scope(None)):
        answer = headers_of(caller, "POST", "/v1/decisions", ask("cors-1"), origin=SHOP)
        assert (answer["access-control-allow-origin"], answer["vary"]) == (SHOP, "origin")


def headers_of(client: Client, method: str, path: str, body: Any = None, **more: str) -> dict[str, str]:
    """Return the headers of the answer to a request with further headers."""
    return client.raw(method, path, body, **more)[1]


@pytest.mark.promise("doors.headers")
@pytest.mark.parametrize("depth", [20_000])
def test_a_body_may_be_no_deeper_than_can_be_read(client: Client, depth: int) -> None:
    """Whatever the route, and wherever in its body: the answer is a problem document that names the field."""
    deep = '{"a":' * depth + "1" + "}" * depth
    for method, route, body, _ in REACH:
        if not isinstance(body, dict):
            continue
        path = re.sub(r"\{\w+\}", "x-1", route)
        for field in (*body, "data", "context"):
            inside = json.dumps({**body, field: "HERE"}).replace('"HERE"', deep)
            for raw in (inside, f"[{inside}]", deep, "[" * depth):
                status, answer = client(method, path, raw.encode())
                assert status == 422 or "signals" in path, (path, field, answer)
                assert status != 500, (path, field, answer)


def events(client: Client) -> list[Json]:
    """Return what was recorded of what was refused, as `audit` reads it."""
    status, answer = client.of_scope("audit")("GET", "/v1/security-events")
    assert status == 200
    listed: list[Json] = answer["events"]
    return listed


@pytest.mark.promise("doors.events")
def test_what_is_refused_is_recorded_without_a_personal_datum(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop"))
    client = Client(brain)
    noted = next(m.kwargs["events"] for m in client.app.user_middleware if "events" in m.kwargs)
    client.of_scope(None)("GET", "/v1/customers/jan-de-vries")
    for _ in range(3):
        client.of_scope("decide")("DELETE", "/v1/customers/jan-de-vries")
    client.of_scope("publish")("POST", "/v1/decisions", ask("r-1", "jan-de-vries"))
    client("GET", "/v1/customers/jan-de-vries", host="jan.example")
    client("GET", "/v1/customers/jan-de-vries", x_limited="1")
    assert events(client) == []
    noted.write()
    found = {(e["kind"], e["route"], e["n"]): e for e in events(client)}
    customer = "/v1/customers/{customer_id}"
    assert found.keys() == {
        ("no-key", f"GET {customer}", 1),
        ("out-of-scope", f"DELETE {customer}", 3),
        ("out-of-scope", "POST /v1/decisions", 1),
        ("wrong-host", f"GET {customer}", 1),
        ("too-many-requests", f"GET {customer}", 1),
    }
    assert found["out-of-scope", f"DELETE {customer}", 3]["key_id"] == client.of_scope("decide").key[4:12]
    assert found["no-key", f"GET {customer}", 1]["key_id"] is None
    assert "jan" not in json.dumps(list(found.values()))
    for scope in ("lead", "operate"):
        assert client.of_scope(scope)("GET", "/v1/security-events")[0] == 403
    brain.close()


@pytest.mark.promise("doors.events")
def test_a_flood_of_refusals_makes_few_rows_and_the_oldest_go(client: Client) -> None:
    ledger = client.brain.ledger
    seen = SecurityEvents(ledger)
    for n in range(5_000):
        seen.add("no-key", f"key-{n}", "GET", f"/v1/customers/c-{n}")
        seen.add("not-found", None, "GET", "/")
    seen.write()
    rows = read_events(ledger, 0, 1_000)
    assert len(rows) == 101
    assert sum(event.n for _, event in rows) == 5_000
    add_events(ledger, [SecurityEvent(1, "no-key", None, "", n) for n in range(1, 31)], keep=20)
    assert [event.n for _, event in read_events(ledger, 0, 1_000)] == [*range(11, 31)]
    last = read_events(ledger, 0, 15)[-1][0]
    assert [event.n for _, event in read_events(ledger, last, 15)] == [*range(26, 31)]


def test_each_status_that_may_be_repeated_says_when(client: Client) -> None:
    kinds = {kind.name for kind in PROBLEM_TYPES.values() if kind.may_be_repeated}
    assert "too-many-requests" in kinds
    assert {PROBLEM_TYPES[name].status for name in kinds} == {429, 503}
    status, headers, _ = client.raw("GET", "/v1/customers/c-1", x_limited="1")
    assert (status, headers["retry-after"]) == (429, "1")
