"""What customers see and do at their own page: objecting, opinions, contests, a copy of their data, and erasing."""

import json
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import pytest

from decisioning.times import microseconds
from features.ledger.tables import REQUESTS
from serving.brain.runtime import Brain
from serving.customers.rights.asking import MAX_OPEN
from tests.serving.people.browser import Browser
from tests.serving.people.own_page import code_for, entered, heading, press
from tests.serving.workspaces import Client, Json, ask, offers, signal, small_workspace, welcome

SIDE = {"placements": [{"name": "sidebar"}], "locale": "en"}
HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("choices") / "shop"))
    yield Client(brain)
    brain.close()


def decided(client: Client, customer: str, request_id: str = "r", **more: object) -> Json:
    status, answer = client("POST", "/v1/decisions", ask(f"{request_id}-{customer}", customer, **SIDE) | more)
    assert status == 200, answer
    return answer


def number_in(headers: dict[str, str]) -> str:
    """Return the number of the request that the page goes on to."""
    return headers["location"].partition("number=")[2].partition("#")[0]


def contest(client: Client, customer: str) -> tuple[Browser, str, str]:
    """Let a customer contest a decision; return their browser, the decision, and the number of the request."""
    welcome(client, customer)
    decision = decided(client, customer)["decision_id"]
    browser = entered(client, customer)
    _, headers, _ = press(browser, "/me", "requests")
    return browser, decision, number_in(headers)


@pytest.mark.promise("me.no")
def test_one_click_stops_a_purpose_on_a_channel_or_everywhere_and_binds_the_next_decision(client: Client) -> None:
    welcome(client, "c-1")
    before = decided(client, "c-1")
    assert [offer["issue"] for offer in offers(before)] == ["grow"]
    browser = entered(client, "c-1")
    page = browser.get("/me?lang=en")[2]
    assert page.count("You said yes to this.") >= 2
    marketing = page.index("<h3>Offers<")
    number = page[:marketing].count('action="me/stop"')
    status, headers, _ = press(browser, "/me", "stop", number)
    assert (status, headers["location"]) == (303, "/me?done=stopped#choices")
    assert "It is stopped." in browser.get("/me?done=stopped")[2]
    assert offers(decided(client, "c-1", "after")) == []
    (told,) = (one for one in client("GET", "/v1/customers/c-1")[1]["consents"] if one["status"] != "granted")
    assert (told["purpose"], told["channel"], told["status"]) == ("marketing", "*", "withdrawn")
    record = client.brain.ledger.scan(["consent"])[-1]
    assert record.body is not None
    assert record.body["who"] == "customer"


@pytest.mark.promise("me.no")
def test_what_is_done_without_consent_is_objected_to_and_nothing_can_be_granted(client: Client) -> None:
    welcome(client, "c-2", purposes=())
    browser = entered(client, "c-2")
    page = browser.get("/me?lang=en")[2]
    assert "You did not have to say yes to this." in page
    assert press(browser, "/me", "stop")[0] == 303
    consents = client("GET", "/v1/customers/c-2")[1]["consents"]
    assert {one["status"] for one in consents} == {"objected"}
    fields = browser.fields("/me")
    for purpose, channel in (("marketing", "nowhere"), ("nothing", "*"), ("", "")):
        status, _, _ = browser.post("/me/stop", {**fields, "purpose": purpose, "channel": channel, "status": "granted"})
        assert status == 422
    assert client("GET", "/v1/customers/c-2")[1]["consents"] == consents


@pytest.mark.promise("me.why")
def test_a_decision_is_told_with_what_counted_and_the_customer_says_whether_it_was_right(client: Client) -> None:
    welcome(client, "c-3")
    decision = decided(client, "c-3")
    browser = entered(client, "c-3")
    page = browser.get("/me?lang=en")[2]
    assert f'id="{decision["decision_id"]}"' in page
    assert offers(decision)[0]["content"]["title"] in page
    for words in ("What counted", "What did not count", "A computer chose this by itself.", "Was this right?"):
        assert words in page
    for right in ("no", "no", "yes"):
        assert press(browser, "/me", "opinions", right=right)[0] == 303
    said = [r.body for r in client.brain.ledger.scan(["opinion"]) if r.stream == client.brain.subject_stream("c-3")]
    assert [(one["right"], one["who"]) for one in said if one] == [(False, "customer"), (True, "customer")]
    assert "You told us that this was right." in browser.get("/me")[2]
    looks = client("GET", "/v1/looks?customer_id=c-3")[1]["looks"]
    assert [(look["who"], look["what"], look["purpose"]) for look in looks] == [("customer", "glance", "rights")]


