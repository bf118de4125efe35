"""Identities over HTTP: a linked visitor's caps and consents hold in the next decision, and end with the link."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from decisioning.facts.forms import Known
from features.ledger import Entry, now_us
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.contract import ConsentIn
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, ask, consent, offers, small_workspace, welcome

HERO = {"placements": [{"name": "hero", "limit": 5}]}
NUMBERS = count()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_workspace(tmp_path_factory.mktemp("identities") / "ws")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def identity(customer: str, value: str, status: str = "linked", kind: str = "cookie", **more: Any) -> Json:
    about = {"customer_id": customer, "identifier": {"kind": kind, "value": value}, "status": status}
    return {**about, "source": "login", **more}


def link(client: Client, customer: str, value: str, status: str = "linked", **more: Any) -> Json:
    code, answer = client("POST", "/v1/identities", identity(customer, value, status, **more))
    assert (code, answer["status"]) == (200, status)
    return answer


def as_visitor(visitor: str, **more: Any) -> Json:
    body = ask(f"identity-{next(NUMBERS)}", **HERO, **more)
    return {**{k: v for k, v in body.items() if k != "customer_id"}, "visitor_id": visitor}


def decide(client: Client, customer: str, **more: Any) -> Json:
    code, answer = client("POST", "/v1/decisions", ask(f"identity-{next(NUMBERS)}", customer, **HERO, **more))
    assert code == 200
    return answer


def actions(answer: Json) -> set[str]:
    return {o["action"] for o in offers(answer)}


def visitor_consent(visitor: str, purpose: str, status: str = "granted") -> Json:
    body = consent("", purpose, status)
    return {**{k: v for k, v in body.items() if k != "customer_id"}, "visitor_id": visitor}


def fill_cap(client: Client, visitor: str) -> None:
    """Append a contact as if tv-bundle had been decided for the visitor, of whom too little is known for that."""
    stream, at_us = client.brain.ledger.stream_of("visitor", visitor), now_us()
    shown = {
        "offer_id": f"{visitor}.0",
        "action": "tv-bundle",
        "treatment": "tv-bundle.web-hero",
        "group": "tv",
        "issue": "grow",
        "channel": "web",
        "at_us": at_us,
        "reserved_until_us": at_us + 3_600_000_000,
        "counts_on": "decided",
    }
    client.brain.ledger.append([Entry(stream, "account_decision", {"contacts": [shown]}, at_us)])


@pytest.mark.promise("identity.linked-visitor")
def test_what_a_visitor_refused_binds_the_very_next_decision_until_it_is_unlinked(client: Client) -> None:
    welcome(client, "c-refused")
    assert client("POST", "/v1/consents", visitor_consent("cookie:refused", "marketing", "refused"))[0] == 200
    assert "tv-bundle" in actions(decide(client, "c-refused", mode="preview"))
    link(client, "c-refused", "refused")
    answer = decide(client, "c-refused")
    assert "tv-bundle" not in actions(answer)
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    candidate = {c["treatment"]: c for c in why["candidates"]}["tv-bundle.web-hero"]
    assert (candidate["gate"], candidate["why"]) == ("consent:marketing", "refused by a linked visitor")
    link(client, "c-refused", "refused", "unlinked")
    assert "tv-bundle" in actions(decide(client, "c-refused"))


@pytest.mark.promise("identity.linked-visitor")
def test_what_a_visitor_saw_counts_for_the_person_until_it_is_unlinked(client: Client) -> None:
    welcome(client, "c-capped")
    fill_cap(client, "cookie:capped")
    link(client, "c-capped", "capped")
    assert "tv-bundle" not in actions(decide(client, "c-capped", mode="preview"))
    link(client, "c-capped", "capped", "unlinked")
    assert "tv-bundle" in actions(decide(client, "c-capped", mode="preview"))


def test_a_decision_names_what_it_read_and_comes_out_again(client: Client, workspace: Workspace) -> None:
    welcome(client, "c-record")
    alone = decide(client, "c-record")
    visitor = link(client, "c-record", "record")["visitor"]
    fill_cap(client, "cookie:record")
    answer = decide(client, "c-record", account_id="a-record")
    client("POST", "/v1/consents", visitor_consent("cookie:record", "marketing", "refused"))
    link(client, "c-record", "record", "unlinked")
    for decided, linked in ((alone, None), (answer, {visitor: 2})):
        record = client.brain.ledger.lookup(f"decision:{decided['decision_id']}")
        assert record is not None
        assert record.body is not None
        assert record.body["read"].get("linked") == linked
        assert recomputes(client.brain, record)
    assert verify(workspace, None)["different"] == []


def test_a_repeated_request_is_decided_anew_once_a_linked_visitor_refuses(client: Client) -> None:
    welcome(client, "c-again")
    link(client, "c-again", "again")
    body = ask("again-1", "c-again", **HERO)
    first = client("POST", "/v1/decisions", body)[1]
    assert client("POST", "/v1/consents", visitor_consent("cookie:again", "marketing", "objected"))[0] == 200
    second = client("POST", "/v1/decisions", body)[1]
    assert second["supersedes"] == first["decision_id"]
    assert "tv-bundle" not in actions(second)


def test_a_request_of_a_visitor_is_decided_under_its_own_consents(client: Client) -> None:
    welcome(client, "c-owner")
    link(client, "c-owner", "shared")
    before = client("POST", "/v1/decisions", as_visitor("cookie:shared"))[1]
    assert client("POST", "/v1/consents", consent("c-owner", "marketing", "withdrawn"))[0] == 200
    client("PATCH", "/v1/customers/c-owner", {"facts": {"age": 40}, "restricted": True})
    after = client("POST", "/v1/decisions", as_visitor("cookie:shared"))[1]
    assert (actions(after), after["withheld"]) == (actions(before), before["withheld"])
    record = client.brain.ledger.lookup(f"decision:{after['decision_id']}")
    assert record is not None
    assert record.stream == client.brain.ledger.stream_of("visitor", "cookie:shared")
    assert set((record.body or {})["read"]["linked"]) == {client.brain.ledger.stream_of("person", "c-owner")}


def test_links_are_listed_as_hashes(client: Client) -> None:
    visitor = link(client, "c-listed", "listed-1", occurred_at="2026-01-01T00:00:00Z")["visitor"]
    assert client("POST", "/v1/consents", visitor_consent("cookie:listed-1", "marketing"))[0] == 200
    client("POST", "/v1/identities", identity("c-listed", "listed-2", "unlinked", kind="device"))
    for path in ("/v1/customers/c-listed", "/v1/customers/c-listed/export"):
        content = client("GET", path)[1]
        assert {"kind": "cookie", "status": "linked"}.items() <= {x["visitor"]: x for x in content["links"]}[
            visitor
        ].items()
        assert {x["status"] for x in content["links"]} == {"linked", "unlinked"}
        assert "listed-1" not in str(content)
    assert [(v["visitor"], len(v["consents"])) for v in content["visitors"]] == [(visitor, 1)]


def test_an_identifier_is_one_customers_until_it_is_unlinked(client: Client) -> None:
    link(client, "c-first", "one")
    code, problem = client("POST", "/v1/identities", identity("c-second", "one"))
    assert (code, problem["field"]) == (409, "identifier")
    link(client, "c-first", "one", "unlinked")
    link(client, "c-second", "one")


def test_an_older_word_never_undoes_a_newer(client: Client) -> None:
    link(client, "c-late", "late", "unlinked", occurred_at="2026-02-01T00:00:00Z")
    late = identity("c-late", "late", occurred_at="2026-01-01T00:00:00Z")
    assert client("POST", "/v1/identities", late)[1]["status"] == "unlinked"


def test_erasing_a_customer_erases_the_linked_visitor(client: Client, workspace: Workspace) -> None:
    welcome(client, "c-erased")
    link(client, "c-erased", "erased")
    assert client("POST", "/v1/consents", visitor_consent("cookie:erased", "marketing"))[0] == 200
    client("POST", "/v1/decisions", as_visitor("cookie:erased"))
    assert client("DELETE", "/v1/customers/c-erased")[0] == 200
    assert actions(client("POST", "/v1/decisions", as_visitor("cookie:erased"))[1]) == set()
    assert client("POST", "/v1/identities", identity("c-erased", "new"))[0] == 410
    code, problem = client("POST", "/v1/identities", identity("c-other", "erased"))
    assert (code, problem["field"]) == (410, "identifier")
    results = verify(workspace, None)
    assert (results["flaws"], results["different"]) == ([], [])


@pytest.mark.promise("identity.linked-visitor")
def test_erasing_a_visitor_undoes_the_link(client: Client, workspace: Workspace) -> None:
    welcome(client, "c-forgot")
    visitor = link(client, "c-forgot", "forgot")["visitor"]
    assert client("POST", "/v1/consents", visitor_consent("cookie:forgot", "marketing", "refused"))[0] == 200
    withheld = decide(client, "c-forgot")
    client.brain.ledger.erase(visitor)
    assert "tv-bundle" in actions(decide(client, "c-forgot"))
    assert client("GET", f"/v1/decisions/{withheld['decision_id']}")[0] == 404
    results = verify(workspace, None)
    assert (results["different"], results["erased"] > 0) == ([], True)


@pytest.mark.parametrize("meanwhile", ["shown", "refused"])
def test_what_the_visitor_does_between_reading_and_committing_is_not_missed(
    client: Client, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The decision for the person conflicts with the version of the visitor's stream, and is made again."""
    customer, cookie, brain = f"c-then-{meanwhile}", f"then-{meanwhile}", client.brain
    visitor = f"cookie:{cookie}"
    welcome(client, customer)
    link(client, customer, cookie)
    refused = ConsentIn.model_validate(visitor_consent(visitor, "marketing", "refused")).body()
    refusal = Entry(brain.ledger.stream_of("visitor", visitor), "consent", refused, now_us())
    known, readings = brain.known, count(1)

    def then_the_visitor(*arguments: Any, **more: Any) -> Known:
        result = known(*arguments, **more)
        if next(readings) == 1:
            fill_cap(client, visitor) if meanwhile == "shown" else brain.ledger.append([refusal])
        return result

    monkeypatch.setattr(brain, "known", then_the_visitor)
    assert "tv-bundle" not in actions(decide(client, customer))
    assert next(readings) > 2


