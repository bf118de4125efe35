"""Call-backs over HTTP: slots by the calendar and the customer's clock, booked exactly, tried again, given back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from serving.answers import people
from serving.brain.runtime import Brain
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, small_workspace

CALENDAR = """\
calendars:
  - {id: desk, channel: agent, hours: [{days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "23:30"}],
     slot_minutes: 30, capacity: 5}
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("call-backs") / "shop", CALENDAR, database()))
    yield Client(brain)
    brain.close()


def opened(client: Client, name: str) -> str:
    asked = {
        "request_id": f"r-{name}",
        "customer_id": f"c-{name}",
        "conversation_id": f"chat-{name}",
        "channel": "chat",
    }
    return str(client("POST", "/v1/handovers", {**asked, "reason": "asks for a person"})[1]["handover_id"])


def free(client: Client, handover: str) -> list[Json]:
    status, answer = client("GET", f"/v1/call-backs/slots?handover_id={handover}&calendar=desk")
    assert status == 200, answer
    people.FreeSlots.model_validate(answer, strict=True)
    slots: list[Json] = answer["slots"]
    return slots


def booked(client: Client, handover: str, starts_at: str, **more: bool) -> tuple[int, Json]:
    body = {"calendar": "desk", "starts_at": starts_at, **more}
    status, answer = client("POST", f"/v1/handovers/{handover}/appointment", body)
    if status == 200:
        people.HandoverAnswer.model_validate(answer, strict=True)
    return status, answer


@pytest.mark.promise("call-backs.capacity")
def test_a_slot_of_five_is_given_five_times(client: Client) -> None:
    handovers = [opened(client, f"many-{n}") for n in range(12)]
    starts_at = free(client, handovers[0])[3]["starts_at"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda name: booked(client, name, starts_at), handovers))
    assert sorted(status for status, _ in answers) == [*[200] * 5, *[409] * 7], answers
    assert starts_at not in {slot["starts_at"] for slot in free(client, handovers[0])}
    taker = next(h for h, (status, _) in zip(handovers, answers, strict=True) if status == 200)
    assert client("DELETE", f"/v1/customers/c-many-{handovers.index(taker)}")[0] == 200, "erasing gives the slot back"
    waiting = next(h for h, (status, _) in zip(handovers, answers, strict=True) if status == 409)
    assert booked(client, waiting, starts_at)[0] == 200


def test_booking_again_gives_the_first_slot_back(client: Client) -> None:
    handover = opened(client, "twice")
    first, second = (slot["starts_at"] for slot in free(client, handover)[10:12])
    assert booked(client, handover, first)[1]["due_at"] == booked(client, handover, first)[1]["due_at"] == first
    assert booked(client, handover, second)[1]["due_at"] == second
    left = {slot["starts_at"]: slot["left"] for slot in free(client, handover)}
    assert (left[first], left[second]) == (5, 4)
    assert client("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})[0] == 200
    assert {slot["starts_at"]: slot["left"] for slot in free(client, opened(client, "other"))}[second] == 5


def test_no_slot_is_booked_that_the_calendar_does_not_have(client: Client) -> None:
    handover = opened(client, "odd")
    slot = datetime.fromisoformat(free(client, handover)[5]["starts_at"])
    for wrong in (slot + timedelta(minutes=7), slot + timedelta(days=200), slot - timedelta(days=3)):
        status, problem = booked(client, handover, wrong.isoformat())
        assert (status, problem["field"]) == (422, "starts_at")
    body = {"calendar": "none", "starts_at": slot.isoformat()}
    status, problem = client("POST", f"/v1/handovers/{handover}/appointment", body)
    assert (status, problem["field"]) == (422, "calendar")


@pytest.mark.promise("call-backs.tried-again")
def test_who_does_not_answer_is_called_twice_more_then_writes(client: Client) -> None:
    handover = opened(client, "silent")
    assert booked(client, handover, free(client, handover)[0]["starts_at"])[0] == 200
    answers = [client("POST", f"/v1/handovers/{handover}/tries", {"agent_id": "a-1"})[1] for _ in range(3)]
    assert [people.CallTried.model_validate(answer, strict=True) for answer in answers]
    assert [(a["state"], a["tries"], a["rebook"]) for a in answers] == [
        ("call_back", 1, False),
        ("call_back", 2, False),
        ("ticket", 3, True),
    ]
    assert answers[-1]["agent_id"] == "a-1", "the ticket has an owner"
    assert client("POST", f"/v1/handovers/{handover}/tries", {"agent_id": "a-1"})[0] == 409


@pytest.mark.promise("call-backs.without-agent")
def test_a_lead_is_told_of_a_call_back_that_nobody_has(client: Client) -> None:
    handover = opened(client, "alone")
    assert booked(client, handover, free(client, handover)[0]["starts_at"])[0] == 200
    soon = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    assert client("POST", f"/v1/handovers/{handover}/tries", {"agent_id": "a-1", "again_at": soon})[0] == 200
    listed = client.of_scope("lead")("GET", "/v1/call-backs/without-agent")[1]["call_backs"]
    assert handover in {one["handover_id"] for one in listed}


def test_erasing_a_customer_gives_back_the_slot_of_their_device(client: Client) -> None:
    about = {"request_id": "r-device", "visitor_id": "cookie:d-1", "conversation_id": "chat-device", "channel": "chat"}
    handover = client("POST", "/v1/handovers", {**about, "reason": "asks for a person"})[1]["handover_id"]
    identifier = {"kind": "cookie", "value": "d-1"}
    link = {"customer_id": "c-device", "identifier": identifier, "status": "linked", "source": "login"}
    assert client("POST", "/v1/identities", link)[0] == 200
    starts_at = free(client, handover)[20]["starts_at"]
    assert booked(client, handover, starts_at)[0] == 200
    other = opened(client, "beside")
    assert {slot["starts_at"]: slot["left"] for slot in free(client, other)}[starts_at] == 4
    assert client("DELETE", "/v1/customers/c-device")[0] == 200
    assert {slot["starts_at"]: slot["left"] for slot in free(client, other)}[starts_at] == 5