@pytest.mark.promise("me.theirs")
def test_another_person_of_the_account_and_the_device_is_not_shown(client: Client) -> None:
    for customer in ("c-ann", "c-bob"):
        welcome(client, customer)
        link = {"customer_id": customer, "identifier": {"kind": "cookie", "value": "shared"}, "source": "login"}
        assert client("POST", "/v1/identities", {**link, "status": "linked"})[0] == 200
        client("POST", "/v1/signals", [signal("page-view", "cookie:shared", page="paid-tv") for _ in range(2)])
        decided(client, customer, account_id="a-home")
        assert client("POST", "/v1/identities", {**link, "status": "unlinked"})[0] == 200
    of_ann = decided(client, "c-ann", "more", account_id="a-home")["decision_id"]
    bob = entered(client, "c-bob")
    page = bob.get("/me?lang=en&more=1")[2]
    assert of_ann not in page
    assert page.count('<article class="own-card" id="d-') == 1
    fields = bob.fields("/me")
    for path, more in (
        ("requests", {"about": "contest", "decision_id": of_ann, "once": "x"}),
        ("opinions", {"decision_id": of_ann, "right": "no"}),
    ):
        assert bob.post(f"/me/{path}", {**fields, **more})[0] == 422
    assert press(bob, "/me", "confirm", code=code_for(client, "c-ann"))[0] == 401
    assert press(bob, "/me", "confirm", code=code_for(client, "c-bob"))[0] == 303
    held = json.loads(press(bob, "/me", "export")[2])
    assert held["customer_id"] == "c-bob"
    assert "c-ann" not in json.dumps(held)
    assert of_ann not in json.dumps(held)


@pytest.mark.promise("me.requests")
def test_a_contest_has_a_number_a_date_and_an_answer_by_somebody_who_had_no_part(client: Client) -> None:
    browser, decision, number = contest(client, "c-5")
    assert number_in(press(browser, "/me", "requests")[1]) != number, "it is no longer a contest"
    page = browser.get("/me?lang=en")[2]
    assert number in page
    assert "at the latest" in page
    (listed,) = (one for one in client("GET", "/v1/requests?state=open")[1]["requests"] if one["number"] == number)
    assert (listed["about"], listed["decision_id"], listed["customer_id"]) == ("contest", decision, "c-5")
    assert "2026-" < listed["due_at"] > listed["opened_at"]
    stream = client.brain.subject_stream("c-5")
    followed = {"override_id": "f-1", "decision_id": decision, "action": "tv-bundle", "kind": "accepted_suggestion"}
    assert client.of_scope("agent")("POST", "/v1/overrides", followed)[0] == 200
    agent = client.brain.ledger.scan(["override"])[-1].body["who"].partition(":")[2]  # type: ignore[index]
    told = {"state": "answered", "answer": HOSTILE, "changed": True}
    refused = client("POST", f"/v1/requests/{number}/answers", {**told, "reviewer": agent})
    assert (refused[0], "had a part" in refused[1]["detail"]) == (422, True)
    lead = client.of_scope("lead")
    assert lead("POST", f"/v1/requests/{number}/answers", {"state": "in_review", "reviewer": "e-2"})[0] == 200
    assert "A person is looking at it." in browser.get("/me?lang=en")[2]
    for _ in range(2):
        assert lead("POST", f"/v1/requests/{number}/answers", {**told, "reviewer": "e-2"})[0] == 200
    assert lead("POST", f"/v1/requests/{number}/answers", {**told, "answer": "no", "reviewer": "e-2"})[0] == 422
    states = [r.body["state"] for r in client.brain.ledger.records(stream) if r.kind == "request" and r.body]
    assert states[-2:] == ["in_review", "answered"]
    page = browser.get("/me?lang=en")[2]
    assert "We changed the decision." in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert list(client.brain.ledger.verify()) == []


def test_who_may_answer_and_what_an_answer_needs(client: Client) -> None:
    _, _, number = contest(client, "c-6")
    path = f"/v1/requests/{number}/answers"
    for body, field in (
        ({"state": "answered", "reviewer": "e-2"}, "answer"),
        ({"state": "in_review"}, "reviewer"),
        ({"state": "open", "reviewer": "e-2"}, "state"),
    ):
        status, problem = client("POST", path, body)
        assert (status, problem["field"]) == (422, field)
    assert client("POST", "/v1/requests/NONE/answers", {"state": "in_review", "reviewer": "e-2"})[0] == 404
    for cursor in ("x", "9" * 30 + "-A", "\u00b2-A", "1-"):
        assert client("GET", f"/v1/requests?after={quote(cursor)}")[0] == 422
    every = client("GET", "/v1/requests")[1]["requests"]
    (first, *others) = sorted(every, key=lambda one: (one["due_at"], one["number"]))
    cursor = f"{microseconds(datetime.fromisoformat(first['due_at']))}-{first['number']}"
    assert client("GET", f"/v1/requests?after={cursor}")[1]["requests"] == others


