"""Webhooks with a real receiver: signed, retried, given up, and never redirected."""

import hmac
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from features.ledger import Ledger, now_us
from features.moments import Delivery, Moments, Watch, watch
from serving.events import webhooks
from serving.settings import Webhooks, Workspace

BODY = b'{"moment":"cart-left"}'


class Receiver(HTTPServer):
    """A receiver that answers the given statuses in turn, the last one forever, and keeps what it receives."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses, self.got = statuses, list[tuple[dict[str, str], bytes]]()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.thread = Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "brain.yaml").write_text("")
    workspace = Workspace.open(tmp_path)
    workspace.create_secret()
    workspace.data.mkdir()
    return workspace


@pytest.fixture
def moments(workspace: Workspace) -> Iterator[Moments]:
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        moments = Moments(ledger)
        stream = ledger.stream_of("person", "c-1")
        one = Watch(stream, "cart-left", 0, {"customer_id": "c-1"}, "e-1", 0)
        ledger.transact(lambda connection: watch(connection, [one], 0)).result()
        (one,) = moments.claim_due(now_us())
        moments.settle(one, [Delivery.new("d-1", "webhook", stream, "cart-left", "app", now_us(), BODY)])
        yield moments


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)


def send(workspace: Workspace, moments: Moments, url: str | None, times: int, attempts: int = 3) -> None:
    settings = Webhooks(webhook=url, attempts=attempts)
    secrets = partial(webhooks.signing_secrets, workspace, moments._ledger)
    sender = webhooks.Sender(settings, moments, secrets, lambda delivery: delivery.body, lambda _: None)
    for _ in range(times):
        sender.send_due()
    sender.close()


@pytest.mark.promise("moments.webhooks")
def test_a_delivery_arrives_once_with_a_signature_that_a_receiver_can_check(
    workspace: Workspace, moments: Moments
) -> None:
    receiver = Receiver([204])
    send(workspace, moments, receiver.url, times=3)
    receiver.close()
    ((headers, body),) = receiver.got
    assert body == BODY
    assert headers["content-type"] == "application/json"
    (key,) = webhooks.signing_secrets(workspace, moments._ledger)
    secret = webhooks.encoded_secret(key)
    assert secret.startswith("whsec_")
    assert Webhook(secret).verify(body, headers) == {"moment": "cart-left"}
    assert key == hmac.digest(workspace.secret(), b"webhook", "sha256"), "as receivers know it from earlier versions"


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(workspace: Workspace, moments: Moments) -> None:
    receiver = Receiver([500, 503, 200])
    send(workspace, moments, receiver.url, times=5)
    receiver.close()
    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert moments.page("dead", 0, 10) == []


@pytest.mark.promise("moments.webhooks")
@pytest.mark.parametrize(("status", "error"), [(500, "answered 500"), (302, "answered 302"), (410, "answered 410")])
def test_what_fails_too_often_is_a_dead_letter(workspace: Workspace, moments: Moments, status: int, error: str) -> None:
    receiver = Receiver([status])
    send(workspace, moments, receiver.url, times=5)
    receiver.close()
    assert len(receiver.got) == 3
    (dead,) = moments.page("dead", 0, 10)
    assert (dead.error, dead.attempts) == (error, 3)


def test_a_receiver_that_is_not_there_is_an_error_without_its_address(workspace: Workspace, moments: Moments) -> None:
    send(workspace, moments, "http://127.0.0.1:9/secret-path", times=1, attempts=1)
    (dead,) = moments.page("dead", 0, 10)
    assert dead.error == "URLError"


def test_without_a_receiver_deliveries_wait(workspace: Workspace, moments: Moments) -> None:
    send(workspace, moments, None, times=2)
    assert [d.attempts for d in moments.claim_to_send(now_us())] == [0]


def test_pauses_double_and_end() -> None:
    assert [webhooks.pause_s(n) for n in (1, 2, 3)] == [0.0, 0.0, 0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webhooks, "FIRST_PAUSE_S", 1.0)
        assert [webhooks.pause_s(n) for n in (1, 2, 3, 20)] == [1.0, 2.0, 4.0, 600.0]
