"""Signals and moments on the real server: seen by the next decision on any channel, and shown on a screen."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.serving.server import Server
from tests.serving.test_server_changes import decided, welcome
from tests.serving.workspaces import Json, signal

pytestmark = pytest.mark.server


@contextmanager
def screen(server: Server, customer: str) -> Iterator[Iterator[Json]]:
    """Yield the decisions that a browser's EventSource receives on the web channel."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
    connection.request("GET", f"/v1/moments/stream?channel=web&customer_id={customer}", headers=server.headers)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert answer.readline() == b"retry: 1000\n"
    assert answer.readline().startswith(b"id: ")
    lines = (line.decode() for line in iter(answer.readline, b""))
    yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
    connection.close()


@pytest.mark.promise("signals.seen-by-next-decision")
def test_what_happens_is_seen_by_the_next_decision_and_opens_one_on_a_screen(server: Server) -> None:
    welcome(server, "c-live")
    with screen(server, "c-live") as events:
        for n in range(3):
            status, result = server("POST", "/v1/signals", signal("payment-failure", "customer:c-live"))
            assert (status, result["accepted"]) == (200, 1)
            why = server("GET", f"/v1/decisions/{decided(server, f'live-{n}', 'c-live')['decision_id']}")[1]
            assert why["facts"]["payment_failures_10min"] == n + 1
        moment = next(events)
    assert (moment["moment"], moment["decision"]["customer_id"]) == ("payment-trouble", "c-live")
    status, why = server("GET", f"/v1/decisions/{moment['decision']['decision_id']}")
    assert (status, why["request"]["moment"]) == (200, "payment-trouble")


@pytest.mark.long
@pytest.mark.promise("moments.screens")
def test_a_stream_without_traffic_is_not_cut(server: Server) -> None:
    """The proxy's limit for an answer on which nothing is sent is 4 seconds here."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=40)
    connection.request("GET", "/v1/moments/stream?channel=web&customer_id=c-quiet", headers=server.headers)
    began = time.monotonic()
    answer = connection.getresponse()
    assert answer.read().startswith(b"retry: 1000\nid: "), "it ends as it was meant to, not in the middle of a chunk"
    assert 24 < time.monotonic() - began < 35
    connection.close()


def test_bad_signals_are_told_by_index_through_the_proxy_too(server: Server) -> None:
    status, answer = server("POST", "/v1/signals", [signal("page-view", "customer:c-live", page="home"), {"id": 7}])
    assert (status, [r["status"] for r in answer["results"]]) == (200, ["accepted", "refused"])
    assert server("POST", "/v1/signals", [signal("page-view", "customer:c-live", page="home")] * 1_001)[0] == 422
