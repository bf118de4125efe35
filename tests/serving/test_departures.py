"""Every delivery asks again at the moment it leaves: a webhook at each attempt, a screen at each replay."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from decisioning.review.rechecking import Recheck
from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.events import streams, webhooks
from serving.events.feed import Viewer
from serving.events.moments import Watcher, dead_letters
from serving.settings import Workspace
from tests.permits import set_paused
from tests.serving.test_webhooks import Receiver
from tests.serving.workspaces import (
    Client,
    Json,
    ask,
    consent,
    decide_and_send,
    offers,
    signal,
    small_workspace,
    welcome,
)

STUCK = """
signals:
  - {id: wish, retention_days: 30, tags: [request]}
features:
  - {name: wishes_1h, dtype: int, source: signal, tags: [request], signal: {of: wish, compute: count, window: 1h}}
emotion:
  - {id: asks, when: "wishes_1h >= 1", handover: "asks for a person"}
"""
OTHERS = ("data-breach-notice", "fix-router")
"""Actions that come before sales in the hero, and are paused here."""
HOUR_US = 3_600_000_000
Change = Callable[[Client, str], object]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver([500])
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Client]:
    root: Path = tmp_path_factory.mktemp("departures") / "ws"
    small_workspace(root)
    (root / "catalogue" / "stuck.yaml").write_text(STUCK)
    (root / "brain.yaml").write_text(f"moments: {{webhook: '{receiver.url}', attempts: 20}}\n")
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    for action in OTHERS:
        set_paused(brain.ledger, action, paused=True)
    brain.refresh_paused()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(webhooks, "FIRST_PAUSE_S", 0.0)
        patched.setattr(streams, "STREAM_S", 0.25)
        yield Client(brain)
    brain.close()


def process_due(client: Client, receiver: Receiver, status: int = 500) -> list[Json]:
    """Process what is due once, and return what the receiver, which answers `status`, got of it."""
    receiver.statuses, before = [status], len(receiver.got)
    decide_and_send(Watcher(client.brain))
    return [json.loads(body)["decision"] for _, body in receiver.got[before:]]


def opened(client: Client, receiver: Receiver, customer: str) -> Json:
    """Return the decision that a moment opened for a customer; its webhook has failed once, and waits."""
    for _ in range(3):
        assert client("POST", "/v1/signals", signal("payment-failure", f"customer:{customer}"))[0] == 200
    (decision,) = [d for d in process_due(client, receiver) if d["customer_id"] == customer]
    return decision


def retried(client: Client, receiver: Receiver, customer: str) -> list[Json]:
    """Return what the receiver, which accepts all now, gets of a customer."""
    return [d for d in process_due(client, receiver, 200) if d["customer_id"] == customer]


def replayed(client: Client, customer: str, *, gpc: bool = False) -> list[Json]:
    """Return what a screen gets of a customer that replays the stream from its beginning."""
    person = client.brain.subject_stream(customer)

    async def listen() -> list[bytes]:
        return [event async for event in Watcher(client.brain).listen("web", person, 0, Viewer(gpc=gpc))]

    events = [event.decode() for event in asyncio.run(listen()) if b"data: " in event]
    return [json.loads(event.partition("data: ")[2])["decision"] for event in events]


def actions(decision: Json) -> list[str]:
    return [o["action"] for o in offers(decision)]


def contact_records(client: Client, customer: str) -> list[Json]:
    records = client("GET", f"/v1/customers/{customer}/export")[1]["records"]
    return [r["body"] for r in records if r["kind"] == "contact"]


def deliveries(client: Client, customer: str) -> dict[str, tuple[str, str]]:
    """Return route -> (state, error) of a customer's deliveries."""
    held = client("GET", f"/v1/customers/{customer}/export")[1]["moments"]["deliveries"]
    return {d["route"]: (d["state"], d["error"]) for d in held}


def _told(**facts: Any) -> Change:
    return lambda client, customer: client("PATCH", f"/v1/customers/{customer}", facts)


def _accepted(client: Client, customer: str) -> None:
    told = {"outcome_id": f"{customer}-o", "customer_id": customer, "action": "tv-bundle", "outcome": "accepted"}
    assert client("POST", "/v1/outcomes", told)[0] == 200


def _upset(client: Client, customer: str) -> None:
    event = signal("message", f"customer:{customer}", text="Dit is belachelijk, ik ben woedend!!")
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1


def _refused(purpose: str, status: str) -> Change:
    return lambda client, customer: client("POST", "/v1/consents", consent(customer, purpose, status))


CHANGES: dict[str, tuple[Change, str]] = {
    "withdrawal": (_refused("marketing", "withdrawn"), "consent:marketing"),
    "objection to profiling": (_refused("profiling", "objected"), "consent:profiling"),
    "restriction": (_told(restricted=True), "subject:restricted"),
    "hardship": (_told(facts={"hardship": True}), "protection:hardship"),
    "acceptance": (_accepted, "suppressed:accepted"),
    "anger": (_upset, "emotion:silenced"),
}