@pytest.mark.promise("identity.linked-visitor")
def test_a_cap_is_exact_while_person_and_visitor_are_decided_at_once(client: Client) -> None:
    """If tv-bundle is shown to the person, it was not shown before, neither to the person nor to the visitor."""
    ledger = client.brain.ledger
    for n in range(5):
        customer, visitor = f"c-race-{n}", f"cookie:race-{n}"
        welcome(client, customer)
        link(client, customer, f"race-{n}")
        bodies = [ask(f"race-{n}-{i}", customer) for i in range(2)]

        async def at_once(bodies: list[Json] = bodies, visitor: str = visitor) -> list[tuple[int, Json]]:
            shows = asyncio.to_thread(fill_cap, client, visitor)
            return (await asyncio.gather(shows, *(client.ask("POST", "/v1/decisions", b) for b in bodies)))[1:]

        assert {status for status, _ in asyncio.run(at_once())} <= {200, 503}
        streams = (ledger.stream_of("person", customer), ledger.stream_of("visitor", visitor))
        earlier = 0
        for record in sorted((r for s in streams for r in ledger.records(s)), key=lambda r: r.seq):
            shown = [c["action"] for c in (record.body or {}).get("contacts", ())].count("tv-bundle")
            assert record.kind != "decision" or shown + earlier <= 1
            earlier += shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (identity("c", "jan@example.org", kind="email"), "identifier.value"),
        (identity("c", "x" * 125), "identifier.value"),
        (identity("c", "x", kind="shoe"), "identifier.kind"),
        (identity("c", "x", status="maybe"), "status"),
        (identity("c", "x", occurred_at="2150-01-01T00:00:00Z"), "occurred_at"),
        (identity("c", "x", source=""), "source"),
        ({**identity("c", "x"), "visitor": "y"}, "visitor"),
    ],
)
def test_what_is_wrong_is_named(client: Client, body: Json, field: str) -> None:
    code, problem = client("POST", "/v1/identities", body)
    assert (code, problem["field"]) == (422, field)
    assert "jan@" not in str(problem)


def test_a_consent_is_a_customers_or_a_visitors(client: Client) -> None:
    nobodys = {k: v for k, v in consent("c", "marketing").items() if k != "customer_id"}
    for body in ({**nobodys, "customer_id": "c", "visitor_id": "v"}, nobodys):
        code, problem = client("POST", "/v1/consents", body)
        assert (code, problem["field"]) == (422, "customer_id")
