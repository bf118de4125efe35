"""What HAProxy refuses before a replica sees it, with Ray Serve's configuration, and what it passes on encrypted."""

import datetime
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from decisioning.errors import Refused
from serving.access import tls
from serving.lifecycle import haproxy_doors
from serving.lifecycle.haproxy import LIMITED_HEADER, PEER
from serving.lifecycle.haproxy_doors import HEALTH, SIGN_INS_PER_10_S, WRONG_KEYS_PER_S
from serving.problems import MAX_BODY_BYTES
from serving.settings import BrainSettings, Http, Tls, Workspace
from tests.serving.test_haproxy_errors import Proxy
from tests.serving.test_rooms import sent

WRONG, RIGHT, OTHER = (f"Authorization: Bearer {name}" for name in ("wrong", "right", "other"))


class Keeper(BaseHTTPRequestHandler):
    """Answers 401 to the wrong key under `/v1`, and else how long the body is; it counts what it is asked."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, str]] = []

    def do_POST(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if not self.path.startswith("/-/"):
            self.asked.append({name.lower(): value for name, value in self.headers.items()})
        refused = "wrong" in self.headers.get("Authorization", "wrong") and self.path.startswith("/v1/")
        body = json.dumps({"length": length}).encode()
        self.send_response(401 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def replica() -> Iterator[int]:
    Keeper.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()


def post(path: str, *headers: str) -> bytes:
    return sent("POST", path, "{}", *headers)


@pytest.mark.promise("doors.bodies")
def test_a_body_takes_no_place_of_a_replica_before_it_has_come(tmp_path: Path, replica: int) -> None:
    """There is one place, and sixteen clients have sent a part of their body: one byte, or twenty thousand."""
    proxy = Proxy(tmp_path / "w", replica, http=Http(max_ongoing_requests=1, max_queued_requests=0))
    whole = sent("POST", "/v1/outcomes", " " * 30_000, RIGHT)
    slow = [socket.create_connection(("127.0.0.1", proxy.port), timeout=10) for _ in range(16)]
    for n, connection in enumerate(slow):
        connection.sendall(whole[: len(whole) - (29_999 if n % 2 else 10_000)])
    assert proxy.ask(post("/v1/decisions", RIGHT))[0] == 200
    assert len(Keeper.asked) == 1
    slow[0].sendall(whole[len(whole) - 10_000 :])
    answer = b""
    while not answer.endswith(b"30000}") and (part := slow[0].recv(65536)):
        answer += part
    assert answer.endswith(b"30000}")
    for connection in slow:
        connection.close()
    proxy.stop()


@pytest.mark.promise("doors.bodies")
@pytest.mark.parametrize("length", ["declared", "unknown"])
def test_a_body_that_is_too_large_reaches_no_replica(tmp_path: Path, replica: int, length: str) -> None:
    proxy = Proxy(tmp_path / "w", replica)
    largest, larger = (sent("POST", "/v1/signals", " " * n, RIGHT) for n in (MAX_BODY_BYTES, MAX_BODY_BYTES + 1))
    if length == "unknown":
        largest, larger = (_chunked(request) for request in (largest, larger))
    assert proxy.ask(larger)[2]["field"] == "body"
    assert Keeper.asked == []
    status, _, answer = proxy.ask(largest)
    assert (status, answer) == (200, {"length": MAX_BODY_BYTES if length == "declared" else 0})
    proxy.stop()


def _chunked(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [b"Transfer-Encoding: chunked" if b"Length" in line else line for line in head.split(b"\r\n")]
    return b"\r\n".join([*lines, b"", b"%x" % len(body), body, b"0", b"", b""])


def test_long_headers_reach_no_replica(tmp_path: Path, replica: int) -> None:
    proxy = Proxy(tmp_path / "w", replica)
    for request in (post("/v1/decisions", "X: " + "x" * 20_000), post("/v1/" + "x" * 9_000)):
        status, _, problem = proxy.ask(request)
        assert (status, problem["type"]) == (400, "/problems/malformed-request")
    assert Keeper.asked == []
    proxy.stop()


def burst(proxy: Proxy, *requests: bytes) -> list[int]:
    """Return the statuses of requests that are sent at once, one after the other on one connection."""
    *kept, last = requests
    answer = proxy.answer(b"".join(request.replace(b"Connection: close\r\n", b"") for request in kept) + last)
    return [int(status) for status in re.findall(rb"HTTP/1.1 ([0-9]{3})", answer)]


def guesses(proxy: Proxy, number: int) -> list[int]:
    """Return the statuses of sixty requests with a wrong key, one with a key that no replica saw, and a right one."""
    unknown = post("/v1/consents", f"{OTHER}-{number}")
    return burst(proxy, *[post("/v1/decisions", WRONG)] * (3 * WRONG_KEYS_PER_S), unknown, post("/v1/decisions", RIGHT))


@pytest.mark.promise("doors.wrong-keys")
def test_after_twenty_wrong_keys_in_a_second_an_addresss_unknown_keys_are_refused_unseen(
    tmp_path: Path, replica: int
) -> None:
    """A key that was accepted before is not refused, nor is `/healthz` or what the supervisor asks (there is no Ray
    here to answer). None is accepted by a path that asks for none.

    On a machine that is so busy that a burst takes seconds, it is sent again.
    """
    proxy = Proxy(tmp_path / "w", replica)
    assert burst(proxy, post("/v1/decisions", RIGHT), post("/healthz", WRONG)) == [200, 200]
    bursts = [guesses(proxy, 0)]
    while bursts[-1][-3:] != [429, 429, 200] and len(bursts) < 50:
        bursts.append(guesses(proxy, len(bursts)))
    assert bursts[0][:WRONG_KEYS_PER_S] == [401] * WRONG_KEYS_PER_S
    assert bursts[-1][-3:] == [429, 429, 200]
    assert len(Keeper.asked) == 2 + sum(status != 429 for statuses in bursts for status in statuses)
    status, head, problem = proxy.ask(post("/v1/consents", WRONG))
    while status != 429:
        guesses(proxy, 0)
        status, head, problem = proxy.ask(post("/v1/consents", WRONG))
    assert problem["type"] == "/problems/too-many-requests"
    assert "retry-after: 1" in head
    last: list[int] = []
    while last[-1:] != [429]:
        more = (post(path) for path in ("/healthz", HEALTH, "/docs"))
        last = burst(proxy, *[post("/v1/decisions", WRONG)] * (3 * WRONG_KEYS_PER_S), *more)
    assert last[-3:-1] == [200, 503]
    proxy.stop()


@pytest.mark.promise("people.limits")
def test_an_address_that_signs_in_too_often_is_refused_before_a_replica(tmp_path: Path, replica: int) -> None:
    """Whatever its cookies. What people of ended sessions ask counts as no wrong key."""
    proxy = Proxy(tmp_path / "w", replica)
    ended = sent("GET", "/v1/customers/c-1", "", "Cookie: brain-session=ended")
    assert burst(proxy, *[ended] * (3 * WRONG_KEYS_PER_S), post("/healthz", OTHER))[-1] == 200
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 20 * SIGN_INS_PER_10_S:
        tries = [post("/sign-in", f"Cookie: form={len(statuses) + n}") for n in range(SIGN_INS_PER_10_S)]
        statuses += burst(proxy, *tries, post("/sign-in/provider"))
    assert statuses[:SIGN_INS_PER_10_S] == [200] * SIGN_INS_PER_10_S
    assert 429 in statuses
    status, head, _ = proxy.ask(post("/sign-in"))
    assert (status, "retry-after: 10" in head) == (429, True)
    assert proxy.ask(post("/v1/decisions", RIGHT))[0] == 200
    proxy.stop()


@pytest.mark.promise("doors.reloads")
def test_every_table_is_handed_to_the_next_process(tmp_path: Path) -> None:
    """The witness of the test below, which waits."""
    lines = haproxy_doors.tables(tmp_path / "peers.sock")
    tables = [line for line in lines if "stick-table" in line]
    assert len(tables) == 3
    assert all(line.endswith(f" peers {PEER}") for line in tables)
    assert f"    peer {PEER} unix@{tmp_path}/peers.sock" in lines, "a port would be open to every user of the machine"


@pytest.mark.long
@pytest.mark.promise("doors.reloads")
def test_what_was_counted_outlives_a_reload(tmp_path: Path, replica: int) -> None:
    """A process hands on what it has counted once it has served for ten seconds."""
    proxy = Proxy(tmp_path / "w", replica)
    time.sleep(12)
    assert burst(proxy, post("/v1/decisions", RIGHT)) == [200]
    proxy.reload()
    bursts = [guesses(proxy, 0)]
    while bursts[-1][-2] != 429 and len(bursts) < 50:
        bursts.append(guesses(proxy, len(bursts)))
    proxy.stop()
    assert bursts[-1][-2:] == [429, 200], "the new process knows the key that the old one saw accepted, and no other"


@pytest.mark.promise("doors.limits")
def test_a_key_that_asks_too_often_is_refused_but_never_a_right(tmp_path: Path, replica: int) -> None:
    """One of the refused goes on to a replica, which records it; a client cannot claim to be that one."""
    proxy = Proxy(tmp_path / "w", replica, http=Http(max_key_requests_per_s=5))
    restriction = sent("PATCH", "/v1/customers/c-1", '{"restricted": true}', RIGHT)
    rights = (post("/v1/consents", RIGHT), sent("DELETE", "/v1/customers/c-1", "", RIGHT), restriction)
    tool = post("/mcp", RIGHT, "MCP-Protocol-Version: 2026-07-28", "Mcp-Name: refuse_consent")
    decisions = [post("/v1/decisions", RIGHT, f"{LIMITED_HEADER}: 1")] * 60
    statuses = burst(proxy, *decisions, *rights, tool, post("/v1/decisions", OTHER))
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    assert statuses[-5:] == [200] * 5, "neither a right nor what another key asks"
    assert sum(LIMITED_HEADER in headers for headers in Keeper.asked) == 1
    proxy.stop()


def test_rays_own_paths_answer_this_machine(tmp_path: Path, replica: int) -> None:
    """The supervisor asks there whether requests are answered."""
    proxy = Proxy(tmp_path / "w", replica)
    assert b"no-such-path" not in proxy.answer(sent("GET", "/-/routes"))
    proxy.stop()


def certificate(folder: Path, begins_in: int = -1, days: int = 2) -> Tls:
    """Write a certificate for localhost, signed by itself, and its key; it is valid in so many days, for so many."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    begin = datetime.datetime.now(datetime.UTC) + datetime.timedelta(begins_in)
    end = begin + datetime.timedelta(days)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
    alone = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = built.add_extension(alone, critical=False).sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").touch(0o600)
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return Tls(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))


