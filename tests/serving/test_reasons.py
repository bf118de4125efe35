"""Reasons over HTTP: for the customer, the agent and the company; hints; and what `brain check` says of them."""

from collections.abc import Iterator

import pytest

from serving.brain import releasing
from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, ask, offers, small_workspace, welcome


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("reasons") / "w"))
    client = Client(brain)
    for customer in ("c-1", "c-2", "c-decide", "c-agent", "c-admin"):
        welcome(client, customer)
    yield client
    brain.close()


@pytest.mark.promise("reasons.true")
def test_a_context_that_decided_is_told_in_the_words_of_the_catalogue(client: Client) -> None:
    texts = {}
    for scope in ("decide", "agent", "admin"):
        answer = client.of_scope(scope)(
            "POST",
            "/v1/decisions",
            ask(f"r-{scope}", f"c-{scope}", locale="en") | {"placements": [{"name": "hero", "limit": 3}]},
        )[1]
        found = [r for o in offers(answer) for r in o["reasons"] if r["code"] == "context.page"]
        texts[scope] = found[0]
    assert texts["decide"] == {"code": "context.page", "text": "Because you are looking at paid TV."}
    assert texts["agent"] == texts["decide"] | {"use": "shown", "direction": "for", "strength": "moderate"}
    assert texts["admin"] == texts["agent"] | {"figure": 1.5}


@pytest.mark.promise("reasons.hints")
def test_an_answer_and_its_explanation_name_what_the_request_left_out(client: Client) -> None:
    answer = client("POST", "/v1/decisions", ask("r-hint", locale="en"))[1]
    (hint,) = answer["hints"]
    assert (hint["field"], hint["withheld"]) == ("account_id", 1)
    assert client("POST", "/v1/decisions", ask("r-hint", locale="en"))[1] == answer
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    assert why["hints"] == [hint]
    assert hint["text"] in why["text"]["en"]
    assert "hints" not in client("POST", "/v1/decisions", ask("r-named", account_id="a-1"))[1]


@pytest.mark.promise("reasons.not-chosen")
def test_what_was_not_chosen_has_a_reason_in_both_languages(client: Client) -> None:
    outcome = {"outcome_id": "o-1", "customer_id": "c-2", "action": "sports-channel", "outcome": "declined"}
    assert client("POST", "/v1/outcomes", outcome)[0] == 200
    answer = client("POST", "/v1/decisions", ask("r-after", "c-2", locale="en"))[1]
    candidates = {c["treatment"]: c for c in client("GET", f"/v1/decisions/{answer['decision_id']}")[1]["candidates"]}
    assert candidates["sports-channel.web"]["text"]["en"].startswith("You said no in ")
    assert candidates["family-data.web"]["text"]["en"] == "The request names no account."
    shown = [o["treatment"] for o in offers(answer)]
    assert all(("text" in c) is (name not in shown) for name, c in candidates.items())
    assert any(c["text"]["nl"].startswith("Stond lager dan “") for c in candidates.values() if "text" in c), candidates


@pytest.mark.promise("reasons.catalogue")
def test_check_tells_what_it_would_say_of_each_persona(client: Client) -> None:
    told = releasing.check(client.brain.workspace)["reasons"]
    assert told["tv-fan, en"].endswith("Because you are looking at paid TV.")
