"""Moments, from the signal that opens them to the screen and the webhook that show them, under all rules."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from decisioning.errors import NotFound
from features.ledger import now_us
from features.ledger.tables import DELIVERIES, FIRED, WATCHES
from serving.brain.runtime import Brain
from serving.events import moments as moments_module
from serving.events import streams
from serving.events.moments import Watcher, dead_letters
from serving.settings import Workspace
from tests.serving.test_webhooks import Receiver
from tests.serving.workspaces import Client, Json, consent, decide_and_send, signal, small_workspace, welcome


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver([200])
    yield server
    server.close()


@pytest.fixture
def workspace(tmp_path: Path, receiver: Receiver) -> Workspace:
    small_workspace(tmp_path)
    (tmp_path / "brain.yaml").write_text(f"moments: {{webhook: '{receiver.url}'}}\n")
    return Workspace.open(tmp_path)


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def send_signal(client: Client, type_: str, customer: str = "c-1", ago_s: float = 0.0, **data: str) -> Json:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    event = {**signal(type_, f"customer:{customer}", **data), "time": at.isoformat()}
    status, answer = client("POST", "/v1/signals", event)
    assert (status, answer["accepted"]) == (200, 1), answer
    return event


def process_due(client: Client, times: int = 1) -> None:
    watcher = Watcher(client.brain)
    for _ in range(times):
        decide_and_send(watcher)


def shown(client: Client, channel: str = "web") -> list[Json]:
    return [json.loads(d.body) for d in Watcher(client.brain).moments.screen_page(0, [channel])]


@pytest.mark.promise("moments.fire-once")
def test_three_failures_open_one_decision_that_is_shown_and_sent_once(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-1")
    for n in range(1, 5):
        send_signal(client, "payment-failure")
        process_due(client, times=2)
        assert len(shown(client)) == (n >= 3)
    (moment,) = shown(client)
    assert moment["moment"] == "payment-trouble"
    assert [p["name"] for p in moment["decision"]["placements"]] == ["hero"]
    assert moment["decision"]["placements"][0]["offers"]
    ((headers, body),) = receiver.got
    assert json.loads(body) == moment
    assert headers["webhook-id"].startswith(moment["decision"]["decision_id"])
    status, why = client("GET", f"/v1/decisions/{moment['decision']['decision_id']}")
    assert (status, why["request"]["moment"]) == (200, "payment-trouble")


@pytest.mark.promise("moments.fire-once")
def test_replicas_that_look_at_once_fire_once(workspace: Workspace) -> None:
    brains = [Brain(workspace) for _ in range(3)]
    clients = [Client(brain) for brain in brains]
    welcome(clients[0], "c-1")
    for _ in range(3):
        send_signal(clients[0], "payment-failure")

    async def all_at_once() -> None:
        await asyncio.gather(
            *(asyncio.to_thread(decide_and_send, Watcher(brain)) for brain in brains for _ in range(3))
        )

    asyncio.run(all_at_once())
    assert len(shown(clients[0])) == 1
    for brain in brains:
        brain.close()


@pytest.mark.promise("moments.fire-once")
def test_a_replica_that_dies_between_deciding_and_delivering_is_taken_over(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    welcome(client, "c-1")
    for _ in range(3):
        send_signal(client, "payment-failure")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    watcher = Watcher(client.brain)
    monkeypatch.setattr(watcher.moments, "settle", dies)
    with pytest.raises(KeyboardInterrupt):
        decide_and_send(watcher)
    assert shown(client) == []
    process_due(client)
    assert shown(client) == []  # the claim of the process that died has not expired
    later = now_us() + 11_000_000
    monkeypatch.setattr(moments_module, "now_us", lambda: later)
    process_due(client)
    (moment,) = shown(client)
    decisions = [e for e in client("GET", "/v1/customers/c-1/export")[1]["records"] if e["kind"] == "decision"]
    assert [d["body"]["answer"]["decision_id"] for d in decisions] == [moment["decision"]["decision_id"]]


def before_settling(watcher: Watcher, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, between a decision of this replica and its delivery."""
    settle, waiting = watcher.moments.settle, [happens]

    def settle_later(*arguments: Any) -> Any:
        while waiting:
            waiting.pop()()
        return settle(*arguments)

    monkeypatch.setattr(watcher.moments, "settle", settle_later)


