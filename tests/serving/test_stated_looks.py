"""Looks for a stated purpose: what may be stated, for how long it holds, and how many there may be."""

from collections.abc import Iterator

import pytest

from decisioning.errors import RequestError, TooOften
from serving.access.looks import Looker
from serving.brain.runtime import Brain
from serving.customers import stated_looks
from serving.customers.stated_looks import MOST_AN_HOUR, STATED_PURPOSES, state_look, stated_purpose
from tests.serving.workspaces import Client, small_workspace

LOOKER = Looker("person:al", "agent", "handover", "complaint", "12")
HOUR_US = 3_600_000_000
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brain]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("looks") / "shop"))
    yield brain
    brain.close()


def test_a_purpose_of_a_role_is_none_that_may_be_stated(brain: Brain) -> None:
    assert STATED_PURPOSES == ("complaint", "fraud", "quality", "oversight")
    with pytest.raises(RequestError, match="expected one of"):
        state_look(brain, Looker("person:al", "agent", "handover", "service"), brain.subject_stream("c-1"), {})


@pytest.mark.promise("looks.stated")
def test_a_person_looks_at_so_many_customers_an_hour_and_at_each_as_often_as_they_like(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [brain.subject_stream(f"c-{n}") for n in range(MOST_AN_HOUR + 1)]
    for stream in streams[:-1]:
        state_look(brain, LOOKER, stream, {})
    with pytest.raises(TooOften, match="within the hour"):
        state_look(brain, LOOKER, streams[-1], {})
    state_look(brain, LOOKER, streams[0], {})
    assert stated_purpose(brain, "person:al", streams[0]) == "complaint 12"
    assert stated_purpose(brain, "person:al", streams[-1]) is None
    assert stated_purpose(brain, "person:jo", streams[0]) is None
    later_us = stated_looks.now_us() + HOUR_US
    monkeypatch.setattr(stated_looks, "now_us", lambda: later_us)
    assert stated_purpose(brain, "person:al", streams[0]) is None, "an hour later it has to be stated again"


@pytest.mark.promise("looks.stated")
@pytest.mark.parametrize("scope", ["agent", "lead"])
def test_who_does_not_hold_a_conversation_reads_it_once_they_said_why_and_changes_nothing(
    brain: Brain, scope: str
) -> None:
    client = Client(brain)
    asked = {"conversation_id": f"chat-{scope}", "channel": "chat", "reason": "asks for a person"}
    opened = {"request_id": f"r-{scope}", "customer_id": f"c-{scope}", **asked}
    path = f"/desk/{client('POST', '/v1/handovers', opened)[1]['handover_id']}"
    other = client.of_scope(scope)
    status, _, content = other.raw("GET", path, accept="text/html")
    assert (status, f"c-{scope}".encode() in content) == (403, False)
    assert other.raw("POST", f"{path}/look", b"purpose=fraud", content_type=FORM)[0] == 422
    assert other.raw("POST", f"{path}/look", b"purpose=fraud&case=7", content_type=FORM)[0] == 303
    status, _, content = other.raw("GET", path, accept="text/html")
    assert (status, f"c-{scope}".encode() in content) == (200, True)
    assert other.raw("POST", f"{path}/note", b"note=x&once=o-1", content_type=FORM)[0] == 409
    looks = client("GET", f"/v1/looks?customer_id=c-{scope}")[1]["looks"]
    assert [(one["role"], one["what"], one["purpose"], one["case"]) for one in looks] == [
        (scope, "handover", "fraud", "7")
    ]
