"""Bodies that no client should send, over a real socket: each gets a problem document, and the server goes on."""

import json
import socket
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.serving.server import Server
from tests.serving.workspaces import ask

pytestmark = pytest.mark.server

TEN_MB = 10_000_000
MANY = json.dumps(ask("many", placements=[{"name": "hero"}] * 10_000)).encode()


def sent(server: Server, request: bytes) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the answer to raw bytes, even if it comes before all of them were read."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):
            while b"\r\n\r\n" not in answer or not _complete(answer):
                if not (chunk := connection.recv(65536)):
                    break
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12] or 0), head.lower(), body


def _complete(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(length) and len(body) >= int(length)


@pytest.mark.parametrize(
    ("path", "body", "expected", "field"),
    [
        ("/v1/decisions", b" " * TEN_MB, 413, "body"),
        ("/v1/consents", b"[" + b"0," * (TEN_MB // 2), 413, "body"),
        ("/v1/decisions", b'{"request_id": "r-1", ', 422, "body"),
        ("/v1/outcomes", b"\xff\xfe\x00", 422, "body"),
        ("/v1/consents", b"", 422, "body"),
        ("/v1/decisions", b"[" * 100_000, 422, "body"),
        ("/v1/decisions", MANY, 422, "placements"),
    ],
    ids=["10 MB", "10 MB array", "half an object", "no text", "nothing", "deep", "10,000 placements"],
)
def test_a_body_that_cannot_be_taken_is_a_problem_document(
    server: Server, path: str, body: bytes, expected: int, field: str
) -> None:
    status, head, content = sent(server, server.post(path, body))
    assert status == expected, content[:300]
    assert b"application/problem+json" in head
    assert json.loads(content)["field"] == field
    assert server("GET", "/healthz")[0] == 200


def test_a_body_of_unknown_length_is_counted_as_it_comes(server: Server) -> None:
    """The body is chunked, so it has no declared length to refuse it by."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = server.post("/v1/decisions", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    status, _, content = sent(server, head + chunk * 160 + b"0\r\n\r\n")
    assert (status, json.loads(content)["field"]) == (413, "body")


def test_what_is_not_http_is_turned_away(server: Server) -> None:
    assert sent(server, b"\x16\x03\x01 hello\r\n\r\n")[0] == 400
    assert sent(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")[0] in (400, 431)
    assert server("GET", "/healthz")[0] == 200


@pytest.mark.promise("identity.one-type-of-id")
def test_an_id_with_a_slash_goes_through_the_proxy_as_one_segment(server: Server) -> None:
    """Neither HAProxy nor the framework may take `%2F` for a separator, or `..` between two of them for a folder."""
    for n, id_ in enumerate(("a/b", "x/export", "a/../b", "a%2Fb", "a b", "?", "#")):
        path = f"/v1/customers/{quote(id_, safe='')}"
        assert server("POST", "/v1/decisions", ask(f"slash-{n}", id_))[0] == 200
        assert server("PATCH", path, {"facts": {"age": 20 + n}})[0] == 200
        status, known = server("GET", path)
        assert (status, known["customer_id"], known["facts"]["age"]) == (200, id_, 20 + n)
        assert server("GET", f"{path}/export")[1]["customer_id"] == id_
        assert server("DELETE", path) == (200, {"customer_id": id_, "erased": True})
    for refused in ("%ff%fe", "%2e%2e", "a%00b", "null"):
        status, problem = server("GET", f"/v1/customers/{refused}")
        assert (status, problem["field"]) == (422, "customer_id"), refused