@pytest.mark.promise("doors.tls")
def test_with_a_certificate_every_request_is_encrypted(tmp_path: Path, replica: int) -> None:
    files = certificate(tmp_path)
    proxy = Proxy(tmp_path / "w", replica, http=Http(tls=files))
    trusted = ssl.create_default_context(cafile=files.certificate)
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(post("/v1/decisions", RIGHT))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 200 OK" in answer
    assert b"strict-transport-security: max-age=" in answer.lower()
    with suppress(ConnectionResetError):
        assert proxy.answer(post("/v1/decisions", RIGHT)) == b"", "what is not encrypted is not answered"
    assert (tmp_path / "w" / "certificate.pem").stat().st_mode & 0o777 == 0o600
    assert len(Keeper.asked) == 1
    proxy.stop()


@pytest.mark.promise("doors.tls")
def test_files_that_cannot_serve_are_refused_in_one_line(tmp_path: Path) -> None:
    def refused(certificate_file: str, key: str) -> str:
        http = Http(tls=Tls(certificate=certificate_file, key=key))
        with pytest.raises(Refused) as told:
            tls.joined(Workspace(tmp_path, BrainSettings(http=http)), tmp_path)
        assert not (tmp_path / "certificate.pem").exists()
        assert "\n" not in str(told.value)
        return str(told.value)

    good = certificate(tmp_path)
    assert refused(good.key, good.certificate).endswith("are no certificate and its key")
    assert refused(good.certificate, "missing.pem") == (
        f"http.tls: cannot read {tmp_path}/missing.pem: No such file or directory"
    )
    assert refused(good.certificate, ".").endswith(": Is a directory")
    Path(good.key).chmod(0o644)
    assert refused(good.certificate, good.key).startswith(f"http.tls: every user may read {good.key}; run: chmod")
    Path(good.key).chmod(0o640)
    for begins_in, said in ((-9, "expired on 20"), (1, "is valid from 20")):
        other = certificate(tmp_path, begins_in)
        assert said in refused(other.certificate, other.key)
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert refused(good.certificate, good.key).endswith("are no certificate and its key")
