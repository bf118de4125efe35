"""Who reaches what over HTTP: a table of scopes, written here by hand, against every route, with every key and none."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import brain as command_line
from decisioning.errors import ConfigError, Refused
from features.access_keys import add_key, read_keys
from features.ledger import now_us
from serving.access.doors import Access
from serving.access.files import ensure_keys, make_key_files, read_key_file
from serving.access.keys import is_key_text, kept_key, new_key_text
from serving.access.table import TABLE
from serving.brain import explaining
from serving.brain.runtime import Brain
from serving.http import routes
from serving.problems import serve_under
from serving.settings import Workspace
from tests.serving.workspaces import FACTS, Client, Json, ask, consent, offers, signal, small_workspace, welcome

OUTCOME = {"outcome_id": "o-1", "customer_id": "c-1", "action": "paid-tv", "outcome": "accepted"}
LINK = {"customer_id": "c-1", "identifier": {"kind": "cookie", "value": "k-1"}, "status": "linked", "source": "login"}
PREVIEW = {"mode": "preview"}
Case = tuple[str, str, Any, frozenset[str] | None]


def _for(*scopes: str) -> frozenset[str]:
    return frozenset(scopes)


EVERYONE = None
NOT_PERMITTED: frozenset[str] = frozenset()
"""Open to all, and answered 401 or 403 without a form, or without a provider: see the tests of people."""
OWN_FORM = _for("form")
"""Open to all, and answered 403 without the form of a page of its own; see the tests of the customer's own page."""
NO_VISIT = _for("visit")
"""Open to all, and answered 401 to whoever did not come by a link, whatever their key; see those tests, too."""
ANY_SCOPE = _for(
    *("decide", "agent", "signal", "consent", "privacy", "lead", "data-science", "publish", "audit", "operate")
)
DESK_PAGES = ("", "/now", "/{handover_id}", "/{handover_id}/now")
DESK_ACTS = (
    *(
        "take",
        "look",
        "outcome",
        "undo",
        "doubt",
        "instead",
        "correct",
        "sell",
        "note",
        "stop",
        "grant",
        "transfer",
        "return",
        "resolve",
    ),
    *("book", "unanswered", "swap"),
)
DESK_OWN = ("presence", "beat")
LEAD_ACTS = ("pause", "{handover_id}/assign", "{handover_id}/take", "requests/{number}")
PAGES = {
    *("GET /", "GET /docs", "GET /docs/{name}", "GET /openapi.json", "GET /static/{name}"),
    *("GET /sign-in", "POST /sign-in", "GET /sign-in/provider", "GET /sign-in/callback"),
    *("POST /sign-out", "GET /sign-out"),
    *("GET /me", "GET /me/enter", "POST /me/enter", "GET /me/erase"),
    *("GET /me/sign-in", "GET /me/signed-in"),
    *(f"GET /desk{path}" for path in DESK_PAGES),
    *("GET /lead", "GET /lead/now", *(f"POST /lead/{act}" for act in LEAD_ACTS)),
    *(f"POST /desk/{{handover_id}}/{act}" for act in DESK_ACTS),
    *(f"POST /desk/{act}" for act in DESK_OWN),
    *(f"POST /me/{act}" for act in ("leave", "stop", "allow", "opinions", "requests", "confirm")),
    *(f"POST /me/{act}" for act in ("export", "erase")),
}
"""What OpenAPI does not describe, as no program calls it."""
UNDESCRIBED = PAGES | {"POST /mcp"}
"""What the OpenAPI document does not describe."""
REACH: list[Case] = [
    ("POST", "/v1/decisions", ask("r-1"), _for("decide", "agent")),
    ("POST", "/v1/decisions", ask("r-1", **PREVIEW), _for("data-science", "publish")),
    ("GET", "/v1/decisions/{decision_id}", None, _for("agent", "audit")),
    ("POST", "/v1/outcomes", OUTCOME, _for("decide", "agent")),
    ("POST", "/v1/consents", consent("c-1", "marketing"), _for("consent", "agent")),
    ("POST", "/v1/identities", LINK, _for("signal")),
    ("POST", "/v1/signals", signal("page-view", "customer:c-1", page="home"), _for("signal")),
    ("POST", "/v1/overrides", {}, _for("agent", "lead")),
    ("POST", "/v1/corrections", {}, _for("agent", "lead")),
    ("POST", "/v1/sales", {}, _for("decide", "agent", "lead")),
    ("POST", "/v1/handovers", {}, _for("decide", "agent", "lead")),
    ("GET", "/v1/handovers", None, _for("agent", "lead")),
    ("GET", "/v1/handovers/{handover_id}", None, _for("agent", "lead")),
    ("GET", "/v1/handovers/{handover_id}/package", None, _for("agent", "lead")),
    ("POST", "/v1/handovers/{handover_id}/steps", {}, _for("agent", "lead")),
    ("POST", "/v1/handovers/{handover_id}/negotiation", {}, _for("agent", "lead")),
    ("GET", "/v1/call-backs/slots", None, _for("decide", "agent", "lead")),
    ("POST", "/v1/handovers/{handover_id}/appointment", {}, _for("decide", "agent", "lead")),
    ("POST", "/v1/handovers/{handover_id}/choice", {}, _for("decide", "agent", "lead")),
    ("POST", "/v1/handovers/{handover_id}/tries", {}, _for("agent", "lead")),
    ("PUT", "/v1/agents/{agent_id}", {}, _for("lead")),
    ("GET", "/v1/agents", None, _for("lead")),
    ("GET", "/v1/agents/{agent_id}", None, _for("agent", "lead")),
    ("GET", "/v1/agents/{agent_id}/export", None, _for("agent", "lead", "privacy")),
    ("DELETE", "/v1/agents/{agent_id}", None, _for("lead", "privacy")),
    ("POST", "/v1/agent-events", {}, _for("agent", "signal", "lead")),
    ("POST", "/v1/routing", {}, _for("decide", "agent", "lead")),
    ("GET", "/v1/call-backs/without-agent", None, _for("lead")),
    *(("GET", f"/desk{path}", None, _for("agent", "lead")) for path in DESK_PAGES),
    *(("GET", path, None, _for("lead")) for path in ("/lead", "/lead/now")),
    *(("POST", f"/lead/{act}", b"", _for("lead")) for act in LEAD_ACTS),
    *(("POST", f"/desk/{{handover_id}}/{act}", b"", _for("agent", "lead")) for act in DESK_ACTS),
    *(("POST", f"/desk/{act}", b"", _for("agent", "lead")) for act in DESK_OWN),
    ("GET", "/v1/moments/stream", None, _for("decide", "agent")),
    ("GET", "/v1/live", None, _for("decide", "agent", "lead")),
    ("GET", "/v1/moments/dead", None, _for("operate")),
    ("GET", "/v1/moments/withheld", None, _for("operate")),
    ("PATCH", "/v1/customers/{customer_id}", {"facts": FACTS}, _for("signal")),
    ("PATCH", "/v1/customers/{customer_id}", {"restricted": True}, _for("privacy")),
    ("GET", "/v1/customers/{customer_id}", None, _for("agent", "privacy")),
    ("GET", "/v1/customers/{customer_id}/export", None, _for("privacy")),
    ("DELETE", "/v1/customers/{customer_id}", None, _for("privacy")),
    ("POST", "/v1/customers/{customer_id}/links", {}, _for("privacy", "lead")),
    ("DELETE", "/v1/customers/{customer_id}/links", None, _for("privacy", "lead")),
    ("POST", "/v1/customers/{customer_id}/codes", {}, _for("privacy")),
    ("GET", "/v1/requests", None, _for("lead", "privacy")),
    ("POST", "/v1/requests/{number}/answers", {"state": "in_review", "reviewer": "e-1"}, _for("lead", "privacy")),
    ("GET", "/v1/accounts/{account_id}", None, _for("agent", "privacy")),
    ("GET", "/v1/accounts/{account_id}/export", None, _for("privacy")),
    ("PATCH", "/v1/accounts/{account_id}", {"restricted": True}, _for("privacy")),
    ("DELETE", "/v1/accounts/{account_id}", None, _for("privacy")),
    ("GET", "/v1/visitors/{visitor_id}/export", None, _for("privacy")),
    ("PATCH", "/v1/visitors/{visitor_id}", {"restricted": True}, _for("privacy")),
    ("DELETE", "/v1/visitors/{visitor_id}", None, _for("privacy")),
    ("GET", "/readyz", None, _for("operate")),
    ("GET", "/metrics", None, _for("operate")),
    ("GET", "/v1/security-events", None, _for("audit")),
    ("GET", "/v1/actions", None, _for("decide", "agent", "lead", "data-science", "publish", "audit")),
    (
        *("GET", "/v1/channels", None),
        _for("decide", "agent", "signal", "consent", "lead", "data-science", "publish", "audit"),
    ),
    ("GET", "/v1/releases", None, _for("data-science", "publish", "audit")),
    ("POST", "/v1/releases", {"files": {"catalogue/a.yaml": ""}}, _for("publish")),
    ("POST", "/v1/approvals", {"hash": "sha256:0"}, _for("publish")),
    ("POST", "/mcp", None, _for("decide", "agent", "signal", "consent", "audit")),
    ("GET", "/", None, EVERYONE),
    ("GET", "/v1/looks", None, _for("audit")),
    ("GET", "/healthz", None, EVERYONE),
    ("GET", "/docs", None, EVERYONE),
    ("GET", "/docs/{name}", None, EVERYONE),
    ("GET", "/openapi.json", None, EVERYONE),
    ("GET", "/problems/{name}", None, EVERYONE),
    ("GET", "/sign-in", None, EVERYONE),
    ("POST", "/sign-in", None, NOT_PERMITTED),
    ("GET", "/sign-in/provider", None, NOT_PERMITTED),
    ("GET", "/sign-in/callback", None, NOT_PERMITTED),
    ("POST", "/sign-out", None, ANY_SCOPE),
    ("GET", "/sign-out", None, EVERYONE),
    ("GET", "/static/{name}", None, EVERYONE),
    ("GET", "/me", None, EVERYONE),
    ("GET", "/me/enter", None, EVERYONE),
    ("POST", "/me/enter", None, OWN_FORM),
    ("GET", "/me/erase", None, EVERYONE),
    ("GET", "/me/sign-in", None, EVERYONE),
    ("GET", "/me/signed-in", None, EVERYONE),
    *(("POST", f"/me/{act}", None, NO_VISIT) for act in ("leave", "stop", "opinions", "requests", "confirm")),
    *(("POST", f"/me/{act}", None, NO_VISIT) for act in ("allow", "export", "erase")),
]
"""Method, route, body, and the scopes that reach it beside `admin`. Written from what each scope is for."""
SCOPES = (
    *("decide", "agent", "signal", "consent", "privacy", "lead", "data-science", "publish", "audit", "operate"),
    "admin",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("keys") / "shop"))
    yield Client(brain)
    brain.close()


