"""The OpenAPI document: valid, whole, and true of what the routes answer."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from decisioning.catalogue.people.selling import version_of
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.customers.rights.asking import open_request
from serving.http.document.operations import OPERATIONS, TAGS
from serving.pages.desk.sales.steps import Click, Ticks, must_say, take_step
from tests.serving.workspaces import Client, Json, ask, consent, offers, signal, small_workspace, welcome

NEEDS_A_PERSON = {"POST /v1/approvals"}
"""No key gets an answer but a refusal; `test_approving` holds the form of an answer to the document."""
IDS = ("step_id", "override_id", "correction_id")
OF_CALENDARS = {
    *("GET /v1/call-backs/slots", "POST /v1/handovers/{handover_id}/appointment"),
    *("POST /v1/handovers/{handover_id}/tries", "POST /v1/handovers/{handover_id}/choice"),
}
"""They need a calendar or time; tests of `handovers` hold their answers to the document."""
ELSEWHERE = NEEDS_A_PERSON | OF_CALENDARS
WITHOUT_JSON = {"GET /v1/live", "GET /v1/moments/stream", "GET /metrics"}
LINK = {"customer_id": "c-7", "identifier": {"kind": "cookie", "value": "7f3a"}, "status": "linked", "source": "x"}
OUTCOME = {"outcome_id": "o-7", "customer_id": "c-7", "action": "tv-bundle", "outcome": "accepted"}
JOIN = {**LINK, "identifier": {"kind": "customer", "value": "c-9"}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("openapi") / "shop"))
    yield Client(brain)
    brain.close()


@pytest.fixture(scope="module")
def document(client: Client) -> Json:
    return client("GET", "/openapi.json")[1]


def of_visitor(request_id: str) -> Json:
    return {name: value for name, value in ask(request_id, visitor_id="v-1").items() if name != "customer_id"}


def made_before(client: Client, customer: str) -> dict[str, Json]:
    """Return route -> what its body names that was made before: a decision about the customer, and their message."""
    welcome(client, customer)
    decision = client("POST", "/v1/decisions", ask(f"r-{customer}", customer))[1]
    action = decision["placements"][0]["offers"][0]["action"]
    event = signal("message", f"customer:{customer}", text="Hello there")
    suggested = {**ask(f"s-{customer}", customer, "agent"), "placements": [{"name": "suggestion", "limit": 4}]}
    sale = next(o for o in offers(client("POST", "/v1/decisions", suggested)[1]) if o["issue"] != "service")
    texts = must_say(client.brain.snapshot.release, sale["action"])
    ticks, click = (
        Ticks(tuple(one.id for one in texts), version_of(texts)),
        Click(None, customer, Doer("key:1", "agent")),
    )
    assert asyncio.run(take_step(client.brain, sale["offer_id"], "agreed", ticks, click))
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1
    return {
        "POST /v1/overrides": {"decision_id": decision["decision_id"], "action": action},
        "POST /v1/sales": {"offer_id": sale["offer_id"]},
        "POST /v1/corrections": {"event_id": event["id"], "event_source": event["source"]},
    }


def operations(document: Json) -> dict[str, Json]:
    return {
        f"{method.upper()} {path}": of for path, methods in document["paths"].items() for method, of in methods.items()
    }


@pytest.mark.promise("contract.document")
def test_the_document_is_valid_and_says_what_a_newcomer_needs_of_every_route(document: Json) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert [tag["name"] for tag in document["tags"]] == list(TAGS)
    routes = operations(document)
    assert routes.keys() == OPERATIONS.keys()
    for route, operation in routes.items():
        assert operation["tags"][0] in TAGS, route
        assert operation["description"], route
        assert 10 < len(operation["summary"]) < 80, route
        assert operation["responses"]["200"]["content"], route
        assert "requestBody" not in operation or operation["requestBody"]["content"]["application/json"]["examples"]
    ids = [operation["operationId"] for operation in routes.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_of_the_document_leads_somewhere(document: Json) -> None:
    for reference in references(document):
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in at, reference
            at = at[part]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part["$ref"],) if isinstance(part.get("$ref"), str) else ()
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


@pytest.mark.promise("contract.document")
def test_every_example_of_the_document_is_taken(client: Client, document: Json) -> None:
    decision = client("POST", "/v1/decisions", ask("r-contested", "c-7"))[1]["decision_id"]
    number = open_request(client.brain, "c-7", "contest", "example", decision_id=decision)
    made = made_before(client, "c-8")
    ids: dict[str, str] = {}
    for route, operation in operations(document).items():
        if route in ELSEWHERE or route == "POST /v1/agent-events":  # of an agent; `handovers/test_agents` sends it
            continue
        method, path = route.replace("{number}", number).split()
        examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
        for name, example in examples.items():
            body = {**example["value"], **made.get(route, {})}
            status, answer = client(method, path.format_map(defaultdict(lambda: "c-1042", ids)), body)
            assert status == 200, (route, name, answer)
            ids |= {key: value for key, value in answer.items() if key == "handover_id"}


HANDOVER = {
    "request_id": "h-1",
    "customer_id": "c-7",
    "conversation_id": "chat-7",
    "channel": "chat",
    "reason": "asks for a person",
}


@pytest.mark.promise("contract.document")
def test_answers_have_the_forms_of_the_document(client: Client) -> None:
    answered: set[str] = set()

    def check(method: str, route: str, body: Any = None, caller: Client = client, **ids: str) -> Json:
        status, answer = caller(method, route.format(**ids), body)
        assert status == 200, (method, route, answer)
        form = OPERATIONS[f"{method} {route.partition('?')[0]}"].answer
        assert form is not None
        form.model_validate(answer, strict=True)
        answered.add(f"{method} {route.partition('?')[0]}")
        return answer

    welcome(client, "c-7")
    for scope in ("admin", "agent", "decide"):
        decision = check("POST", "/v1/decisions", ask(f"r-{scope}", "c-7"), client.of_scope(scope))
        assert decision["placements"][0]["offers"]
        check("POST", "/v1/decisions", of_visitor(f"v-{scope}"), client.of_scope(scope))
        if scope != "decide":
            caller = client.of_scope(scope)
            check("GET", "/v1/decisions/{decision_id}", None, caller, decision_id=decision["decision_id"])
    check("POST", "/v1/decisions", ask("r-mode", "c-7", mode="preview", machine=True))
    check("POST", "/v1/outcomes", [OUTCOME, OUTCOME, {}])
    check("POST", "/v1/outcomes", {**OUTCOME, "outcome_id": "o-2"})
    check("POST", "/v1/consents", [consent("c-7", "marketing"), {}])
    check("POST", "/v1/signals", [signal("page-view", "customer:c-1042", page="home"), {}])
    for route, made in made_before(client, "c-10").items():
        (example,) = OPERATIONS[route].examples.values()
        body = {**example, **made}
        check(*route.split(), [{name: f"{body[name]}-7" if name in IDS else body[name] for name in body}, {}])
    check("POST", "/v1/identities", LINK)
    check("POST", "/v1/identities", JOIN)
    check("PATCH", "/v1/customers/{customer_id}", {"facts": {"age": 41}}, customer_id="c-7")
    check("GET", "/v1/customers/{customer_id}", customer_id="c-7")
    check("GET", "/v1/accounts/{account_id}", account_id="a-1")
    for method, name in (("POST", "links"), ("DELETE", "links"), ("POST", "codes")):
        check(method, f"/v1/customers/{{customer_id}}/{name}", customer_id="c-7")
    number = open_request(client.brain, "c-7", "person", "once")
    for path, body in (("", None), ("/{number}/answers", {"state": "in_review", "reviewer": "e-77"})):
        check("POST" if body else "GET", f"/v1/requests{path}", body, number=number)
    check("GET", "/v1/customers/{customer_id}/export", customer_id="c-7")
    looks = check("GET", "/v1/looks")["looks"]
    assert {look["what"] for look in looks} == {"glance", "explanation", "export"}
    for kind in ("account", "visitor"):
        check("PATCH", f"/v1/{kind}s/{{{kind}_id}}", {"restricted": False}, **{f"{kind}_id": "x-1"})
    for kind in ("customer", "account", "visitor"):
        check("GET", f"/v1/{kind}s/{{{kind}_id}}/export", **{f"{kind}_id": "x-1"})
        check("DELETE", f"/v1/{kind}s/{{{kind}_id}}", **{f"{kind}_id": "x-2"})
    client.of_scope(None)("GET", "/readyz")
    for route in ("/v1/moments/dead", "/v1/moments/withheld", "/v1/security-events", "/readyz", "/healthz"):
        check("GET", route)
    for route in ("/v1/actions", "/v1/channels", "/v1/releases"):
        check("GET", route)
    catalogue = OPERATIONS["POST /v1/releases"].examples["a small catalogue, to check"]
    assert not check("POST", "/v1/releases", catalogue)["proposed"]
    check("GET", "/problems/{name}", name="erased")
    handover = {"handover_id": check("POST", "/v1/handovers", HANDOVER)["handover_id"]}
    check("GET", "/v1/handovers")
    check("GET", "/v1/call-backs/without-agent")
    agent = {"agent_id": "agent-7"}
    (stated,) = OPERATIONS["PUT /v1/agents/{agent_id}"].examples.values()
    events = OPERATIONS["POST /v1/agent-events"].examples.values()
    check("PUT", "/v1/agents/{agent_id}", stated, **agent)
    check("POST", "/v1/agent-events", [*events, {}])
    check("GET", "/v1/agents")
    check("GET", "/v1/agents/{agent_id}", **agent)
    check("GET", "/v1/agents/{agent_id}/export", **agent)
    check("POST", "/v1/routing", {"waiting": {"conversation_id": "k-1", "channel": "chat"}})
    check("DELETE", "/v1/agents/{agent_id}", **agent)
    check("GET", "/v1/handovers/{handover_id}", **handover)
    check("GET", "/v1/handovers/{handover_id}/package", **handover)
    check("POST", "/v1/handovers/{handover_id}/negotiation", {"request_id": "n-1"}, **handover)
    check("POST", "/v1/handovers/{handover_id}/steps", {"state": "cancelled"}, **handover)
    assert answered == OPERATIONS.keys() - WITHOUT_JSON - ELSEWHERE


def test_problem_documents_have_the_form_of_the_document(client: Client, document: Json) -> None:
    from serving.problems import Problem

    erased = [
        ("PATCH", f"/v1/{kind}s/{{{kind}_id}}", {"restricted": True}) for kind in ("customer", "account", "visitor")
    ]
    for _, path, _ in erased:
        client("DELETE", re.sub(r"\{\w+\}", "x-3", path))
    for method, path, body in (("POST", "/v1/decisions", {}), ("GET", "/v1/decisions/{decision_id}", None), *erased):
        status, answer = client(method, re.sub(r"\{\w+\}", "x-3", path), body)
        assert status >= 400
        Problem.model_validate(answer, strict=True)
        assert str(status) in operations(document)[f"{method} {path}"]["responses"], (method, path, status)


def test_the_first_page_says_what_this_is_and_tells_nothing_of_the_workspace(client: Client) -> None:
    status, headers, page = client.of_scope(None).raw("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"openapi.json" in page
    assert client.brain.workspace.name.encode() not in page
    assert client.of_scope(None).raw("HEAD", "/")[0] == 200


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"requestId": "r-1"}, "requestId", "there is no such field; did you mean request_id?"),
        ({**ask("r-1"), "placement": "hero"}, "placement", "there is no such field; did you mean placements?"),
        (
            {**ask("r-1"), "placements": [{"Name": "hero"}]},
            "placements.0.Name",
            "there is no such field; did you mean name?",
        ),
        ({**ask("r-1"), "geheim": 1}, "geheim", "there is no such field"),
    ],
)
def test_a_field_of_another_name_is_told_by_the_one_that_was_meant(
    client: Client, body: Json, field: str, detail: str
) -> None:
    status, problem = client("POST", "/v1/decisions", body)
    assert (status, problem["field"], problem["detail"]) == (422, field, detail)


def test_an_action_of_another_spelling_is_told_by_the_one_that_was_meant(client: Client) -> None:
    _, problem = client("POST", "/v1/outcomes", {**OUTCOME, "action": "tv-bundel"})
    assert problem["detail"] == "no such action in this release; did you mean tv-bundle?"
