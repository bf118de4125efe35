"""The outcome of an offer can be corrected, late and more than once; a repetition never undoes a correction."""

import pytest

from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    workspace = small_workspace(tmp_path_factory.mktemp("corrections") / "ws")
    return Client(Brain(workspace))


def standing(client: Client, customer: str) -> list[str]:
    return [o["outcome"] for o in client("GET", f"/v1/customers/{customer}")[1]["outcomes"]]


def offered(client: Client, customer: str, **more: object) -> str:
    welcome(client, customer)
    body = ask(f"r-{customer}", customer, placements=[{"name": "hero", "limit": 5}], **more)
    shown = {o["action"]: o["offer_id"] for o in offers(client("POST", "/v1/decisions", body)[1])}
    return str(shown["family-data"])


def tell(client: Client, offer: str, outcome: str, **more: object) -> tuple[int, dict[str, object]]:
    return client("POST", "/v1/outcomes", {"outcome_id": f"o-{offer}", "offer_id": offer, "outcome": outcome, **more})


@pytest.mark.promise("ledger.outcomes-corrected")
def test_a_later_word_under_the_same_id_holds(client: Client) -> None:
    offer = offered(client, "c-1", account_id="a-1")
    assert tell(client, offer, "declined") == (200, {"recorded": 1, "repeated": 0})
    assert tell(client, offer, "declined") == (200, {"recorded": 0, "repeated": 1})
    assert standing(client, "c-1") == ["declined"]
    assert tell(client, offer, "accepted") == (200, {"recorded": 0, "repeated": 0, "corrected": 1})
    assert standing(client, "c-1") == ["accepted"]
    assert tell(client, offer, "declined") == (200, {"recorded": 0, "repeated": 1})
    assert tell(client, offer, "accepted", value_eur=12.0)[1]["corrected"] == 1
    assert standing(client, "c-1") == ["accepted"]
    account = client.brain.ledger.read(client.brain.ledger.stream_of("account", "a-1"))[0]
    assert [h.value_eur for known in account.outcomes.values() for h in known] == [12.0]


@pytest.mark.promise("ledger.outcomes-corrected")
def test_an_outcome_can_be_taken_back(client: Client) -> None:
    offer = offered(client, "c-2", account_id="a-2")
    assert tell(client, offer, "retracted")[0] == 422
    tell(client, offer, "declined")
    assert tell(client, offer, "retracted")[1]["corrected"] == 1
    assert standing(client, "c-2") == []


def test_every_decision_still_recomputes(client: Client) -> None:
    offered(client, "c-3", account_id="a-3")
    results = verify(client.brain.workspace, None)
    assert results["flaws"] == results["different"] == []
    assert results["recomputed"] >= 1
