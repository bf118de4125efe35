"""Errors over HTTP: problem documents with a type, from whatever part, with nothing of what was sent."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from decisioning import errors
from serving.brain.runtime import Brain
from serving.problems import BUG, PROBLEM_TYPES, type_of
from tests.serving.workspaces import Client, ask, signal, small_workspace

NAME = "jan@example.org"
"""What may not be repeated in any answer or log."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("problems") / "ws"))
    yield Client(brain)
    brain.close()


CASES: dict[str, tuple[str, str, Any, str, str | None]] = {
    "a path parameter": ("GET", f"/v1/customers/{NAME * 10}", None, "invalid-request", "customer_id"),
    "a path parameter of a visitor": ("DELETE", f"/v1/visitors/{NAME * 10}", None, "invalid-request", "visitor_id"),
    "a query parameter": ("GET", f"/v1/decisions/d?contributions={NAME}", None, "invalid-request", "contributions"),
    "a number in a query": ("GET", f"/v1/moments/dead?after={NAME}", None, "invalid-request", "after"),
    "a query parameter that is missing": ("GET", "/v1/moments/stream", None, "invalid-request", "channel"),
    "a cursor": ("GET", f"/v1/customers/c-1/export?after={NAME}", None, "invalid-request", "after"),
    "an unknown path": ("GET", f"/v1/nothing/{NAME}", None, "no-such-path", None),
    "an unknown method": ("PUT", "/v1/decisions", None, "method-not-allowed", None),
    "a method of the way without routing": ("GET", "/v1/signals", None, "method-not-allowed", None),
    "a slash at the end of a POST": ("POST", "/v1/decisions/", ask("r"), "no-such-path", None),
    "a slash at the end of a GET": ("GET", "/v1/customers/c-1/", None, "no-such-path", None),
    "two slashes and a host": ("GET", f"//{NAME}/v1/decisions/", None, "no-such-path", None),
    "one signal that is refused": ("POST", "/v1/signals", signal(NAME, "customer:c-1"), "signals-refused", None),
    "signals that are all refused": ("POST", "/v1/signals", [{"id": NAME}, {}], "signals-refused", None),
    "a field that is no name": ("PATCH", "/v1/customers/c-1", {"facts": {"age": 1}, NAME: 1}, "invalid-request", "*"),
    "a fact that is no name": ("PATCH", "/v1/customers/c-1", {"facts": {NAME: 1}}, "invalid-request", "facts.*"),
    "a fact of a request": ("POST", "/v1/decisions", ask("r", context={NAME: 1}), "invalid-request", "context.*"),
    "a purpose of a platform": (
        "POST",
        "/v1/decisions",
        ask("r", consent_platform={NAME: True}),
        "invalid-request",
        "*",
    ),
    "a time": ("POST", "/v1/decisions", ask("r", mode="preview", as_of=NAME), "invalid-request", "as_of"),
    "a body that is too large": ("POST", "/v1/signals", b" " * 4_000_001, "too-large", "body"),
    "a type of problem that is unknown": ("GET", f"/problems/{NAME}", None, "not-found", "name"),
    "a decision that is unknown": ("GET", f"/v1/decisions/{NAME}", None, "not-found", "decision_id"),
}


@pytest.mark.promise("serving.problem-documents")
@pytest.mark.parametrize("case", CASES)
def test_an_error_is_a_problem_document_with_a_type_and_nothing_of_the_value(client: Client, case: str) -> None:
    method, path, body, name, field = CASES[case]
    status, headers, content = client.raw(method, path, body)
    document = json.loads(content)
    kind = PROBLEM_TYPES[name]
    assert headers["content-type"] == "application/problem+json"
    assert (status, document["status"], document["type"]) == (kind.status, kind.status, f"/problems/{name}")
    assert (document["title"], document.get("field")) == (kind.title, field)
    assert document["detail"]
    assert NAME not in content.decode()
    assert "location" not in headers
    assert ("allow" in headers) == (status == 405)


@pytest.mark.promise("serving.problem-documents")
@pytest.mark.parametrize("route", ["POST /v1/decisions", "GET /v1/customers/c-1"])
def test_a_mistake_of_the_server_is_a_problem_document_and_is_logged_without_its_value(
    client: Client, route: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(NAME)

    monkeypatch.setattr(client.brain, "answer", fail)
    monkeypatch.setattr(client.brain, "subject_stream", fail)
    method, path = route.split()
    with caplog.at_level(logging.ERROR, "ray.serve"):
        status, headers, content = client.raw(method, path, ask("r") if method == "POST" else None)
    assert (status, json.loads(content)["type"]) == (500, "/problems/internal-error")
    assert headers["content-type"] == "application/problem+json"
    assert NAME not in content.decode() + caplog.text
    assert "ValueError at " in caplog.text


def test_the_contract_declares_no_other_form_of_error(client: Client) -> None:
    contract = client("GET", "/openapi.json")[1]
    assert not [name for name in contract["components"]["schemas"] if "ValidationError" in name]
    for operations in contract["paths"].values():
        for operation in operations.values():
            failing = [answer for status, answer in operation["responses"].items() if not status.startswith("2")]
            assert failing
            assert all("application/problem+json" in answer["content"] for answer in failing)


def test_every_error_of_the_brain_but_the_root_has_a_type_of_its_own() -> None:
    """Else it would be answered, and logged, as a mistake of the server."""
    known = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BrainError)]
    built = {kind: kind.__new__(kind) for kind in known}
    assert {kind.__name__ for kind, error in built.items() if type_of(error) is BUG} == {"BrainError"}


def test_each_type_is_described_at_its_own_path(client: Client) -> None:
    for name, kind in PROBLEM_TYPES.items():
        status, described = client("GET", kind.uri)
        assert (status, described["name"], described["status"]) == (200, name, kind.status)
        assert described["about"]