@pytest.mark.promise("me.requests")
def test_the_same_form_sent_twice_is_one_request_and_hostile_words_stay_words(client: Client) -> None:
    browser = entered(client, "c-7")
    fields = browser.fields("/me")
    sent = [browser.post("/me/requests", {**fields, "about": "person", "text": HOSTILE}) for _ in range(2)]
    assert sent[0][1]["location"] == sent[1][1]["location"]
    page = browser.get("/me")[2]
    assert HOSTILE not in page
    assert page.count("alert(1)") == 1
    long = browser.post("/me/requests", {**fields, "about": "person", "text": "x" * 2001}, accept_language="en")
    assert (long[0], heading(long)) == (422, "Your text is too long")
    assert client("DELETE", "/v1/customers/c-7")[0] == 200


def test_no_more_than_some_requests_wait_for_an_answer(client: Client) -> None:
    browser, numbers = entered(client, "c-many"), list[str]()
    fields = {**browser.fields("/me"), "about": "person"}
    for n in range(MAX_OPEN):
        answer = browser.post("/me/requests", {**fields, "once": str(n)})
        numbers.append(number_in(answer[1]))
    assert len(set(numbers)) == MAX_OPEN
    assert browser.post("/me/requests", {**fields, "once": "more"})[0] == 429
    assert browser.post("/me/requests", {**fields, "once": "0"})[0] == 303, "this one waits already"
    assert press(browser, "/me", "confirm", code=code_for(client, "c-many"))[0] == 303
    answer_it = {"state": "answered", "answer": "Yes.", "reviewer": "e-2"}
    assert client("POST", f"/v1/requests/{numbers[0]}/answers", answer_it)[0] == 200
    assert browser.post("/me/requests", {**fields, "once": "more"})[0] == 303
    assert heading(press(browser, "/me/erase", "erase")) == "Everything is erased", "whatever waits"


@pytest.mark.promise("me.code")
def test_a_copy_and_erasing_need_a_one_time_code_and_erasing_takes_two_steps(client: Client) -> None:
    browser, decision, number = contest(client, "c-8")
    waits = {"customer_id": "c-8", "conversation_id": "chat-8", "channel": "chat", "reason": "asks for a person"}
    handover = client("POST", "/v1/handovers", {"request_id": "h-8", **waits})[1]["handover_id"]
    stream = client.brain.subject_stream("c-8")
    fields = browser.fields("/me")
    for act in ("export", "erase", "allow"):
        refused = browser.post(f"/me/{act}", fields, accept_language="en")
        assert (refused[0], heading(refused)) == (403, "First show that it is you")
        assert "Ask on your page for a code of eight digits." in refused[2]
    assert not client.brain.ledger.read(stream)[0].erased
    first, code = code_for(client, "c-8"), code_for(client, "c-8")
    assert press(browser, "/me", "confirm", code=first)[0] == 401, "a newer code revokes it"
    assert press(browser, "/me/erase", "confirm", code=f"{code[:4]} {code[4:]}")[1]["location"] == "/me/erase"
    held = json.loads(press(browser, "/me", "export")[2])
    records = [record for record in held["records"] if record["kind"] in ("access", "request", "opinion")]
    assert {record["kind"] for record in records} == {"access", "request"}
    assert all("who" not in record["body"] and record["body"]["role"] for record in records)
    assert decision in json.dumps(held)
    assert held["next"] is None
    assert "What stays" in browser.get("/me/erase?lang=en")[2]
    gone = press(browser, "/me/erase", "erase")
    assert (gone[0], heading(gone)) == (200, "Everything is erased")
    assert client.brain.ledger.read(stream)[0].erased
    assert client.brain.ledger.select(REQUESTS.select().where(REQUESTS.c.stream == stream)) == []
    assert number not in json.dumps(client("GET", "/v1/requests")[1])
    assert client("GET", f"/v1/handovers/{handover}")[0] == 404, "their place in the queue is gone, too"
    assert handover not in json.dumps(client("GET", "/v1/handovers")[1])
    assert list(client.brain.ledger.verify()) == []


def test_codes_cannot_be_guessed_often(client: Client) -> None:
    browser = entered(client, "c-9")
    statuses = [press(browser, "/me", "confirm", code=f"{n:08d}")[0] for n in range(6)]
    assert statuses == [401] * 5 + [429]
    assert press(browser, "/me", "confirm", code=code_for(client, "c-9"))[0] == 429