def test_the_table_by_hand_names_every_route_that_is_served(client: Client) -> None:
    served = client("GET", "/openapi.json")[1]["paths"]
    names = {f"{method.upper()} {path}" for path, methods in served.items() for method in methods}
    assert names | UNDESCRIBED == {f"{method} {path}" for method, path, _, _ in REACH}
    assert set(SCOPES) == set(TABLE.scopes)
    decide = served["/v1/decisions"]["post"]
    assert decide["security"] == [{"key": []}]
    assert decide["description"].endswith("Scopes: decide, agent, data-science, publish, admin.")
    assert served["/healthz"]["get"]["security"] == []


@pytest.mark.promise("keys.scopes")
@pytest.mark.parametrize("scope", [*SCOPES, None])
def test_a_key_reaches_what_its_scope_is_for_and_nothing_else(client: Client, scope: str | None) -> None:
    """Every cell of the table by a request; a stream is asked for on a channel that does not exist."""
    caller = client.of_scope(scope)
    for method, route, body, scopes in REACH:
        path = re.sub(r"\{\w+\}", f"x-{scope}", route) + ("?channel=none" if "stream" in route else "")
        status, _, content = caller.raw(method, path, body)
        if scopes is OWN_FORM:
            assert (status, b"<h1>Dit formulier stond te lang open</h1>" in content) == (403, True)
        elif scopes is NO_VISIT:
            assert (status, b"<h1>U heeft een link nodig</h1>" in content) == (401, True)
        elif scopes is NOT_PERMITTED:
            assert (status, b"<h1>Sign in</h1>" in content) in {(401, True), (403, True)}
        elif scopes is EVERYONE or scope == "admin" or scope in scopes:
            assert status not in (401, 403), (scope, method, route, body, content)
        else:
            assert status == (401 if scope is None else 403), (scope, method, route, body, content)


