"""The brain behind a reverse proxy under a path: a real HAProxy that takes the path away, or leaves it."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import uvicorn
from fastapi import FastAPI

from decisioning.errors import ConfigError
from serving.brain.runtime import Brain
from serving.http.routes import build_app
from serving.lifecycle import environment
from serving.lifecycle.ports import LOOPBACK, is_free
from serving.problems import serve_under
from serving.settings import OWN_PATHS, BrainSettings, Workspace
from tests.serving.server import free_port
from tests.serving.workspaces import Client as InProcess
from tests.serving.workspaces import ask, small_workspace, welcome

ROOT = "/shop/brain"
PROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend outside
    bind 127.0.0.1:{port}
    http-request return status 404 unless {{ path_beg {root}/ }}
    {strip}
    default_backend inside
backend inside
    server brain 127.0.0.1:{inside}
"""
STRIP = f"http-request replace-path {ROOT}(/.*) \\1"


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brain]:
    root = tmp_path_factory.mktemp("under") / "ws"
    small_workspace(root)
    (root / "brain.yaml").write_text(f"http: {{root_path: {ROOT}, keys: off}}\n")
    brain = Brain(Workspace.open(root))
    yield brain
    serve_under("")
    brain.close()


@pytest.fixture(scope="module")
def inside(brain: Brain) -> Iterator[int]:
    """The port at which the application itself listens."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(build_app(brain), LOOPBACK, port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until_listening(port)
    yield port
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module", params=["path taken away", "path left"])
def outside(inside: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the reverse proxy."""
    binary, port = environment.haproxy_binary(), free_port()
    if binary is None:
        pytest.skip("there is no HAProxy for this machine")
    config: Path = tmp_path_factory.mktemp("proxy") / "haproxy.cfg"
    strip = STRIP if request.param == "path taken away" else ""
    config.write_text(PROXY.format(port=port, inside=inside, root=ROOT, strip=strip))
    process = subprocess.Popen([binary, "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
    _until_listening(port)
    yield port
    process.kill()
    process.wait()


def _until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while is_free(LOOPBACK, port):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def get(port: int, path: str, method: str = "GET", body: Any = None) -> tuple[int, str]:
    connection = HTTPConnection(LOOPBACK, port, timeout=10)
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.promise("serving.under-a-path")
def test_every_link_of_the_documentation_leads_somewhere(outside: int) -> None:
    status, docs = get(outside, f"{ROOT}/docs")
    links = [urljoin(f"{ROOT}/docs", link) for link in re.findall(r'(?:src|href)="(docs[^"]+)"', docs)]
    assert (status, len(links)) == (200, 3)
    assert [get(outside, link)[0] for link in links] == [200] * 3
    assert '"openapi.json"' in get(outside, links[-1])[1], "beside the page"
    schema = json.loads(get(outside, f"{ROOT}/openapi.json")[1])
    assert schema["servers"] == [{"url": ROOT}]
    assert "/v1/decisions" in schema["paths"]
    assert get(outside, "/docs")[0] == 404, "the proxy has other paths for others"


@pytest.mark.promise("serving.under-a-path")
def test_decisions_are_made_and_explained_and_ids_are_encoded_as_ever(outside: int, brain: Brain) -> None:
    welcome(InProcess(brain), "c-under")
    made = get(outside, f"{ROOT}/v1/decisions", "POST", ask(f"under-{outside}", "c-under"))
    assert made[0] == 200
    assert get(outside, f"{ROOT}/v1/decisions/{json.loads(made[1])['decision_id']}")[0] == 200
    status, customer = get(outside, f"{ROOT}/v1/customers/c%2Funder%2F{outside}")
    assert (status, json.loads(customer).get("customer_id", "")) in ((200, f"c/under/{outside}"), (404, ""))
    assert get(outside, f"{ROOT}/healthz")[0] == get(outside, f"{ROOT}/metrics")[0] == 200


@pytest.mark.promise("serving.under-a-path")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/decisions", {}),
        ("GET", "/nowhere", None),
        ("PUT", "/v1/decisions", None),
        ("POST", "/v1/signals", {}),
    ],
)
def test_the_type_of_a_problem_is_a_path_at_which_the_proxy_describes_it(
    outside: int, method: str, path: str, body: Any
) -> None:
    status, text = get(outside, f"{ROOT}{path}", method, body)
    problem = json.loads(text)
    assert problem["status"] == status >= 400
    assert problem["type"].startswith(f"{ROOT}/problems/")
    described, about = get(outside, problem["type"])
    assert (described, json.loads(about)["title"]) == (200, problem["title"])


def test_beside_the_proxy_the_paths_are_as_ever(inside: int) -> None:
    assert [get(inside, path)[0] for path in ("/healthz", f"{ROOT}/healthz", f"{ROOT}x/healthz")] == [200, 200, 404]


def test_without_a_path_nothing_stands_between_a_request_and_its_route(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain.workspace, "settings", BrainSettings())
    app: FastAPI = build_app(brain)
    assert "UnderPath" not in {middleware.cls.__name__ for middleware in app.user_middleware}
    status, problem = InProcess(brain)("GET", "/nowhere")
    serve_under(ROOT)
    assert (status, problem["type"]) == (404, "/problems/no-such-path")


@pytest.mark.parametrize("path", ["brain", "/brain/", "/a b", "/", "/v1", "/docs/x", "/%41"])
def test_a_path_that_cannot_be_is_refused_by_its_setting(tmp_path: Path, path: str) -> None:
    (tmp_path / "brain.yaml").write_text(f"http: {{root_path: {json.dumps(path)}}}\n")
    with pytest.raises(ConfigError, match=r"http\.root_path"):
        Workspace.open(tmp_path)


def test_the_paths_that_a_root_must_not_begin_with_are_those_that_there_are(brain: Brain) -> None:
    app = build_app(brain)
    own = {route.path.split("/")[1] for route in app.routes} - {""}  # type: ignore[attr-defined]
    assert own <= set(OWN_PATHS)
