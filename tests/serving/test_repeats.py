"""A repeated request gets what was recorded only while all of it still holds; see `decisioning.review.rechecking`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pydantic_core import to_json

from decisioning.deciding.record import Decision
from decisioning.errors import Erased
from decisioning.facts.forms import Ask
from features.ledger import now_us
from serving.brain import releasing, runtime
from serving.brain.blocks import commit_all
from serving.brain.runtime import Brain
from tests.permits import set_paused
from tests.serving.workspaces import Client, Json, ask, consent, offers, signal, small_workspace, welcome

WIDE = {"web": [{"name": "hero", "limit": 5}], "agent": [{"name": "suggestion", "limit": 5}]}
HOUR_US = 3_600_000_000
Change = Callable[[Client, str, Json], object]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repeats") / "ws"


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[Client]:
    brain = Brain(small_workspace(root))
    yield Client(brain)
    brain.close()


def body(customer: str, channel: str = "web", request_id: str = "") -> Json:
    return ask(request_id or f"r-{customer}", customer, channel, placements=WIDE[channel])


def decided(client: Client, sent: Json) -> Json:
    status, answer = client("POST", "/v1/decisions", sent)
    assert status == 200, answer
    return answer


def actions(answer: Json) -> set[str]:
    return {o["action"] for o in offers(answer)}


@contextmanager
def at(client: Client, at_us: int) -> Iterator[None]:
    """Let decisions be made, and records be appended, at a time."""
    ledger = client.brain.ledger
    with ExitStack() as patches:
        patches.enter_context(patch.object(runtime, "now_us", lambda: at_us))
        patches.enter_context(patch.object(ledger, "clock", lambda: at_us))
        patches.enter_context(patch.object(ledger._writer, "_clock", lambda: at_us))
        yield


def an_hour_later(client: Client) -> AbstractContextManager[None]:
    """Return a context in an hour from now, when the agents' reservations have ended."""
    return at(client, now_us() + HOUR_US)


def rows(client: Client) -> int:
    kinds = ("consent", "decision", "account_decision", "contact", "outcome", "flag")
    return len(client.brain.ledger.scan(kinds, 0, 10**6))


def _withdrawn(client: Client, customer: str, _: Json) -> None:
    client("POST", "/v1/consents", consent(customer, "marketing", "withdrawn"))


def _in_hardship(client: Client, customer: str, _: Json) -> None:
    client("PATCH", f"/v1/customers/{customer}", {"facts": {"hardship": True}})


def _restricted(client: Client, customer: str, _: Json) -> None:
    client("PATCH", f"/v1/customers/{customer}", {"restricted": True})


def _told(outcome: str) -> Change:
    def tell(client: Client, customer: str, answer: Json) -> None:
        offer = next(o["offer_id"] for o in offers(answer) if o["action"] == "tv-bundle")
        told = {"outcome_id": f"{customer}-{outcome}", "offer_id": offer, "outcome": outcome}
        assert client("POST", "/v1/outcomes", told)[0] == 200

    return tell


def _upset(client: Client, customer: str, _: Json) -> None:
    event = signal("message", f"customer:{customer}", text="Dit is belachelijk, ik ben woedend!!")
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1


def _profiling_refused(client: Client, customer: str, _: Json) -> None:
    client("POST", "/v1/consents", consent(customer, "profiling", "refused"))


CHANGES: dict[str, Change] = {
    "withdrawal": _withdrawn,
    "hardship": _in_hardship,
    "restriction": _restricted,
    "acceptance": _told("accepted"),
    "not-delivered": _told("not_delivered"),
    "upset": _upset,
    "profiling-refused": _profiling_refused,
}


