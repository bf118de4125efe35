"""Negotiation in a conversation: alternatives within what is left, each decided, and held until answered or swapped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, Json, small_workspace, welcome

NEGOTIATING = Path(__file__).parents[2] / "catalogues" / "negotiating.yaml"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("negotiating") / "shop", NEGOTIATING.read_text()))
    yield Client(brain)
    brain.close()


def talking(client: Client, customer: str, conversation: str = "talk") -> str:
    """Return the handover of a conversation with a known customer."""
    about = {"customer_id": customer, "conversation_id": f"{conversation}-{customer}", "channel": "chat"}
    asked = {"request_id": f"{conversation}-{customer}", "reason": "asks for a person", **about}
    return str(client("POST", "/v1/handovers", asked)[1]["handover_id"])


def negotiate(client: Client, handover: str, request_id: str, take: str | None = None) -> Json:
    body = {"request_id": request_id, "locale": "en", **({"take": take} if take else {})}
    status, answer = client("POST", f"/v1/handovers/{handover}/negotiation", body)
    assert status == 200, answer
    return answer


def accept(client: Client, offer: Json, outcome: str = "accepted") -> int:
    told = {"outcome_id": f"o-{offer['offer_id']}-{outcome}", "offer_id": offer["offer_id"], "outcome": outcome}
    return client("POST", "/v1/outcomes", told)[0]


def actions(answer: Json) -> list[str]:
    return [one["action"] for one in answer["alternatives"]]


def test_alternatives_are_swapped_within_what_is_left(client: Client) -> None:
    welcome(client, "c-1")
    handover = talking(client, "c-1")
    shown = negotiate(client, handover, "n-1")
    assert actions(shown) == ["free-month", "lower-price", "smaller-plan"]
    assert (shown["left_eur"], shown["closed"]) == (60, None)
    assert [one["gives_eur"] for one in shown["alternatives"]] == [40, 25.5, 0]
    assert "limit" not in str(shown)
    taken = negotiate(client, handover, "n-2", "free-month")
    assert (taken["is_new"], taken["on_offer"]["action"], taken["left_eur"]) == (True, "free-month", 60)
    swapped = negotiate(client, handover, "n-3", "lower-price")
    assert (swapped["on_offer"]["action"], swapped["left_eur"]) == ("lower-price", 60)
    assert accept(client, taken["on_offer"]) == 409
    assert accept(client, swapped["on_offer"]) == 200
    shown = negotiate(client, handover, "n-4")
    assert shown["left_eur"] == 34.5
    assert actions(shown) == ["smaller-plan"]
    assert list(client.brain.ledger.verify()) == []


def test_the_desk_shows_alternatives_side_by_side_and_never_the_limit(client: Client) -> None:
    welcome(client, "c-2")
    handover, agent = talking(client, "c-2"), client.of_scope("agent")
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert agent.raw("POST", f"/desk/{handover}/take", b"", **form)[0] == 303
    shown = agent.raw("GET", f"/desk/{handover}?lang=en")[2].decode()
    assert f"/desk/{handover}?negotiate=1" in shown
    for lang, left in (("en", "Left to give: € 60"), ("nl", "Nog te geven: € 60")):
        page = agent.raw("GET", f"/desk/{handover}?negotiate=1&lang={lang}")[2].decode()
        assert page.count("<meter") == 3
        assert left in page
    took = agent.raw("POST", f"/desk/{handover}/swap", b"once=s-1&take=free-month&lang=en", **form)
    assert took[1]["location"] == f"/desk/{handover}?negotiate=1&done=swapped"
    assert agent.raw("POST", f"/desk/{handover}/swap", b"once=s-1&take=free-month&lang=en", **form)[0] == 303
    page = agent.raw("GET", f"{took[1]['location']}&lang=en")[2].decode()
    assert "on offer now" in page
    notes = [r.body for r in client.brain.ledger.scan(["handover_note"]) if r.body]
    (note,) = [body for body in notes if body["handover_id"] == handover]
    assert (note["did"], note["action"], note["by"]) == ("swapped", "free-month", agent_name(client))


def agent_name(client: Client) -> str:
    shown = client("GET", "/v1/handovers?state=accepted")[1]["handovers"]
    return str(shown[-1]["agent_id"])
