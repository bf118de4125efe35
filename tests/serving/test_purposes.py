"""Over HTTP: what was collected for a purpose is read and shown until the customer refuses it, and never after."""

from pathlib import Path

import pytest

from serving.brain.explaining import NOT_SHOWN
from serving.brain.runtime import Brain
from serving.events.moments import Watcher
from tests.serving.workspaces import Client, Json, ask, consent, decide_and_send, signal, small_workspace, welcome

OWN = (Path(__file__).parents[1] / "catalogues" / "comfort.yaml").read_text()
BASIS = """
bases:
  - {id: fits, purpose: comfort, basis: legitimate-interests, channels: [web, email, agent, store], text: interest}
"""
"""Until a customer objects, as the catalogue's personas do not."""
HIDDEN = ["in_grief", "last_shelf", "looks", "near_store"]


@pytest.mark.promise("purposes.not-read")
def test_a_refused_purpose_ends_what_is_read_shown_and_delivered(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop", OWN + BASIS))
    client, watcher = Client(brain), Watcher(brain)
    welcome(client, "c-1", purposes=("marketing", "profiling", "email"))
    facts = {"near_store": True, "in_grief": False}
    assert client("PATCH", "/v1/customers/c-1", {"facts": facts})[0] == 200

    def look_around(customer: str) -> int:
        """Tell of three looks; return how many deliveries there were so far."""
        for _ in range(3):
            event = signal("look", f"customer:{customer}", shelf="tv")
            assert client("POST", "/v1/signals", event)[0] == 200
        decide_and_send(watcher)
        return watcher.moments.newest()

    def explained(request: str) -> Json:
        decision = client("POST", "/v1/decisions", ask(request, "c-1"))[1]["decision_id"]
        return client("GET", f"/v1/decisions/{decision}?contributions=true")[1]

    assert (delivered := look_around("c-1")) > 0
    before = explained("r-1")
    assert (before["facts"]["looks"], "not_shown" in before) == (3, False)
    assert client("GET", "/v1/customers/c-1")[1]["facts"]["near_store"] is True

    assert client("POST", "/v1/consents", consent("c-1", "comfort", "objected"))[0] == 200
    after = explained("r-2")
    assert after["not_shown"] == HIDDEN
    assert not set(HIDDEN) & set(after["facts"])
    stopped = {c["gate"]: c["facts"] for c in after["candidates"] if not c["passed"]}
    assert stopped["protection:grief"] == {"in_grief": NOT_SHOWN}
    texts = [c["text"]["en"] for c in after["candidates"] if c.get("gate") == "protection:grief"]
    assert {text.partition("Not shown")[2] for text in texts} == {": the customer asked so."}
    seen = client("GET", "/v1/customers/c-1")[1]
    assert (seen["not_shown"], set(HIDDEN) & set(seen["facts"])) == (HIDDEN, set())
    assert client("GET", "/v1/customers/c-1/export")[1]["facts"]["near_store"] is True
    welcome(client, "c-2", purposes=("marketing", "profiling", "email"))
    assert client("POST", "/v1/consents", consent("c-2", "comfort", "objected"))[0] == 200
    assert look_around("c-2") == delivered
    brain.close()
