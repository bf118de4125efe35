"""What is sent under an event's id: duplicates, corrections, and events of another subject."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, Json, ask, signal, small_workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("signals") / "ws"))
    yield Client(brain)
    brain.close()


def send(client: Client, *events: Json) -> tuple[int, Json]:
    return client("POST", "/v1/signals", events[0] if len(events) == 1 else list(events))


def events_of(client: Client, customer: str) -> list[Json]:
    events: list[Json] = client("GET", f"/v1/customers/{customer}/export")[1]["events"]
    return events


def failures(client: Client, customer: str) -> object:
    """Return the feature that a decision reads: how many payments failed lately."""
    answer = client("POST", "/v1/decisions", ask(f"f-{customer}-{len(events_of(client, customer))}", customer))[1]
    return client("GET", f"/v1/decisions/{answer['decision_id']}")[1]["facts"].get("payment_failures_10min")


@pytest.mark.promise("signals.ids")
def test_a_signal_id_with_another_payload_corrects_the_event_and_its_features(client: Client) -> None:
    wrong = signal("payment-failure", "customer:c-fix")
    right = {**wrong, "type": "page-view", "data": {"page": "home"}}
    assert send(client, wrong)[1]["accepted"] == 1
    assert send(client, signal("payment-failure", "customer:c-fix"))[1]["accepted"] == 1
    before = events_of(client, "c-fix")
    assert failures(client, "c-fix") == 2
    status, answer = send(client, right)
    assert (status, answer["corrected"], answer["results"][0]["status"]) == (200, 1, "corrected")
    events = events_of(client, "c-fix")
    assert sorted(e["type"] for e in events) == ["page-view", "payment-failure"]
    assert {e["occurred_at"] for e in events} == {e["occurred_at"] for e in before}
    answer = client("POST", "/v1/decisions", ask("fixed", "c-fix"))[1]
    assert client("GET", f"/v1/decisions/{answer['decision_id']}")[1]["facts"]["payment_failures_10min"] == 1
    assert send(client, right)[1]["duplicate"] == 1


@pytest.mark.promise("signals.ids")
def test_a_signal_id_of_another_subject_is_refused_with_409_and_leaves_no_trace(client: Client) -> None:
    mine = signal("payment-failure", "customer:c-mine")
    other = {**mine, "subject": "customer:c-theirs"}
    assert send(client, mine)[0] == 200
    status, problem = send(client, other)
    assert (status, problem["type"], problem["results"][0]["field"]) == (409, "/problems/told-of-another", "id")
    assert (len(events_of(client, "c-mine")), events_of(client, "c-theirs")) == (1, [])
    status, answer = send(client, other, signal("payment-failure", "customer:c-theirs"))
    assert (status, [r["status"] for r in answer["results"]]) == (200, ["refused", "accepted"])


def test_one_id_twice_in_one_array_holds_the_last_content(client: Client) -> None:
    first = signal("page-view", "customer:c-twice", page="home")
    results = send(client, first, {**first, "data": {"page": "paid-tv"}}, first)[1]["results"]
    assert [r["status"] for r in results] == ["accepted", "corrected", "corrected"]
    assert [e["fields"]["page"] for e in events_of(client, "c-twice")] == ["home"]


def test_a_message_that_is_sent_again_is_a_duplicate_though_it_would_be_scored_otherwise(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = signal("message", "customer:c-says", text="this is terrible, I am furious", language="en")
    assert send(client, sent)[1]["accepted"] == 1
    (before,) = events_of(client, "c-says")
    with monkeypatch.context() as another_model:
        another_model.setattr("serving.events.signals.message_fields", lambda *_, **__: {"sentiment": 0.9})
        assert send(client, sent)[1]["duplicate"] == 1
    assert events_of(client, "c-says") == [before]
    other = {**sent, "data": {"text": "wonderful, thank you so much", "language": "en"}}
    assert send(client, other)[1]["corrected"] == 1
    (after,) = events_of(client, "c-says")
    assert before["fields"]["sentiment"] < 0 < after["fields"]["sentiment"]


@pytest.mark.promise("erasure.told-after")
def test_a_signal_of_an_erased_customer_is_answered_410(client: Client) -> None:
    assert client("DELETE", "/v1/customers/c-erased")[0] == 200
    status, problem = send(client, signal("payment-failure", "customer:c-erased"))
    assert (status, problem["type"], problem["refused"]) == (410, "/problems/erased", 1)
