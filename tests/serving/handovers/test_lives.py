"""Random lives of handovers with a clock that moves: each ends, or has an owner and a date; none is lost."""

import uuid
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.people import lapsing
from tests.serving.handovers.test_lapsing import PEOPLE
from tests.serving.workspaces import Client, small_workspace

AGENTS = ("p-1", "p-2")
STEP = st.sampled_from(
    [
        *(("step", {"state": "offered", "agent_id": agent}) for agent in AGENTS),
        *(("step", {"state": "accepted", "agent_id": agent}) for agent in AGENTS),
        ("step", {"state": "opened", "reason": "declined"}),
        ("step", {"state": "transferred", "note": "for somebody else"}),
        ("step", {"state": "resolved"}),
        *(("choose", {"choice": choice}) for choice in ("call_back", "written", "wait")),
        *(("wait", {"seconds": seconds}) for seconds in (20, 310, 4_000, 90_000)),
    ]
)
WAITS = ("wait", {"seconds": 310})
LIFE = st.tuples(st.booleans(), st.sampled_from(["billing", None]), st.lists(STEP, max_size=8))
HELD = ("accepted",)
"""An agent has it."""


class Life:
    """A handover, and a clock that only this test moves."""

    def __init__(self, client: Client, *, call: bool, skill: str | None) -> None:
        self.client, self.later_us = client, 0
        client.brain.ledger.clock = lambda: now_us() + self.later_us
        name = uuid.uuid4().hex[:12]
        asked = {"request_id": f"r-{name}", "customer_id": f"c-{name}", "conversation_id": f"k-{name}", "call": call}
        about = {**asked, "channel": "chat", "reason": "asks for a person", "skill": skill}
        self.id = str(client("POST", "/v1/handovers", about)[1]["handover_id"])
        self.call = call

    def wait(self, seconds: int) -> None:
        self.later_us += seconds * 1_000_000
        lapsing.tend(self.client.brain)

    def step(self, **body: Any) -> None:
        self._try("steps", body)

    def choose(self, **body: Any) -> None:
        self._try("choice", body)

    def _try(self, route: str, body: dict[str, Any]) -> None:
        status, answer = self.client("POST", f"/v1/handovers/{self.id}/{route}", body)
        assert status in (200, 409), answer
        offered = [one["choice"] for one in self.shown().get("choices", ())]
        assert self.call or "call_back" not in offered

    def shown(self) -> dict[str, Any]:
        return self.client("GET", f"/v1/handovers/{self.id}")[1]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("lives") / "shop", PEOPLE))
    clock = brain.ledger.clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lapsing, "CLAIM_US", 0)
        yield Client(brain)
    brain.ledger.clock = clock
    brain.close()


def lives(client: Client, life: tuple[bool, str | None, list[tuple[str, dict[str, Any]]]]) -> None:
    """Live one life, then let the time pass in which all that waits is decided."""
    call, skill, steps = life
    one = Life(client, call=call, skill=skill)
    for name, arguments in steps:
        getattr(one, name)(**arguments)
    for _ in range(8):
        one.wait(8 * 86_400)
    end = one.shown()
    assert end["state"] in ("resolved", "ticket", *HELD), end
    if end["state"] == "ticket":
        assert end["agent_id"], "it has an owner"
        assert end["due_at"], "and a date"
    if end["state"] in HELD:
        assert end["agent_id"]
        one.step(state="resolved")


@pytest.mark.promise("handovers.none-lost")
@settings(max_examples=6, deadline=None)
@given(life=LIFE)
@example(life=(True, "billing", [WAITS, ("choose", {"choice": "call_back"})]))
@example(life=(True, "billing", [WAITS, ("choose", {"choice": "wait"}), ("wait", {"seconds": 4_000})]))
@example(life=(False, None, [("step", {"state": "offered", "agent_id": "p-1"})]))
def test_every_handover_ends_or_has_an_owner_and_a_date(client: Client, life: Any) -> None:
    lives(client, life)


@pytest.mark.long
@pytest.mark.promise("handovers.none-lost")
@settings(max_examples=2_000, deadline=None)
@given(life=LIFE)
def test_every_handover_of_many_ends_or_has_an_owner_and_a_date(client: Client, life: Any) -> None:
    lives(client, life)