@pytest.mark.promise("moments.asked-again")
@pytest.mark.parametrize("route", ["webhook", "stream"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_offer_does_not_leave_after(client: Client, receiver: Receiver, change: str, route: str) -> None:
    customer = f"c-{change}-{route}".replace(" ", "-")
    welcome(client, customer)
    decision = opened(client, receiver, customer)
    assert actions(decision) == ["tv-bundle"]
    make, gate = CHANGES[change]
    make(client, customer)
    left = retried(client, receiver, customer) if route == "webhook" else replayed(client, customer)
    assert left == []
    assert deliveries(client, customer)[route] == ("withheld", gate)
    offer_id = offers(decision)[0]["offer_id"]
    assert {"offer_id": offer_id, "state": "not_delivered", "gate": gate} in contact_records(client, customer)
    process_due(client, receiver, 200)
    assert retried(client, receiver, customer) == replayed(client, customer) == []
    assert contact_records(client, customer).count({"offer_id": offer_id, "state": "not_delivered", "gate": gate}) == 1


@pytest.mark.promise("moments.asked-again")
def test_an_offer_does_not_leave_while_its_action_is_paused(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-pause")
    opened(client, receiver, "c-pause")
    set_paused(client.brain.ledger, "tv-bundle", paused=True)
    client.brain.refresh_paused()
    assert retried(client, receiver, "c-pause") == []
    set_paused(client.brain.ledger, "tv-bundle", paused=False)
    client.brain.refresh_paused()
    assert deliveries(client, "c-pause")["webhook"] == ("withheld", "action:paused")


@pytest.mark.promise("moments.asked-again")
def test_nothing_leaves_after_an_erasure_that_came_between_claim_and_attempt(
    client: Client, receiver: Receiver
) -> None:
    welcome(client, "c-erased")
    opened(client, receiver, "c-erased")
    watcher = Watcher(client.brain)
    claimed = watcher.moments.claim_to_send(now_us())
    assert client("DELETE", "/v1/customers/c-erased")[0] == 200
    assert [watcher._departures.body(d) for d in claimed if d.stream == client.brain.subject_stream("c-erased")] == [
        None
    ]


@pytest.mark.promise("moments.asked-again")
def test_an_offer_leaves_until_it_expires_and_then_frees_its_place(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-expiry")
    offer_id = offers(opened(client, receiver, "c-expiry"))[0]["offer_id"]
    recheck = client.brain.repeats.recheck

    def an_hour_later(decided: Any, stream: str, asked: Any, snapshot: Any, at_us: int) -> Recheck:
        return recheck(decided, stream, asked, snapshot, at_us + HOUR_US)

    with patch.object(client.brain.repeats, "recheck", an_hour_later):
        assert retried(client, receiver, "c-expiry") == []
    assert contact_records(client, "c-expiry") == [{"offer_id": offer_id, "state": "expired", "gate": "offer:expired"}]


@pytest.mark.promise("moments.asked-again")
def test_what_still_holds_leaves_as_it_was_decided_and_marks_the_route(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-same")
    decision = opened(client, receiver, "c-same")
    assert replayed(client, "c-same") == [decision] == replayed(client, "c-same")
    assert retried(client, receiver, "c-same") == [decision]
    assert deliveries(client, "c-same") == {"webhook": ("delivered", ""), "stream": ("delivered", "")}
    assert contact_records(client, "c-same") == []


@pytest.mark.promise("moments.asked-again", "caps.freed")
def test_an_offer_that_is_not_delivered_frees_its_cap_and_one_that_was_delivered_does_not(
    client: Client, receiver: Receiver
) -> None:
    for customer in ("c-freed", "c-reached"):
        welcome(client, customer)
        opened(client, receiver, customer)
    assert len(replayed(client, "c-reached")) == 1
    for customer in ("c-freed", "c-reached"):
        _told(facts={"hardship": True})(client, customer)
    assert retried(client, receiver, "c-freed") == []
    process_due(client, receiver, 200)
    shown = {}
    for customer in ("c-freed", "c-reached"):
        _told(facts={"hardship": False})(client, customer)
        shown[customer] = actions(client("POST", "/v1/decisions", ask(customer, customer))[1])
    assert (shown["c-freed"], "tv-bundle" in shown["c-reached"]) == (["tv-bundle"], False)
    assert deliveries(client, "c-reached")["webhook"] == ("withheld", "protection:hardship")


@pytest.mark.promise("moments.asked-again", "requests.always-heard")
@pytest.mark.parametrize("change", ["withdrawal", "restriction"])
def test_a_call_for_a_person_leaves_without_the_offer_that_does_not(
    client: Client, receiver: Receiver, change: str
) -> None:
    customer = f"c-call-{change}"
    welcome(client, customer)
    client("POST", "/v1/signals", signal("wish", f"customer:{customer}"))
    decision = opened(client, receiver, customer)
    assert (actions(decision), decision["handover"]) == (["tv-bundle"], {"reason": "asks for a person"})
    CHANGES[change][0](client, customer)
    (left,) = retried(client, receiver, customer)
    assert (actions(left), left["handover"]) == ([], decision["handover"])
    assert [p["empty_reason"] for p in left["placements"]] == ["all_withheld"]
    assert deliveries(client, customer)["webhook"] == ("delivered", "")
    assert [r["state"] for r in contact_records(client, customer)] == ["not_delivered"]


@pytest.mark.promise("moments.asked-again")
def test_a_call_that_rests_on_a_mood_does_not_leave_once_the_mood_may_not_be_read(
    client: Client, receiver: Receiver
) -> None:
    welcome(client, "c-mood")
    _upset(client, "c-mood")
    decision = opened(client, receiver, "c-mood")
    assert (actions(decision), decision["handover"]) == ([], {"reason": "wants a person"})
    _refused("emotion", "objected")(client, "c-mood")
    assert retried(client, receiver, "c-mood") == []
    assert deliveries(client, "c-mood")["webhook"] == ("withheld", "handover")


@pytest.mark.promise("moments.asked-again")
def test_a_screen_whose_browser_asks_for_no_profiling_gets_no_profiled_offer_and_others_do(
    client: Client, receiver: Receiver
) -> None:
    welcome(client, "c-gpc")
    decision = opened(client, receiver, "c-gpc")
    assert replayed(client, "c-gpc", gpc=True) == []
    assert replayed(client, "c-gpc") == [decision]
    assert contact_records(client, "c-gpc") == []


def test_two_replicas_that_withhold_at_once_record_it_once(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-two")
    opened(client, receiver, "c-two")
    _refused("marketing", "withdrawn")(client, "c-two")
    watchers = [Watcher(client.brain) for _ in range(2)]
    (claimed,) = [
        d for d in watchers[0].moments.claim_to_send(now_us()) if d.stream == client.brain.subject_stream("c-two")
    ]
    with patch.object(
        client.brain.repeats, "recheck", return_value=Recheck({f"{claimed.decision_id}.0": "consent:marketing"})
    ):
        assert [w._departures.body(claimed) for w in watchers] == [None, None]
    assert [r["state"] for r in contact_records(client, "c-two")] == ["not_delivered"]


@pytest.mark.promise("moments.asked-again", "caps.freed")
def test_an_offer_whose_delivery_is_given_up_frees_its_cap_until_it_is_tried_again(
    client: Client, receiver: Receiver
) -> None:
    welcome(client, "c-dead")
    decision = opened(client, receiver, "c-dead")
    for times in (1, 2):
        watcher = Watcher(client.brain)
        once = watcher._sender._settings.model_copy(update={"attempts": 1})
        receiver.statuses = [500]
        with patch.object(watcher._sender, "_settings", once):
            decide_and_send(watcher)
        assert deliveries(client, "c-dead")["webhook"] == ("dead", "answered 500")
        assert [r["state"] for r in contact_records(client, "c-dead")][-1] == "not_delivered"
        preview = ask(f"c-dead-{times}", "c-dead", mode="preview")
        assert actions(client("POST", "/v1/decisions", preview)[1]) == ["tv-bundle"]
        dead_letters(client.brain.workspace, [f"{decision['decision_id']}.webhook"])
        assert "tv-bundle" not in actions(client("POST", "/v1/decisions", preview)[1])
    assert retried(client, receiver, "c-dead") == [decision]
    assert deliveries(client, "c-dead")["webhook"] == ("delivered", "")


@pytest.mark.promise("moments.asked-again")
def test_what_was_withheld_is_listed_with_the_gates_that_stopped_it(client: Client, receiver: Receiver) -> None:
    welcome(client, "c-listed")
    decision = opened(client, receiver, "c-listed")
    _refused("marketing", "withdrawn")(client, "c-listed")
    retried(client, receiver, "c-listed")
    listed = client("GET", "/v1/moments/withheld")[1]
    about = {"id": f"{decision['decision_id']}.webhook", "moment": "payment-trouble", "route": "webhook"}
    assert {**about, "gates": ["consent:marketing"]} in listed["withheld"]
    assert listed["next"] is None
    assert "c-listed" not in json.dumps(listed)


@pytest.mark.promise("moments.asked-again", "consent.withdrawal-binds")
def test_an_offer_does_not_leave_after_a_release_with_a_new_notice_version(client: Client, receiver: Receiver) -> None:
    """Last, because the consents of the other customers do not hold afterwards."""
    welcome(client, "c-notice")
    opened(client, receiver, "c-notice")
    settings = client.brain.workspace.catalogue / "settings.yaml"
    old, new = '{id: marketing, notice_version: "2026-01"', '{id: marketing, notice_version: "2026-02"'
    settings.write_text(settings.read_text().replace(old, new))
    releasing.release(client.brain.workspace, "test")
    client.brain.refresh_release()
    assert retried(client, receiver, "c-notice") == []
    assert deliveries(client, "c-notice")["webhook"] == ("withheld", "consent:marketing")