@pytest.mark.promise("moments.fire-once")
def test_two_replicas_fire_once_though_a_signal_comes_between_decision_and_delivery(
    workspace: Workspace, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, watcher = Client(Brain(workspace)), Watcher(client.brain)
    welcome(client, "c-1")
    for _ in range(3):
        send_signal(client, "payment-failure")

    def another_signal_and_another_replica() -> None:
        send_signal(client, "payment-failure")
        with ThreadPoolExecutor(1) as replica:
            replica.submit(process_due, other).result()

    before_settling(watcher, monkeypatch, another_signal_and_another_replica)
    decide_and_send(watcher)
    process_due(client, times=2)
    other.brain.close()
    assert len(shown(client)) == 1


@pytest.mark.promise("moments.not-after-erasure")
def test_an_erasure_between_decision_and_delivery_brings_nobody_back(
    client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(client.brain)
    welcome(client, "c-1")
    for _ in range(3):
        send_signal(client, "payment-failure")
    before_settling(watcher, monkeypatch, lambda: client.brain.ledger.erase(client.brain.subject_stream("c-1")))
    decide_and_send(watcher)
    process_due(client)
    assert receiver.got == []
    assert [len(client.brain.ledger.select(select(table))) for table in (DELIVERIES, FIRED, WATCHES)] == [0, 0, 0]


@pytest.mark.promise("moments.fire-once")
def test_a_late_page_view_does_not_make_who_is_shopping_one_who_left(client: Client) -> None:
    welcome(client, "c-1")
    send_signal(client, "page-view", ago_s=1, page="paid-tv")
    send_signal(client, "page-view", ago_s=960, page="paid-tv")
    process_due(client)
    assert shown(client) == []


def test_what_is_left_for_a_quarter_of_an_hour_and_what_is_not(client: Client) -> None:
    """The wait starts again with every page view, and an old page view is not a page that was just left."""
    welcome(client, "c-1")
    send_signal(client, "page-view", ago_s=840, page="paid-tv")
    process_due(client)
    assert shown(client) == []
    send_signal(client, "page-view", customer="c-2", ago_s=960, page="paid-tv")
    send_signal(client, "page-view", customer="c-2", ago_s=10, page="home")
    welcome(client, "c-3")
    send_signal(client, "page-view", customer="c-3", ago_s=960, page="paid-tv")
    process_due(client)
    assert [moment["decision"]["customer_id"] for moment in shown(client)] == ["c-3"]


@pytest.mark.promise("moments.under-consent")
@pytest.mark.parametrize("purpose", ["marketing"])
def test_without_consent_a_moment_that_would_sell_is_decided_and_nothing_is_sent(client: Client, purpose: str) -> None:
    welcome(client, "c-1")
    assert client("POST", "/v1/consents", consent("c-1", purpose, "withdrawn"))[0] == 200
    send_signal(client, "page-view", ago_s=960, page="paid-tv")
    process_due(client)
    assert shown(client) == []
    decisions = [e for e in client("GET", "/v1/customers/c-1/export")[1]["records"] if e["kind"] == "decision"]
    assert [p["offers"] for d in decisions for p in d["body"]["answer"]["placements"]] == [[]]


def test_a_moment_cannot_be_asked_for(client: Client) -> None:
    body = {"request_id": "r", "customer_id": "c-1", "channel": "web", "placements": [{"name": "hero"}]}
    status, problem = client("POST", "/v1/decisions", {**body, "moment": "payment-trouble"})
    assert (status, problem["field"]) == (422, "moment")


def test_the_erased_are_not_looked_for(client: Client) -> None:
    welcome(client, "c-1")
    for _ in range(3):
        send_signal(client, "payment-failure")
    assert client("DELETE", "/v1/customers/c-1")[0] in (200, 204)
    process_due(client)
    assert shown(client) == []
    assert client.brain.ledger.select(select(func.count()).select_from(DELIVERIES))[0][0] == 0


@pytest.mark.promise("moments.screens")
def test_a_screen_hears_of_its_channel_from_where_it_was(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_S", 0.5)
    for customer in ("c-1", "c-2"):
        welcome(client, customer)
        for _ in range(3):
            send_signal(client, "payment-failure", customer)
        process_due(client)

    def heard(channel: str, customer: str | None, after: int | None) -> list[tuple[int, str]]:
        stream = client.brain.ledger.stream_of("person", customer) if customer else None

        async def listen() -> list[bytes]:
            return [event async for event in Watcher(client.brain).listen(channel, stream, after)]

        first, *sent = asyncio.run(listen())
        assert first.startswith(b"retry: 1000\nid: ")
        assert b":\n\n" in sent, "the connection is kept open"
        events = [event.decode().splitlines() for event in sent if b"event: moment" in event]
        return [
            (int(e[0].removeprefix("id: ")), json.loads(e[2].removeprefix("data: "))["decision"]["customer_id"])
            for e in events
        ]

    both = heard("web", None, 0)
    assert [who for _, who in both] == ["c-1", "c-2"]
    assert heard("web", "c-2", 0) == both[1:]
    assert heard("web", None, both[0][0]) == both[1:]
    assert heard("web", None, None) == []
    assert heard("agent", None, 0) == []


@pytest.mark.promise("moments.screens")
def test_a_screen_without_an_event_yet_comes_back_to_a_moment_between_its_connections(client: Client) -> None:
    stream = client.brain.ledger.stream_of("person", "c-1")

    async def first_of(after: int | None) -> bytes:
        events = Watcher(client.brain).listen("web", stream, after)
        first = await anext(events)
        while after is not None and b"event: moment" not in first:
            first = await anext(events)
        return first

    cursor = int(asyncio.run(first_of(None)).decode().partition("id: ")[2])
    welcome(client, "c-1")
    for _ in range(3):
        send_signal(client, "payment-failure")
    process_due(client)
    shown_event = asyncio.run(asyncio.wait_for(first_of(cursor), 5)).decode()
    assert json.loads(shown_event.partition("data: ")[2])["decision"]["customer_id"] == "c-1"


@pytest.mark.promise("moments.screens")
def test_a_moment_gets_a_higher_number_than_one_that_is_no_longer_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in ("c-1", "c-2"):
        welcome(client, customer)
        for _ in range(3):
            send_signal(client, "payment-failure", customer)
        process_due(client)
        cursor = Watcher(client.brain).moments.newest()
        if customer == "c-1":
            Watcher(client.brain).moments.purge(now_us() + 1)
            assert (shown(client), cursor) == ([], Watcher(client.brain).moments.newest())
            first = cursor
    (found,) = Watcher(client.brain).moments.screen_page(first, ["web"])
    assert found.seq > first


@pytest.mark.promise("moments.webhooks")
def test_dead_letters_are_listed_and_sent_again_from_the_command_line(workspace: Workspace, client: Client) -> None:
    welcome(client, "c-1")
    refusing = Receiver([500])
    (workspace.root / "brain.yaml").write_text(f"moments: {{webhook: '{refusing.url}', attempts: 1}}\n")
    brain = Brain(Workspace.open(workspace.root))
    for _ in range(3):
        send_signal(client, "payment-failure")
    decide_and_send(Watcher(brain))
    brain.close()
    refusing.close()
    (dead,) = client("GET", "/v1/moments/dead")[1]["dead"]
    assert (dead["moment"], dead["attempts"], dead["error"]) == ("payment-trouble", 1, "answered 500")
    assert dead_letters(workspace) == {"retried": 0, "dead": [dead]}
    with pytest.raises(NotFound, match="nope"):
        dead_letters(workspace, ["nope"])
    assert dead_letters(workspace, ["all"]) == {"retried": 1, "dead": []}
    assert client("GET", "/v1/moments/dead")[1]["dead"] == []
