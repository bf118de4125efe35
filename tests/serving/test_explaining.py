"""`GET /v1/decisions/{id}`: every candidate, what would change the decision, and a summary in words."""

from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("explaining") / "w"))
    client = Client(brain)
    welcome(client, "c-1")
    yield client
    brain.close()


@pytest.mark.promise("explanations.every-candidate")
def test_an_explanation_has_every_candidate_a_counterfactual_and_words(client: Client) -> None:
    status, answer = client("POST", "/v1/decisions", ask("r-1"))
    assert status == 200
    status, why = client("GET", f"/v1/decisions/{answer['decision_id']}")
    assert status == 200
    view = client.brain.snapshot.release.view("web")
    on_placement = {name for name, member in zip(view.ids, view.placements["hero"].mask, strict=True) if member}
    assert {c["treatment"] for c in why["candidates"]} == on_placement
    assert all(("gate" in c and "facts" in c) or ("priority" in c and "cites" in c) for c in why["candidates"])
    chosen = [c for c in why["candidates"] if c["passed"] and c["chosen"]]
    assert [c["treatment"] for c in chosen] == [o["treatment"] for o in offers(answer)]
    assert why["counterfactual"]["found"]
    first = why["counterfactual"]["first_offer"]
    assert first["was"] == offers(answer)[0]["action"] != first["becomes"]
    assert set(why["text"]) == {"nl", "en"}
    assert why["text"]["nl"].startswith("Besloten op")
    assert client("GET", f"/v1/decisions/{answer['decision_id']}")[1] == why


@pytest.mark.promise("explanations.contributions")
def test_contributions_are_given_on_demand_and_none_where_a_prior_decided(client: Client) -> None:
    _, answer = client("POST", "/v1/decisions", ask("r-2"))
    plain = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    more = client("GET", f"/v1/decisions/{answer['decision_id']}?contributions=true")[1]
    assert not any("contributions" in c for c in plain["candidates"])
    assert all(c["contributions"] is None for c in more["candidates"] if c["passed"])