@pytest.mark.promise("keys.scopes")
def test_no_spelling_of_a_path_goes_round_the_table(client: Client) -> None:
    agent, nobody = client.of_scope("agent"), client.of_scope(None)
    assert agent("GET", "/v1/customers/x/export")[0] == 403
    assert agent("GET", "/v1/customers/x%2Fexport")[1]["customer_id"] == "x/export"
    assert agent("GET", "/v1/customers/x/%65xport")[0] == 403
    for path in ("/v1/%64ecisions", "/v1/decisions", "/v1/decisions/", "//v1/decisions", "/V1/decisions"):
        assert nobody("POST", path, ask("r-2"))[0] == 401, path
    for method in ("HEAD", "OPTIONS", "PUT", "get", "TRACE"):
        assert nobody.raw(method, "/v1/customers/x")[0] == 401, method
        assert agent.raw(method, "/v1/customers/x")[:2][0] == 405, method


def test_a_path_below_which_the_brain_is_served_twice_opens_nothing(tmp_path: Path) -> None:
    """The framework takes the path away a second time, after the table was asked."""
    workspace = small_workspace(tmp_path / "shop")
    (workspace.root / "brain.yaml").write_text("http: {root_path: /brain}\n")
    brain = Brain(Workspace.open(workspace.root))
    agent = Client(brain, "agent")
    assert agent("GET", "/brain/v1/customers/x")[0] == 200
    assert agent("GET", "/brain/v1/customers/x/export")[0] == 403
    assert agent("GET", "/brain/brain/v1/customers/x/export")[0] == 404
    brain.close()
    serve_under("")