@pytest.mark.promise("decisions.repeated-request")
@pytest.mark.parametrize("change", CHANGES)
def test_a_repeat_is_decided_anew_after(client: Client, change: str) -> None:
    customer = f"c-{change}"
    welcome(client, customer)
    first = decided(client, body(customer))
    assert "tv-bundle" in actions(first)
    CHANGES[change](client, customer, first)
    second = decided(client, body(customer))
    assert second["supersedes"] == first["decision_id"]
    if change not in ("not-delivered", "profiling-refused"):
        assert "tv-bundle" not in actions(second)
    before = rows(client)
    assert decided(client, body(customer)) == second
    assert rows(client) == before


@pytest.mark.promise("decisions.repeated-request")
def test_a_repeat_is_decided_anew_while_its_action_is_paused(client: Client) -> None:
    welcome(client, "c-pause")
    first = decided(client, body("c-pause"))
    set_paused(client.brain.ledger, "tv-bundle", paused=True)
    client.brain.refresh_paused()
    second = decided(client, body("c-pause"))
    set_paused(client.brain.ledger, "tv-bundle", paused=False)
    client.brain.refresh_paused()
    assert second["supersedes"] == first["decision_id"]
    assert "tv-bundle" in actions(first) - actions(second)


@pytest.mark.promise("decisions.repeated-request")
def test_a_repeat_is_decided_anew_from_the_moment_its_offers_expire(client: Client) -> None:
    welcome(client, "c-expiry")
    sent = body("c-expiry")
    first = decided(client, sent)
    record = client.brain.ledger.lookup(f"decision:{first['decision_id']}")
    assert record is not None
    assert record.body is not None
    ends_us = record.body["contacts"][0]["reserved_until_us"]
    with at(client, ends_us - 1):
        assert decided(client, sent) == first
    with at(client, ends_us):
        assert decided(client, sent)["supersedes"] == first["decision_id"]


@pytest.mark.promise("caps.exact-in-races", "decisions.repeated-request")
@pytest.mark.parametrize("order", ["r1 r2 r1", "r1 r1 r2"])
def test_a_repeat_after_the_reservation_does_not_count_two_contacts_under_a_cap_of_one(
    client: Client, order: str
) -> None:
    customer = f"c-{order.replace(' ', '-')}"
    welcome(client, customer)
    first, *later = order.split()
    given = [decided(client, body(customer, "agent", f"{customer}-{first}"))]
    with an_hour_later(client):
        given += [decided(client, body(customer, "agent", f"{customer}-{name}")) for name in later]
    assert ["tv-bundle" in actions(answer) for answer in given] == [True, True, False]


def test_a_repeat_is_decided_anew_once_another_offer_was_seen_late(client: Client) -> None:
    welcome(client, "c-late")
    other = decided(client, body("c-late", "agent", "c-late-0"))
    late = next(o["offer_id"] for o in offers(other) if o["action"] == "tv-bundle")
    with an_hour_later(client):
        sent = body("c-late", "agent")
        first = decided(client, sent)
        assert "tv-bundle" in actions(first)
        told = {"outcome_id": "late", "offer_id": late, "outcome": "seen"}
        assert client("POST", "/v1/outcomes", told)[0] == 200
        second = decided(client, sent)
    assert second["supersedes"] == first["decision_id"]
    assert "tv-bundle" not in actions(second)


def test_of_several_decisions_of_a_request_only_the_newest_is_given_again(client: Client) -> None:
    welcome(client, "c-again")
    first = decided(client, body("c-again"))
    _withdrawn(client, "c-again", {})
    second = decided(client, body("c-again"))
    client("POST", "/v1/consents", consent("c-again", "marketing"))
    assert decided(client, body("c-again")) == second != first


def test_a_request_may_be_superseded_more_often_than_a_decision_is_attempted(client: Client) -> None:
    welcome(client, "c-often")
    ids = []
    for n in range(2 * runtime.ATTEMPTS):
        answer = decided(client, body("c-often", "agent"))
        assert answer["supersedes"] == (ids[-1] if ids else None)
        ids.append(answer["decision_id"])
        for offer in offers(answer):
            told = {"outcome_id": f"often-{n}", "offer_id": offer["offer_id"], "outcome": "not_delivered"}
            client("POST", "/v1/outcomes", {**told, "outcome_id": f"often-{n}-{offer['rank']}"})


