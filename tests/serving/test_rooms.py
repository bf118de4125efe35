"""The rooms of HAProxy, with Ray Serve's configuration: what is refused, and what is let in all the same."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving import problems
from serving.http.admission import ARRIVED_HEADER, REFUSED_HEADER, SHED_HEADER
from serving.lifecycle import environment
from serving.settings import Http
from tests.serving.test_haproxy_errors import Proxy, get


class Holding(BaseHTTPRequestHandler):
    """Answers with the headers that it got; a decision, and what is asked to `wait`, only once it may."""

    may_answer = threading.Event()
    waiting = threading.Semaphore(0)

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if ("wait" in self.path or self.path == "/v1/decisions") and REFUSED_HEADER not in self.headers:
            self.waiting.release()
            self.may_answer.wait(30)
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def replica() -> Iterator[int]:
    Holding.may_answer, Holding.waiting = threading.Event(), threading.Semaphore(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Holding)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    Holding.may_answer.set()
    server.shutdown()
    problems.serve_under("")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def sent(method: str, path: str, body: str = "", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", body]).encode()


DECISION = sent("POST", "/v1/decisions", "{}")
Answered = tuple[int, str, dict[str, object]]


def is_refused(answer: Answered) -> bool:
    """Tell whether HAProxy refused a decision, or left its refusal to the replica."""
    status, _, document = answer
    return status == 503 or REFUSED_HEADER in document


def held(pool: ThreadPoolExecutor, proxy: Proxy, *requests: bytes) -> list[Future[Answered]]:
    """Send requests that the replica holds, and return once it has them all."""
    answers = [pool.submit(proxy.ask, request) for request in requests]
    for _ in requests:
        assert Holding.waiting.acquire(timeout=10)
    return answers


def test_rights_have_room_while_decisions_and_all_other_requests_have_none(
    tmp_path: Path, replica: int, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "CROWD_MS", 0)
    proxy = Proxy(tmp_path / "w", replica, http=Http(max_ongoing_requests=2, max_queued_requests=0, root_path="/brain"))
    waiting = held(pool, proxy, DECISION, get("/wait/1"), get("/wait/2"))
    for path in ("/v1/decisions", "/brain/v1/decisions"):
        assert is_refused(proxy.ask(sent("POST", path, "{}")))
    facts = sent("PATCH", "/v1/customers/c-1", json.dumps({"facts": {"age": 40}}))
    assert [proxy.ask(other)[0] for other in (get("/v1/customers/c-1"), facts)] == [503, 503]
    rights = [
        sent("POST", "/v1/consents", "{}"),
        sent("POST", "/me/stop", "a=b"),
        sent("POST", "/me/erase", "a=b"),
        sent("POST", "/brain/v1/consents", "{}"),
        sent("DELETE", "/brain/v1/customers/c-1"),
        sent("DELETE", "/v1/customers/c-1"),
        sent("DELETE", "/v1/visitors/v-1"),
        sent("DELETE", "/v1/accounts/a-1"),
        sent("PATCH", "/v1/customers/c-1", json.dumps({"facts": {"age": 40}, "restricted": True})),
        sent("PATCH", "/v1/visitors/v-1", json.dumps({"restricted": False})),
    ]
    assert [proxy.ask(right)[0] for right in rights] == [200] * len(rights)
    Holding.may_answer.set()
    assert {answer.result()[0] for answer in waiting} == {200}
    told = proxy.ask(get("/metrics"))[2][SHED_HEADER]
    assert told == "decision=2,right=0,stream=0,other=2,key=0,address=0"
    proxy.stop()


@pytest.mark.promise("streams.room")
def test_streams_have_places_of_their_own_and_leave_those_of_all_other_requests(
    tmp_path: Path, replica: int, pool: ThreadPoolExecutor
) -> None:
    settings = Http(max_ongoing_requests=1, max_queued_requests=0, max_streams=3, root_path="/brain")
    proxy = Proxy(tmp_path / "w", replica, http=settings)
    streams = [get(f"{path}?topic=queue&wait=1") for path in ("/v1/live", "/brain/v1/live", "/v1/moments/stream")]
    waiting = held(pool, proxy, *streams)
    status, head, _ = proxy.ask(get("/v1/live?wait=1"))
    assert (status, "retry-after: 1" in head) == (503, True)
    assert proxy.ask(get("/v1/customers/c-1"))[0] == 200
    (decision,) = held(pool, proxy, DECISION)
    Holding.may_answer.set()
    assert decision.result()[0] == 200
    headers = [answer.result()[2] for answer in waiting]
    assert not any("x-request-disconnect-disabled" in sent for sent in headers), "Ray ends streams of who hung up"
    assert "stream=1," in str(proxy.ask(get("/metrics"))[2][SHED_HEADER])
    proxy.stop()


def test_a_burst_is_let_in_and_a_crowd_that_lasts_is_refused_until_there_was_none_for_a_while(
    tmp_path: Path, replica: int, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd is four decisions. The longer there was no refusal, the longer the next crowd is let in."""
    monkeypatch.setattr(environment, "CROWD_MS", 1000)
    proxy = Proxy(tmp_path / "w", replica, http=Http(max_ongoing_requests=8, max_queued_requests=4))
    crowd = held(pool, proxy, *[DECISION] * 8)
    time.sleep(1.0)
    refused_s = time.monotonic()
    assert is_refused(proxy.ask(DECISION))
    Holding.may_answer.set()
    assert not any(is_refused(answer.result()) for answer in crowd)
    Holding.may_answer.clear()
    crowd = held(pool, proxy, *[DECISION] * 4)
    time.sleep(time.monotonic() - refused_s)
    assert is_refused(proxy.ask(DECISION))
    Holding.may_answer.set()
    assert not any(is_refused(answer.result()) for answer in crowd)
    proxy.stop()


def test_a_refusal_names_fallbacks_now_and_then_only(
    tmp_path: Path, replica: int, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming them takes time from the decisions that are made."""
    monkeypatch.setattr(environment, "CROWD_MS", 0)
    proxy = Proxy(tmp_path / "w", replica, http=Http(max_ongoing_requests=2, max_queued_requests=0))
    (made,) = held(pool, proxy, DECISION)
    held_s = time.monotonic()
    answers = [proxy.ask(DECISION) for _ in range(100)]
    named = [REFUSED_HEADER in headers for _, _, headers in answers]
    assert named[0]
    assert sum(named) <= 1 + (time.monotonic() - held_s) / 0.02
    assert all(is_refused(answer) for answer in answers)
    Holding.may_answer.set()
    assert not is_refused(made.result())
    proxy.stop()


def test_headers_that_only_the_proxy_sets_or_that_stop_a_decision_midway_are_not_a_clients_to_send(
    tmp_path: Path, replica: int
) -> None:
    proxy = Proxy(tmp_path / "w", replica)
    proxys = [f"{REFUSED_HEADER}: 1", f"{ARRIVED_HEADER}: 1"]
    stated = ["Request-Timeout: 0.5", "X-Request-Timeout-Seconds: 0.001", *proxys]
    Holding.may_answer.set()
    for request in (sent("POST", "/v1/decisions", "{}", *stated), sent("POST", "/v1/consents", "{}", *stated)):
        status, _, headers = proxy.ask(request)
        assert status == 200
        assert headers["request-timeout"] == "0.5"
        assert int(str(headers[ARRIVED_HEADER])) > 1_700_000_000_000_000
        assert not headers.keys() & {"x-request-timeout-seconds", REFUSED_HEADER}
    proxy.stop()