@pytest.mark.promise("keys.scopes")
def test_a_route_without_a_line_in_the_table_does_not_start(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> Json:
        return {}

    monkeypatch.setattr(routes, "operation_routes", lambda app, _: app.get("/v1/everything")(everything))
    with pytest.raises(Refused, match="no line for GET /v1/everything"):
        routes.build_app(client.brain)


def problem(answer: tuple[int, Json]) -> tuple[int, str]:
    return answer[0], answer[1]["type"].rpartition("/")[2]


def test_a_key_that_is_wrong_in_any_character_is_refused(client: Client) -> None:
    right = client.of_scope("agent")
    assert right.key is not None
    for at in range(0, len(right.key), 3):
        other = client.of_scope("agent")
        other.key = right.key[:at] + ("a" if right.key[at] != "a" else "b") + right.key[at + 1 :]
        assert problem(other("GET", "/v1/customers/c-1")) == (401, "no-key"), at
    for key in ("", "brn_", right.key * 2, right.key[:-1], "é" * 52, " "):
        status, answer = client.of_scope(None)("GET", "/v1/customers/c-1", authorization=f"Bearer {key}")
        assert (status, answer["detail"]) == (401, "this key is wrong, expired or revoked")
    for header in (right.key, f"Basic {right.key}", f"Token {right.key}"):
        assert client.of_scope(None)("GET", "/v1/customers/c-1", authorization=header)[0] == 401
    assert client.of_scope(None)("GET", "/v1/customers/c-1", authorization=f"bearer {right.key}")[0] == 200


@pytest.mark.promise("keys.revoked")
def test_a_key_counts_from_its_making_to_its_end(client: Client) -> None:
    ledger, access = client.brain.ledger, Access(client.brain.ledger)
    texts = {name: new_key_text() for name in ("good", "expired")}
    add_key(ledger, kept_key(texts["good"], "agent", "good", "jo", now_us()))
    add_key(ledger, kept_key(texts["expired"], "agent", "expired", "jo", now_us(), expires_us=now_us()))
    assert access.find(texts["good"]) is None, "not read yet"
    access.refresh()
    found = access.find(texts["good"])
    assert found is not None
    assert (found.scopes, found.name, found.made_by, found.who) == ({"agent"}, "good", "jo", f"key:{found.id}")
    assert access.find(texts["expired"]) is None
    access.note()
    assert next(k for k in read_keys(ledger) if k.name == "good").last_used_us is not None
    workspace = str(client.brain.workspace.root)
    run("key", "revoke", found.id, "--workspace", workspace)
    access.refresh()
    assert access.find(texts["good"]) is None
    assert run("key", "revoke", found.id, "--workspace", workspace, expect=1).startswith("id: no key that is in use")


def run(*arguments: str, expect: int = 0) -> str:
    result = CliRunner().invoke(command_line.main, list(arguments))
    assert result.exit_code == expect, result.output
    return result.output


@pytest.mark.promise("keys.never-kept")
def test_keys_are_shown_once_and_kept_as_hashes(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "shop")
    where = ("--workspace", str(workspace.root), "--json")
    made = Workspace.open(workspace.root)
    answer = run("key", "create", "--scope", "decide", "--name", "website", "--expires", "90d", *where)
    key = re.search(r"brn_\w{48}", answer)
    assert key is not None
    assert is_key_text(key[0])
    assert key[0] not in run("key", "list", *where)
    assert "website" in run("key", "list", *where)
    run("decide", "-", *where, expect=1)
    content = [p.read_bytes() for p in made.root.rglob("*") if p.is_file() and p.parent != made.keys]
    secrets = [key[0], *(read_key_file(made, scope) for scope in SCOPES)]
    assert not any(secret.encode()[12:] in part for secret in secrets for part in content)
    assert {(p.stat().st_mode & 0o777) for p in made.keys.iterdir()} == {0o600}
    assert made.keys.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "boss"), "there is no scope boss; there are: decide, agent"),
        (("--scope", "agent", "--expires", "yesterday"), "--expires is a date to come"),
        (("--scope", "agent", "--expires", "2020-01-01T00:00:00Z"), "--expires is a date to come"),
        (("--scope", "agent", "--expires", "2999-01-01"), "--expires is a date to come"),
        (("--scope", "agent", "--expires", "9" * 30 + "d"), "--expires is a date to come"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_in_one_line(
    client: Client, arguments: tuple[str, ...], said: str
) -> None:
    output = run("key", "create", *arguments, "--workspace", str(client.brain.workspace.root), expect=1)
    assert output.startswith(said)
    assert output.count("\n") == 1


@pytest.mark.promise("keys.first-start")
def test_the_first_start_makes_the_keys_and_later_ones_make_none(tmp_path: Path) -> None:
    """Also where an earlier version made the workspace, without a folder of keys."""
    workspace = small_workspace(tmp_path / "shop")
    for file in workspace.keys.iterdir():
        file.unlink()
    workspace.keys.rmdir()
    brain = Brain(workspace)
    assert ensure_keys(workspace, brain.ledger, "jo")
    assert {key.scope for key in read_keys(brain.ledger)} == set(SCOPES)
    assert {key.owner for key in read_keys(brain.ledger)} == {"jo"}
    assert not ensure_keys(workspace, brain.ledger, "jo")
    (workspace.keys / "agent").write_text(new_key_text())
    assert not ensure_keys(workspace, brain.ledger, "jo"), "a file that is put there later opens nothing"
    caller = Client(brain, "agent")
    assert caller("GET", "/v1/customers/c-1")[0] == 401
    brain.close()


def test_in_prod_no_admin_key_lies_in_a_file(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "shop")
    (workspace.root / "brain.yaml").write_text("environment: prod\n")
    prod = Workspace.open(workspace.root)
    brain = Brain(workspace)
    with pytest.raises(Refused, match="in prod no admin key lies in a file"):
        ensure_keys(prod, brain.ledger, "jo")
    (prod.keys / "admin").unlink()
    assert ensure_keys(prod, brain.ledger, "jo")
    make_key_files(prod)
    assert not (prod.keys / "admin").exists()
    brain.close()


@pytest.mark.promise("keys.doors")
def test_another_host_and_a_body_that_a_foreign_page_can_send_are_refused(client: Client) -> None:
    consents = consent("c-1", "marketing")
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::2]"):
        refused = client("POST", "/v1/consents", consents, host=host)
        assert problem(refused) == (421, "wrong-host"), host
        assert "example" not in refused[1]["detail"]
        assert client("GET", "/healthz", host=host)[0] == 421
    for host in ("localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000"):
        assert client("POST", "/v1/consents", consents, host=host)[0] == 200, host
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"):
        refused = client("POST", "/v1/consents", consents, content_type=media)
        assert problem(refused) == (415, "unsupported-media-type"), media
    for media in ("application/json; charset=utf-8", "application/cloudevents+json", "Application/JSON"):
        assert client("POST", "/v1/consents", consents, content_type=media)[0] == 200, media