def test_a_restricted_customers_repeat_gets_its_one_answer(client: Client) -> None:
    welcome(client, "c-kept")
    _restricted(client, "c-kept", {})
    first, before = decided(client, body("c-kept")), rows(client)
    assert [decided(client, body("c-kept")) for _ in range(7)] == [first] * 7
    assert rows(client) == before


@pytest.mark.promise("decisions.erased-request")
def test_a_repeat_of_an_erased_customers_request_has_one_answer_and_writes_nothing(client: Client) -> None:
    welcome(client, "c-erased")
    sent = {**body("c-erased"), "placements": [{"name": "hero", "fallback": "static-hero"}]}
    decided(client, sent)
    assert client("DELETE", "/v1/customers/c-erased")[0] == 200
    before = rows(client)
    answers = [client("POST", "/v1/decisions", sent) for _ in range(7)]
    assert answers == [answers[0]] * 7
    status, problem = answers[0]
    assert (status, problem["type"], problem["field"]) == (410, "/problems/erased", "request_id")
    assert problem["fallbacks"] == {"hero": "static-hero"}
    assert "c-erased" not in str(problem)
    assert rows(client) == before


@pytest.mark.promise("decisions.erased-request")
def test_an_erased_customers_request_id_is_no_other_customers(client: Client) -> None:
    for customer in ("c-first", "c-second"):
        welcome(client, customer)
    decided(client, body("c-first", request_id="shared"))
    client("DELETE", "/v1/customers/c-first")
    assert client("POST", "/v1/decisions", body("c-second", request_id="shared"))[0] == 409


def batched(client: Client, *customers: str) -> list[Any]:
    asks = [Ask.model_validate_json(to_json(body(c, "agent", f"batch/{c}"))) for c in customers]
    return [made.answer if isinstance(made, Decision) else made for made in commit_all(client.brain, asks)]


@pytest.mark.promise("decisions.repeated-request", "decisions.erased-request")
def test_a_batch_that_is_repeated_checks_every_customer_again(client: Client) -> None:
    names = ("c-same", "c-no", "c-capped", "c-forgotten")
    for customer in names:
        welcome(client, customer)
    first = batched(client, *names)
    assert all("tv-bundle" in actions(answer) for answer in first)
    _withdrawn(client, "c-no", {})
    client("DELETE", "/v1/customers/c-forgotten")
    same, refused, capped, gone = batched(client, *names)
    assert (same, capped) == (first[0], first[2])
    assert (refused["supersedes"], "tv-bundle" in actions(refused)) == (first[1]["decision_id"], False)
    assert isinstance(gone, Erased)
    with an_hour_later(client):
        assert "tv-bundle" in actions(decided(client, body("c-capped", "agent", "batch-2")))
        (capped,) = batched(client, "c-capped")
    assert "tv-bundle" not in actions(capped)


@pytest.mark.promise("decisions.repeated-request", "consent.withdrawal-binds")
def test_a_repeat_is_decided_anew_after_a_release_with_a_new_notice_version(client: Client, root: Path) -> None:
    """Last, because the consents of the other customers do not hold afterwards."""
    welcome(client, "c-notice")
    first = decided(client, body("c-notice"))
    settings = root / "catalogue" / "settings.yaml"
    old, new = '{id: marketing, notice_version: "2026-01"', '{id: marketing, notice_version: "2026-02"'
    settings.write_text(settings.read_text().replace(old, new))
    releasing.release(client.brain.workspace, "test")
    client.brain.refresh_release()
    second = decided(client, body("c-notice"))
    assert second["supersedes"] == first["decision_id"]
    assert "tv-bundle" in actions(first) - actions(second)
