"""Contests: who may review a decision, what a review changes for the customer, and what stays as it was recorded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from decisioning.errors import Refused
from features.ledger import Entry
from features.people import LOCAL, User, add_person
from serving.access.looks import Doer
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.customers.rights import reviewing
from serving.customers.rights.reviewing import Review
from tests.serving.conftest import NewDatabase
from tests.serving.people.own_page import entered, press
from tests.serving.workspaces import Client, Json, ask, offers, small_workspace, welcome

SIDE = {"placements": [{"name": "sidebar"}], "locale": "en"}
KEPT = {"state": "answered", "answer": "You were right.", "reviewer": "e-2", "reason": "no television"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("contests") / "shop", database=database()))
    yield Client(brain)
    brain.close()


def decided(client: Client, customer: str, request_id: str = "r", **more: object) -> Json:
    status, answer = client("POST", "/v1/decisions", ask(f"{request_id}-{customer}", customer, **SIDE) | more)
    assert status == 200, answer
    return answer


def contested(client: Client, customer: str, **more: object) -> tuple[Json, str]:
    """Let a customer contest what they were shown; return the decision, and the path of answers."""
    welcome(client, customer)
    decision = decided(client, customer, **more)
    location = press(entered(client, customer), "/me", "requests")[1]["location"]
    return decision, f"/v1/requests/{location.partition('number=')[2].partition('#')[0]}/answers"


def gates(client: Client, decision: Json) -> set[str]:
    why = client("GET", f"/v1/decisions/{decision['decision_id']}")[1]["candidates"]
    return {candidate.get("gate", "") for candidate in why}


def actions(decision: Json) -> list[str]:
    return [offer["action"] for offer in offers(decision)]


@pytest.mark.promise("me.changed")
def test_a_reviewer_keeps_an_action_from_the_customer_until_another_offers_it(client: Client) -> None:
    before, path = contested(client, "c-1")
    (action,) = actions(before)
    record = client.brain.ledger.lookup(f"decision:{before['decision_id']}")
    assert record is not None
    lead = client.of_scope("lead")
    for _ in range(2):
        status, told = lead("POST", path, {**KEPT, "excluded": action})
        assert (status, told["changed"], told["excluded"], told["reason"]) == (200, True, action, "no television")
    assert lead("POST", path, KEPT)[0] == 422, "an answer that was given stays as it is"
    assert lead("POST", path, {**KEPT, "offered": action})[0] == 422
    (answered,) = (r for r in client.brain.ledger.scan(["request"]) if (r.body or {}).get("excluded"))
    assert answered.body is not None
    assert (answered.body["role"], answered.body["reviewer"]) == ("lead", "e-2")
    after = decided(client, "c-1", "after")
    assert action not in actions(after)
    assert "contest:excluded" in gates(client, after)
    again = client.brain.ledger.lookup(f"decision:{before['decision_id']}")
    assert again is not None
    assert (again.raw, recomputes(client.brain, again)) == (record.raw, True), "the earlier decision is what it was"
    repeated = decided(client, "c-1")
    assert (repeated["supersedes"], action in actions(repeated)) == (before["decision_id"], False)
    page = entered(client, "c-1").get("/me?lang=en&more=1")[2]
    title = offers(before)[0]["content"]["title"]
    assert "We changed the decision. We do not show you “" in page
    assert title in page
    assert "no television" not in page
    assert list(client.brain.ledger.verify()) == []


@pytest.mark.promise("me.changed")
def test_a_reviewer_offers_something_else_or_lets_the_decision_stay_and_the_page_says_so(client: Client) -> None:
    before, path = contested(client, "c-2")
    (action,) = actions(before)
    other = next(name for name in client.brain.snapshot.release.actions if name != action)
    assert client("POST", path, {**KEPT, "excluded": action, "offered": other})[0] == 200
    page = entered(client, "c-2").get("/me?lang=en")[2]
    assert "One of our employees offers you “" in page
    own = entered(client, "c-2")
    assert {press(own, "/me?lang=en", "requests", 1)[0] for _ in range(2)} == {303}
    (wanted,) = (r for r in client("GET", "/v1/requests")[1]["requests"] if r["about"] == "person")
    assert wanted["text"].startswith("I want “")
    assert client("GET", "/v1/customers/c-2")[1]["outcomes"] == [], "it is neither an outcome nor a contact"
    _, path = contested(client, "c-3")
    assert client("POST", path, {"state": "answered", "answer": "It stays.", "reviewer": "e-2"})[0] == 200
    assert "A person looked at it, and the decision stays." in entered(client, "c-3").get("/me?lang=en")[2]
    held = client("GET", "/v1/customers/c-2/export")[1]["records"]
    (told,) = (r["body"] for r in held if r["kind"] == "request" and r["body"]["state"] == "answered")
    assert (told["reason"], told["offered"], told["role"]) == ("no television", other, "admin")
    assert not {"who", "reviewer"} & told.keys()


@pytest.mark.promise("me.changed")
def test_what_was_offered_again_is_no_longer_kept_from_the_customer(client: Client) -> None:
    before, path = contested(client, "c-4")
    (action,) = actions(before)
    assert client("POST", path, {**KEPT, "excluded": action})[0] == 200
    assert "contest:excluded" in gates(client, decided(client, "c-4", "second"))
    stream, body = client.brain.subject_stream("c-4"), {"number": "X-1", "state": "answered", "due_us": 1}
    client.brain.ledger.append([Entry(stream, "request", {**body, "offered": action}, None)])
    assert "contest:excluded" not in gates(client, decided(client, "c-4", "third"))


def test_what_cannot_change_is_refused_and_names_its_field(client: Client) -> None:
    before, path = contested(client, "c-5")
    (action,) = actions(before)
    for more, field in (
        ({"excluded": "nothing-like-it"}, "excluded"),
        ({"offered": "tv-bundel"}, "offered"),
        ({"excluded": action, "offered": action}, "excluded"),
        ({"excluded": action, "reason": " "}, "reason"),
        ({"state": "in_review", "answer": "", "excluded": action}, "changed"),
    ):
        status, problem = client("POST", path, {**KEPT, **more})
        assert (status, problem["field"]) == (422, field)
    browser = entered(client, "c-5")
    fields = {name: value for name, value in browser.fields("/me").items() if name in ("csrf", "once")}
    location = browser.post("/me/requests", {**fields, "about": "person"})[1]["location"]
    person = f"/v1/requests/{location.partition('number=')[2].partition('#')[0]}/answers"
    status, problem = client("POST", person, {**KEPT, "excluded": action})
    assert (status, problem["field"]) == (422, "excluded")


@pytest.mark.promise("me.requests")
def test_whoever_had_a_part_is_refused_under_every_name_of_theirs(client: Client) -> None:
    ann = User("p-ann", LOCAL, "ann", "Ann de Vries", "lead", None, None, "root", 1)
    assert add_person(client.brain.ledger, ann)
    about = {"customer_id": "c-6", "conversation_id": "chat-6", "channel": "chat", "reason": "asks for a person"}
    held = client("POST", "/v1/handovers", {"request_id": "h-6", **about})[1]["handover_id"]
    assert client("POST", f"/v1/handovers/{held}/steps", {"state": "accepted", "agent_id": "Ann"})[0] == 200
    spoken = {"channel": "agent", "placements": [{"name": "suggestion"}], "conversation_id": "chat-6"}
    _, path = contested(client, "c-6", **spoken)
    for name in ("ann", "ANN", "p-ann", "person:p-ann", "Ann de Vries", "key:ann"):
        status, problem = client("POST", path, {**KEPT, "reviewer": name})
        assert (status, "had a part" in problem["detail"]) == (422, True), name
    assert client("POST", path, {**KEPT, "reviewer": "bo"})[0] == 200


@pytest.mark.promise("me.requests")
def test_of_two_reviewers_at_once_one_answers(client: Client) -> None:
    _, path = contested(client, "c-7")
    number = path.split("/")[3]

    def answer(n: int) -> bool:
        review = Review("answered", f"e-{n}", f"Answer {n}.", True, None, "tv-bundle", "because")
        try:
            reviewing.answer_request(client.brain, number, Doer(f"key:{n}", "lead"), review)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(answer, range(8))) == 1
    assert list(client.brain.ledger.verify()) == []