@pytest.mark.promise("keys.doors")
def test_keys_are_off_only_on_loopback_and_never_in_prod(tmp_path: Path) -> None:
    config = small_workspace(tmp_path / "shop").root / "brain.yaml"
    for text in ("environment: prod\nhttp: {keys: off}\n", "http: {keys: off, host: 0.0.0.0}\n"):
        config.write_text(text)
        with pytest.raises(ConfigError, match="is for development on loopback only"):
            Workspace.open(config.parent)
    config.write_text("http: {keys: off, hosts: [brain.example]}\n")
    brain = Brain(Workspace.open(config.parent))
    caller = Client(brain, None)
    assert caller("GET", "/v1/customers/c-1", host="brain.example")[0] == 200
    assert caller("GET", "/v1/customers/c-1", host="evil.example")[0] == 421
    brain.close()


def test_what_is_refused_is_counted_without_a_personal_datum(client: Client) -> None:
    client.of_scope(None)("GET", "/v1/customers/jan-de-vries")
    client.of_scope("decide")("GET", "/v1/customers/jan-de-vries")
    metrics = client.raw("GET", "/metrics")[2].decode()
    for reason in ("no-key", "out-of-scope"):
        assert f'brain_refused_requests_total{{reason="{reason}"}}' in metrics
    assert "jan" not in metrics


@pytest.mark.promise("keys.limited")
def test_a_key_may_be_for_some_issues_and_channels_only(tmp_path: Path) -> None:
    """Everything else is as if the catalogue did not have it: what was stopped says so."""
    workspace = small_workspace(tmp_path / "shop")
    where = ("--workspace", str(workspace.root), "--json")
    brain = Brain(Workspace.open(workspace.root))
    Client(brain)
    limits = ("--issues", "service, hardship", "--channels", "web")
    made = json.loads(run("key", "create", "--scope", "agent", *limits, *where))
    assert (made["issues"], made["channels"]) == (["hardship", "service"], ["web"])
    client = Client(brain)
    welcome(client, "c-1")
    limited = client.of_scope(None)
    limited.key = made["key"]
    request = ask("r-1", placements=[{"name": "hero", "limit": 5}])
    answer = limited("POST", "/v1/decisions", request)[1]
    assert {offer["issue"] for offer in offers(answer)} == {"service"}
    unlimited = client("POST", "/v1/decisions", {**request, "request_id": "r-2"})[1]
    assert "grow" in {offer["issue"] for offer in offers(unlimited)}
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    assert why["request"]["issues"] == ["hardship", "service"]
    assert "request:issues" in {c["gate"] for c in why["candidates"] if not c["passed"]}
    assert limited("POST", "/v1/decisions", request)[1]["decision_id"] == answer["decision_id"]
    for more, field in (({"channel": "email"}, "channel"), ({"issues": ["grow"]}, "issues")):
        status, problem = limited("POST", "/v1/decisions", ask(f"r-{field}", **more))
        assert (status, problem["field"]) == (403, field)
    assert limited("GET", "/v1/moments/stream?channel=email")[0] == 403
    assert offers(limited("POST", "/v1/decisions", ask("r-3", issues=["hardship"]))[1]) == []
    assert explaining.recomputes(brain, brain.ledger.lookup(f"decision:{answer['decision_id']}"))
    brain.close()
    for option, value in (("--issues", "sell"), ("--expires", "yesterday")):
        assert run("key", "create", "--scope", "agent", option, value, *where, expect=1)
